package acceptance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Target is an API, wherever it runs.
type Target interface {
	// String says where it is.
	fmt.Stringer
	// Do sends a request whose URL has only a path and query.
	Do(r *http.Request) (*http.Response, error)
}

// Handler is an API in this process.
func Handler(h http.Handler) Target { return direct{h} }

type direct struct{ handler http.Handler }

func (direct) String() string { return "a handler in this process" }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RequestURI = r.URL.RequestURI()
	d.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// URL is an API at an address, such as "https://users.stage.example". Its
// connections are closed with the test, which ends at once where it cannot be one.
func URL(t testing.TB, base string) Target {
	t.Helper()
	if err := checkURL(base); err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return remote{strings.TrimSuffix(base, "/"), &http.Client{Transport: transport, Timeout: requestTimeout}}
}

type remote struct {
	base   string
	client *http.Client
}

func (r remote) String() string { return r.base }

func (r remote) Do(req *http.Request) (*http.Response, error) {
	whole, err := http.NewRequestWithContext(req.Context(), req.Method, r.base+req.URL.RequestURI(), req.Body)
	if err != nil {
		return nil, err
	}
	whole.Header, whole.ContentLength = req.Header, req.ContentLength
	return r.client.Do(whole)
}

// Bounds of waiting.
const (
	requestTimeout = 20 * time.Second
	patience       = 30 * time.Second // for what becomes visible later
	firstPause     = 5 * time.Millisecond
	longestPause   = 2 * time.Second
)

// request is one request of a case.
type request struct {
	method, path, body string
	token              string
	header             map[string]string
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// read decodes the body.
func (r reply) read(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Fatalf("%v in %.300s", err, r.body)
	}
}

// passing are the statuses of a moment. All requests of the cases bear repeating.
var passing = map[int]bool{http.StatusTooManyRequests: true, http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true}

// refused says why an answer is one of a moment. API Gateway says of a throttled
// function that there was an internal error, in these words.
func (r reply) refused() error {
	if passing[r.status] || r.status == http.StatusInternalServerError && strings.TrimSpace(r.body) == `{"message":"Internal Server Error"}` {
		return fmt.Errorf("status %d: %.300s", r.status, r.body)
	}
	return nil
}

// ask sends a request, again where it was refused for a moment, half a minute at
// most.
func ask(t testing.TB, to Target, r request) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := patient(ctx, to, r)
	if err != nil {
		t.Fatalf("%s %s: not within %s: %v", r.method, r.path, patience, err)
	}
	return answer
}

// patient is ask until ctx ends.
func patient(ctx context.Context, to Target, r request) (answer reply, err error) {
	err = again(ctx, func(ctx context.Context) error {
		var err error
		if answer, err = once(ctx, to, r); err != nil {
			return err
		}
		return answer.refused()
	})
	return answer, err
}

func once(ctx context.Context, to Target, r request) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.path, bytes.NewBufferString(r.body))
	if err != nil {
		return reply{}, err
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	res, err := to.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text)}, err
}

// Eventually tries until there is no error, with growing pauses, half a minute at
// most; then it fails the test with the last one.
func Eventually(t testing.TB, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := again(ctx, try); err != nil {
		t.Fatalf("%s: not within %s: %v", what, patience, err)
	}
}

// again tries until there is no error or ctx ends, which is no reason to forget the
// error before.
func again(ctx context.Context, try func(context.Context) error) (last error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
	}
}

// run names what one run of a case makes.
type run struct {
	t  testing.TB
	id string
}

func newRun(t testing.TB) run {
	r := run{t, strings.ToLower(rand.Text()[:12])}
	t.Logf("what this run makes is named %q", r.id)
	return r
}

// email is one that cannot be anybody's (RFC 2606).
func (r run) email(who string) string { return "acceptance+" + r.id + "-" + who + "@example.invalid" }

// name shows what may be deleted.
func (r run) name(who string) string { return "Acceptance " + r.id + " " + who }

// mark is for texts that stay.
func (r run) mark() string { return "made by the acceptance test " + r.id + ", may be deleted" }

// password is kept by nobody.
func (r run) password() string { return rand.Text() }

// expect fails the test unless the status is right and the body has all parts.
func (r run) expect(what string, got reply, status int, parts ...string) {
	r.t.Helper()
	if got.status != status {
		r.t.Fatalf("%s: status %d, want %d: %.300s", what, got.status, status, got.body)
	}
	for _, part := range parts {
		if !strings.Contains(got.body, part) {
			r.t.Errorf("%s: %.300s has no %s", what, got.body, part)
		}
	}
}

// problem expects an application/problem+json.
func (r run) problem(what string, got reply, status int, kind string) {
	r.t.Helper()
	r.expect(what, got, status, `"/problems/`+kind+`"`)
	if contentType := got.header.Get("Content-Type"); contentType != "application/problem+json" {
		r.t.Errorf("%s: content type %q", what, contentType)
	}
}

// object is JSON of it.
func object(members map[string]any) string {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err) // the cases send nothing but texts
	}
	return string(text)
}
