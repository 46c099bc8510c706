package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/follow"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

const followed = `version: 1
legacy: old
upstreams:
  old: {url: "${OLD_URL}"}
  new: {url: "${NEW_URL}"}
routes:
  - name: users
    path: /users/{rest...}
    mode: legacy
    public: true
    upstream: new
    follow: {entity: users, phases: {encapsulated: legacy, switched: forward}, wait: 1h, maxWaiting: 2}
`

// newDynamoDB is a client of a server of the test's own.
func newDynamoDB(t *testing.T) *awsdynamodb.Client {
	t.Helper()
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

// migration is a world whose proxy follows the entity users.
type migration struct {
	*world
	table   *ownership.Table
	control *control // as the proxy reaches it
}

// control is DynamoDB over a network that can go away.
type control struct {
	ownership.DynamoDBAPI
	cut   atomic.Bool
	reads sync.RWMutex
}

// setCut cuts the network, or joins it. No read that began before gets an answer behind it.
func (c *control) setCut(cut bool) {
	c.reads.Lock()
	defer c.reads.Unlock()
	c.cut.Store(cut)
}

func (c *control) GetItem(ctx context.Context, in *awsdynamodb.GetItemInput, o ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error) {
	c.reads.RLock()
	defer c.reads.RUnlock()
	if c.cut.Load() {
		return nil, errors.New("the network is away")
	}
	return c.DynamoDBAPI.GetItem(ctx, in, o...)
}

func newMigration(t *testing.T) *migration {
	t.Helper()
	client := newDynamoDB(t)
	m := &migration{table: ownership.NewTable(client, ""), control: &control{DynamoDBAPI: client}}
	if err := m.table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.world = newWorldWith(t, m.config(time.Hour))
	m.world.new = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "new") }
	m.world.old = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "old") }
	m.swap(followed)
	none := m.compile(strings.Split(followed, "routes:")[0])
	t.Cleanup(func() { _ = m.proxy.Swap(context.Background(), none) }) // ends every wait
	return m
}

func (m *migration) config(maxStale time.Duration) proxy.Config {
	return proxy.Config{Follow: follow.Config{
		Every: 5 * time.Millisecond, EveryChanging: 5 * time.Millisecond, MaxStale: maxStale,
		Open: func(context.Context) (*ownership.Table, error) { return ownership.NewTable(m.control, ""), nil },
	}}
}

