package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/s3test"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

const (
	changedRoutes = "version: 1\nlegacy: old\nupstreams: {old: {url: 'http://127.0.0.1:9'}}\n"
	changedBy     = "?by=ann&why=test"
)

// member is a proxy of a fleet, and its API for operators.
type member struct {
	t        *testing.T
	reloader *proxy.Reloader
	admin    string
}

func newMember(t *testing.T, s proxy.Source, copyTo string) (*member, error) {
	r := &proxy.Reloader{Source: s, Copy: copyTo, Every: 10 * time.Millisecond}
	table, err := r.First(t.Context())
	if err != nil {
		return nil, err
	}
	if r.Proxy, err = proxy.New(t.Context(), table, proxy.Config{}); err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(proxy.Admin(r.Proxy, r, ""))
	t.Cleanup(func() {
		admin.Close()
		r.Proxy.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return &member{t, r, admin.URL}, nil
}

func mustMember(t *testing.T, s proxy.Source, copyTo string) *member {
	t.Helper()
	m, err := newMember(t, s, copyTo)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ask returns the status, the ETag without quotes, and the body.
func (m *member) ask(method, path, ifMatch, body string) (status int, version, answer string) {
	req, err := http.NewRequestWithContext(context.Background(), method, m.admin+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", `"`+ifMatch+`"`)
	}
	got := (&world{t: m.t}).send(req)
	return got.status, strings.Trim(got.header.Get("ETag"), `"`), got.body
}

func (m *member) want(status int, method, path, ifMatch, body string) (version, answer string) {
	m.t.Helper()
	got, version, answer := m.ask(method, path, ifMatch, body)
	if got != status {
		m.t.Errorf("%s %s: status %d, want %d: %s", method, path, got, status, answer)
	}
	return version, answer
}

func TestFleetWithOneObject(t *testing.T) {
	client := s3test.Start(t, nil)
	testFleet(t, source.NewS3(client, s3test.Bucket(t, client), "routes.yaml"))
}

func TestPeerFleetWithOneObject(t *testing.T) {
	client := s3test.Peer(t)
	testFleet(t, source.NewS3(client, s3test.Bucket(t, client), "routes.yaml"))
}

func TestFleetWithOneFile(t *testing.T) {
	testFleet(t, source.NewFile(filepath.Join(t.TempDir(), "routes.yaml")))
}

// testFleet: what one of two proxies is given is in force there at once and at the other one at
// its next look; nobody's change is undone unseen, and nothing that is invalid is stored.
func testFleet(t *testing.T, s proxy.Source) {
	if _, err := s.Write(t.Context(), nil, []byte(changedRoutes)); err != nil {
		t.Fatal(err)
	}
	a, b := mustMember(t, s, ""), mustMember(t, s, "")
	first, doc := a.want(200, "GET", "/routes", "", "")
	if doc != changedRoutes {
		t.Errorf("in force: %q", doc)
	}
	a.want(428, "PUT", "/routes"+changedBy, "", changedRoutes)
	a.want(400, "PUT", "/routes?by=ann", first, changedRoutes)
	a.want(413, "PUT", "/routes"+changedBy, first, strings.Repeat("# much\n", 2<<20))
	if _, why := a.want(422, "PUT", "/routes"+changedBy, first, changedRoutes+"routes:\n  - {nome: x}\n  - {name: y}\n"); !strings.Contains(why, ":5:6: ") {
		t.Errorf("no line: %s", why)
	}
	second, _ := a.want(200, "PUT", "/routes"+changedBy, first, changedRoutes+"# second\n")
	if got, _ := a.want(200, "GET", "/routes", "", ""); got != second || a.reloader.Proxy.Table().Digest != second {
		t.Errorf("in force: %s, table %s, want %s", got, a.reloader.Proxy.Table().Digest, second)
	}
	if stands, _ := b.want(412, "PUT", "/routes"+changedBy, first, changedRoutes+"# other\n"); stands != second {
		t.Errorf("told that %q stands, want %q", stands, second)
	}
	awaitVersion(t, b, second)

	var took atomic.Int64
	var operators sync.WaitGroup
	for i, m := range []*member{a, b, a, b} {
		operators.Go(func() {
			switch status, _, answer := m.ask("PUT", "/routes"+changedBy, second, fmt.Sprint(changedRoutes, "# operator ", i)); status {
			case 200:
				took.Add(1)
			case 412:
			default:
				t.Errorf("status %d: %s", status, answer)
			}
		})
	}
	operators.Wait()
	if took.Load() != 1 {
		t.Errorf("%d of 4 changes of one version took effect", took.Load())
	}

	var history []source.Version
	_, listed := b.want(200, "GET", "/routes/history", "", "")
	if err := json.Unmarshal([]byte(listed), &history); err != nil || len(history) != 3 || !history[0].Current {
		t.Fatalf("history: %s, %v", listed, err)
	}
	oldest := history[2].ID
	if version, doc := b.want(200, "GET", "/routes?version="+oldest, "", ""); version != first || doc != changedRoutes {
		t.Errorf("the oldest: %s %q", version, doc)
	}
	b.want(404, "POST", "/routes/rollback"+changedBy+"&version=none", "", "")
	b.want(400, "POST", "/routes/rollback?version="+oldest, "", "")
	b.want(412, "POST", "/routes/rollback"+changedBy+"&version="+oldest, "another", "")
	if version, _ := b.want(200, "POST", "/routes/rollback"+changedBy+"&version="+oldest, "", ""); version != first {
		t.Errorf("rolled back to %s, want %s", version, first)
	}
	awaitVersion(t, a, first)
	awaitVersion(t, b, first)
}

func awaitVersion(t *testing.T, m *member, version string) {
	t.Helper()
	wait(t, func() bool {
		m.reloader.Look(t.Context())
		return m.reloader.Proxy.Table().Digest == version
	})
}

// TestSourceAwayOrInvalid: what was last good stays in force, figures say so, readyz does not
// change, and with a copy a proxy starts all the same.
func TestSourceAwayOrInvalid(t *testing.T) {
	var away atomic.Bool
	client := s3test.Start(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := source.NewS3(client, s3test.Bucket(t, client), "routes.yaml")
	doc, err := s.Write(t.Context(), nil, []byte(changedRoutes))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.yaml")
	m := mustMember(t, s, copied)
	first := m.reloader.Proxy.Table().Digest
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.reloader.Run(ctx) })
	wait(t, func() bool { src, _ := os.ReadFile(copied); return string(src) == changedRoutes })
	figure := func(line string) {
		t.Helper()
		wait(t, func() bool { _, all := m.want(200, "GET", "/metrics", "", ""); return strings.Contains(all, line) })
	}
	figure("banyan_proxy_routes_refused 0\n")
	figure(fmt.Sprintf("banyan_proxy_routes_info{version=%q} 1\n", first))

	if _, err = s.Write(t.Context(), doc, []byte(changedRoutes+"nonsense: 1\n")); err != nil {
		t.Fatal(err)
	}
	figure("banyan_proxy_routes_refused 1\n")
	if _, err := newMember(t, s, ""); err == nil {
		t.Error("started with an invalid file and no copy")
	}
	restarted := mustMember(t, s, copied)
	if got, _ := restarted.want(200, "GET", "/routes", "", ""); got != first {
		t.Errorf("started with version %s, want %s", got, first)
	}
	if stands, _ := restarted.want(412, "PUT", "/routes"+changedBy, first, changedRoutes); stands == "" || stands == first {
		t.Errorf("told that %q stands", stands)
	} else {
		restarted.want(200, "PUT", "/routes"+changedBy, stands, changedRoutes+"# mended\n")
	}
	figure("banyan_proxy_routes_refused 0\n")

	away.Store(true)
	wait(t, func() bool { return m.reloader.State().Away != "" })
	m.want(200, "GET", "/readyz", "", "")
	m.want(502, "PUT", "/routes"+changedBy, first, changedRoutes)
	if mended, _ := m.want(200, "GET", "/routes", "", ""); mustMember(t, s, copied).reloader.Proxy.Table().Digest != mended {
		t.Error("the copy is not what was in force")
	}
	away.Store(false)
	wait(t, func() bool { return m.reloader.State().Away == "" })
	if m.reloader.State().Failures == 0 {
		t.Error("no failure was counted")
	}
	stop()
	running.Wait()
}

// TestStoredRoutesAreTriedAgain: routes whose keys cannot be had are stored, and put in force
// once they can.
func TestStoredRoutesAreTriedAgain(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	s := source.NewFile(filepath.Join(dir, "routes.yaml"))
	if _, err := s.Write(t.Context(), nil, []byte(changedRoutes)); err != nil {
		t.Fatal(err)
	}
	m := mustMember(t, s, "")
	first := m.reloader.Proxy.Table().Digest
	content := fmt.Sprintf("%ssubject: {sources: [{jwt: {algorithms: [HS256], keys: [{file: %q}]}}]}\n", changedRoutes, keys)
	later, _ := m.want(202, "PUT", "/routes"+changedBy, first, content)
	if got, _ := m.want(200, "GET", "/routes", "", ""); got != first || later == first || m.reloader.State().Refused == "" {
		t.Errorf("in force: %s, stored: %s, %+v", got, later, m.reloader.State())
	}
	if err := os.WriteFile(keys, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	awaitVersion(t, m, later)
	if got, _ := m.want(200, "GET", "/routes", "", ""); got != later || m.reloader.State().Refused != "" {
		t.Errorf("in force: %s, want %s, %+v", got, later, m.reloader.State())
	}
}