// change changes the record, and waits until the proxy has seen it, unless that is blind.
func (m *migration) change(change func(*ownership.Record)) ownership.Record {
	m.t.Helper()
	rec, err := m.table.Load(m.t.Context(), "users")
	if err == nil {
		rec, err = m.table.Update(m.t.Context(), rec, change)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	wait(m.t, func() bool {
		s := m.state()
		return m.control.cut.Load() || s.Owner == rec.Owner && s.Phase == rec.Phase && s.Held == rec.Hold
	})
	return rec
}

func (m *migration) state() follow.State {
	return *m.proxy.Explain(&route.Request{Method: "GET", Path: "/users/1"}, "").Entity
}

func toDynamoDB(r *ownership.Record) {
	r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, r.Epoch+1, ownership.Switched
}

func held(r *ownership.Record) { r.Hold, r.HoldUntil = true, time.Now().Add(time.Hour) }

// A route goes where the owner and the phase of its entity say, and explains it.
func TestRoutesMoveWithTheMigration(t *testing.T) {
	m := newMigration(t)
	for _, step := range []struct {
		change func(*ownership.Record)
		side   string
		why    string
	}{
		{func(r *ownership.Record) {}, "old", "the entity users has not reached the phase encapsulated: the route's mode is legacy"},
		{func(r *ownership.Record) { r.Phase = ownership.Shadowing }, "old", "the entity users has reached the phase encapsulated: the route's mode is legacy"},
		{func(r *ownership.Record) { r.Phase = ownership.Switching }, "old", "encapsulated"},
		{toDynamoDB, "new", "the entity users has reached the phase switched: the route's mode is forward"},
		{func(r *ownership.Record) { r.Phase = ownership.RollingBack }, "new", "switched"},
		{func(r *ownership.Record) { r.Owner, r.Epoch = ownership.MongoDB, r.Epoch+1 }, "old", "encapsulated"},
		{func(r *ownership.Record) { r.Phase = ownership.Abandoned }, "old", "has not reached"},
	} {
		rec := m.change(step.change)
		got := m.do("GET", "/users/1", "", "")
		e := m.proxy.Explain(&route.Request{Method: "GET", Path: "/users/1"}, "")
		if got.body != step.side || e.Upstream != step.side || !strings.Contains(e.Reason, step.why) || e.Entity.Phase != rec.Phase {
			t.Errorf("%s of %s: answered by %s, explained %+v", rec.Phase, rec.Owner, got.body, e)
		}
	}
	if s := m.proxy.Stats()[0]; s.Mode != "legacy" {
		t.Errorf("told as %+v", s)
	}
}

// Without a control table, or with one that cannot be read, a route file that follows an
// entity is refused, and the routes before it stay.
func TestRouteFileWhoseEntityIsUnknown(t *testing.T) {
	w := newWorld(t)
	if err := w.proxy.Swap(t.Context(), w.compile(followed)); !errors.Is(err, follow.ErrNoControl) {
		t.Errorf("no control table: %v", err)
	}
	missing := func(context.Context) (*ownership.Table, error) { return ownership.NewTable(newDynamoDB(t), ""), nil }
	w = newWorldWith(t, proxy.Config{Follow: follow.Config{Open: missing}})
	if err := w.proxy.Swap(t.Context(), w.compile(followed)); !errors.Is(err, ownership.ErrNoTable) || len(w.proxy.Table().Routes) == 1 {
		t.Errorf("a control table that is missing: %v", err)
	}
}

// A proxy that starts while the control table is away is not ready, and says why. It passes what it is
// sent all the same, but writes of whom it does not know the owner: they wait for a while, and
// reach no side before it is known, and then the owner's alone.
func TestStartsWithoutItsControlTable(t *testing.T) {
	m := newMigration(t)
	m.change(toDynamoDB)
	m.control.setCut(true)
	start := func(maxStale time.Duration) (*proxy.Proxy, string) {
		t.Helper()
		p, err := proxy.New(t.Context(), m.compile(followed), m.config(maxStale))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		s := httptest.NewServer(p)
		t.Cleanup(s.Close)
		return p, s.URL
	}
	_, m.url = start(time.Millisecond)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/users/1", "old"}, {"POST", "/posts", "old"}, {"POST", "/users/2", "503"}, {"DELETE", "/users/1", "503"},
	} {
		got := m.do(c.method, c.path, "", "")
		if refused := got.status == 503; refused != (c.want == "503") || !refused && got.body != c.want || refused && got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s, want %s", c.method, c.path, got.status, got.body, c.want)
		}
	}

	p, url := start(time.Hour)
	m.url = url
	written := make(chan answer, 1)
	go func() { written <- m.do("POST", "/users/1", "", "") }()
	explained := func() *follow.State { return p.Explain(&route.Request{Method: "POST", Path: "/users/1"}, "").Entity }
	wait(t, func() bool { return explained().Waiting == 1 })
	admin := httptest.NewServer(proxy.Admin(p, &proxy.Reloader{Proxy: p}, "x"))
	defer admin.Close()
	resp, err := http.Get(admin.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if why, _ := io.ReadAll(resp.Body); resp.StatusCode != 503 || !strings.Contains(string(why), "users") || explained().Error == "" {
		t.Errorf("ready: %d %s, and explained as %+v", resp.StatusCode, why, explained())
	}
	if err := p.Swap(t.Context(), m.compile(strings.Replace(followed, "wait: 1h", "wait: 2h", 1))); err != nil {
		t.Errorf("a reload: %v", err)
	}
	m.control.setCut(false)
	if got := <-written; got.body != "new" {
		t.Errorf("a write that waited: %d %s", got.status, got.body)
	}
	wait(t, func() bool { return p.Ready() == nil })
}

// While writes are held, none reaches a side, reads do, and behind the hold writes go to the
// new owner's side, as they came.
func TestHeldWritesWait(t *testing.T) {
	m := newMigration(t)
	var writes atomic.Int64
	m.mu.Lock()
	echo := func(side string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method != "GET" {
				writes.Add(1)
			}
			fmt.Fprint(rw, side, " ", r.ContentLength, " ", string(body))
		}
	}
	m.world.old, m.world.new = echo("old"), echo("new")
	m.mu.Unlock()
	m.change(held)
	var clients sync.WaitGroup
	for path, body := range map[string]string{"/users/1": `{"name":"Ann"}`, "/users/2": ""} {
		clients.Go(func() {
			got := m.do("POST", path, "", body)
			if got.status != 200 || got.body != fmt.Sprintf("new %d %s", len(body), body) {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		})
	}
	wait(t, func() bool { return m.state().Waiting == 2 })
	if got := m.do("GET", "/users/1", "", ""); got.body != "old 0 " {
		t.Errorf("a read while writes are held: %d %s", got.status, got.body)
	}
	m.change(toDynamoDB)
	if n := writes.Load(); n != 0 {
		t.Errorf("%d writes were sent while they were held", n)
	}
	m.change(func(r *ownership.Record) { r.Hold = false })
	clients.Wait()
	if s := m.state(); s.Waiting != 0 || s.Waited != 2 || s.GaveUp != 0 {
		t.Errorf("told as %+v", s)
	}
	admin := httptest.NewServer(proxy.Admin(m.proxy, &proxy.Reloader{Proxy: m.proxy, Source: source.NewFile("none")}, ""))
	defer admin.Close()
	resp, err := http.Get(admin.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	figures, _ := io.ReadAll(resp.Body)
	for _, line := range []string{
		`banyan_proxy_entity_phase{entity="users",owner="dynamodb",phase="switched"} 1`, `banyan_proxy_held_requests{entity="users"} 0`,
		`banyan_proxy_held_requests_total{entity="users",refused="false"} 2`, `banyan_proxy_positions_missed_total{why="slow"} 0`,
	} {
		if !strings.Contains(string(figures), line) {
			t.Errorf("the figures have no line %s", line)
		}
	}
}

// A write that is held for too long, or beside too many, is answered by 503 with Retry-After,
// and was sent nowhere.
func TestHeldForTooLong(t *testing.T) {
	m := newMigration(t)
	fail := func(http.ResponseWriter, *http.Request) { t.Error("sent") }
	m.mu.Lock()
	m.world.old, m.world.new = fail, fail
	m.mu.Unlock()
	for _, bound := range []string{"wait: 10ms", "wait: 1h, maxWaiting: 1"} {
		m.swap(strings.Replace(followed, "wait: 1h, maxWaiting: 2", bound, 1))
		m.change(func(r *ownership.Record) { r.Hold = false })
		m.change(held)
		ctx, cancel := context.WithCancel(t.Context())
		var first sync.WaitGroup
		if strings.Contains(bound, "maxWaiting") {
			first.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, "DELETE", m.url+"/users/2", nil)
				if resp, err := http.DefaultClient.Do(req); err == nil {
					t.Errorf("the first one was answered %d", resp.StatusCode)
					_ = resp.Body.Close()
				}
			})
			wait(t, func() bool { return m.state().Waiting == 1 })
		}
		got := m.do("DELETE", "/users/1", "", "")
		if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "nothing was written") {
			t.Errorf("%s: %d %v %s", bound, got.status, got.header, got.body)
		}
		cancel()
		first.Wait()
	}
	wait(t, func() bool { return m.proxy.Stats()[0].Causes["client-gone"] == 1 && m.proxy.Stats()[0].Failed == 3 })
	if s := m.proxy.Stats()[0]; s.Causes["held"] != 2 || s.Failed != 3 {
		t.Errorf("counted as %+v", s)
	}
}

// A client that goes away frees its place, with a body and without.
func TestClientThatGoesAwayFreesItsPlace(t *testing.T) {
	m := newMigration(t)
	m.change(held)
	for _, request := range []string{"DELETE /users/1 HTTP/1.1\r\nHost: a\r\n\r\n", "POST /users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(m.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, request)
		wait(t, func() bool { return m.state().Waiting == 1 })
		_ = conn.Close()
		wait(t, func() bool { return m.state().Waiting == 0 })
	}
}

// A write that was held leaves its connection to the client's next request.
func TestHeldWriteKeepsItsConnection(t *testing.T) {
	m := newMigration(t)
	m.change(held)
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
	wait(t, func() bool { return m.state().Waiting == 1 })
	m.change(func(r *ownership.Record) { r.Hold = false })
	answers := bufio.NewReader(conn)
	for range 2 {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "old" {
			t.Errorf("%d %s, %v", resp.StatusCode, body, err)
		}
		_ = resp.Body.Close()
		fmt.Fprint(conn, "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n")
	}
}

// shelf is a store of a service, which refuses who is not its owner.
type shelf struct {
	mu     sync.Mutex
	fenced bool
	kept   map[string]bool
}

func (s *shelf) fence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fenced = on
}

func (s *shelf) put(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced {
		return ownership.ErrFenced
	}
	s.kept[id] = true
	return nil
}

// TestOwnerChangesUnderTraffic: the owner changes to and fro while clients write through the
// proxy: no request fails, and what was acknowledged is in a store. Both sides reach the store
// as members do, since a request may go by the record before; once, the proxy sees nothing of
// a whole change.
func TestOwnerChangesUnderTraffic(t *testing.T) {
	m := newMigration(t)
	m.swap(strings.Replace(followed, ", maxWaiting: 2", "", 1))
	ctx := t.Context()
	stores := map[ownership.Store]*shelf{
		ownership.MongoDB: {kept: map[string]bool{}}, ownership.DynamoDB: {kept: map[string]bool{}, fenced: true},
	}
	var served [2]atomic.Int64
	side := func(n int) http.HandlerFunc {
		member, err := ownership.Join(ctx, ownership.MemberConfig{
			Table: m.table, Entity: "users", Lease: ownership.MaxLease, Poll: 20 * time.Millisecond, MaxWait: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = member.Leave(context.WithoutCancel(ctx)) })
		return func(rw http.ResponseWriter, r *http.Request) {
			served[n].Add(1)
			err := member.Write(r.Context(), func(_ context.Context, g ownership.Grant) error { return stores[g.Owner].put(r.URL.Path) })
			if err != nil {
				http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			}
		}
	}
	m.mu.Lock()
	m.world.old, m.world.new = side(0), side(1)
	m.mu.Unlock()

	var clients sync.WaitGroup
	var acknowledged sync.Map
	stop := make(chan struct{})
	write := func(path string) bool {
		got := m.do("PUT", path, "", "{}")
		if got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
			return false
		}
		acknowledged.Store(path, true)
		return true
	}
	for c := range 4 {
		clients.Go(func() {
			for i := 0; write(fmt.Sprintf("/users/%d-%d", c, i)); i++ {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	acked := func(rec ownership.Record) {
		t.Helper()
		if err := m.table.AwaitAck(ctx, "users", rec.Revision); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		from, to, n := ownership.MongoDB, ownership.DynamoDB, 1
		change := toDynamoDB
		if i%2 == 1 {
			from, to, n = to, from, 0
			change = func(r *ownership.Record) {
				r.Owner, r.Epoch, r.Phase = ownership.MongoDB, r.Epoch+1, ownership.Shadowing
			}
		}
		blind := i == 2
		m.control.setCut(blind)
		acked(m.change(held))
		clients.Go(func() { write(fmt.Sprint("/users/late-", i)) }) // the others may wait in the service
		wait(t, func() bool { return blind || m.state().Waiting > 0 })
		stores[from].fence(true)
		acked(m.change(change))
		stores[to].fence(false)
		m.change(func(r *ownership.Record) { r.Hold = false })
		total, before := served[0].Load()+served[1].Load(), served[n].Load()
		wait(t, func() bool { return served[0].Load()+served[1].Load() > total+10 })
		m.control.setCut(false)
		wait(t, func() bool { return served[n].Load() > before+10 })
	}
	close(stop)
	clients.Wait()
	count := 0
	acknowledged.Range(func(path, _ any) bool {
		count++
		if id := path.(string); !stores[ownership.MongoDB].kept[id] && !stores[ownership.DynamoDB].kept[id] {
			t.Errorf("%s was acknowledged and is nowhere", id)
		}
		return true
	})
	if s := m.state(); count < 60 || s.Waited < 5 || s.GaveUp > 0 {
		t.Errorf("%d writes, %+v", count, s)
	}
}
