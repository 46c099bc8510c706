package subject_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/token"
)

// sessions is the app that knows whose a session is.
type sessions struct {
	*httptest.Server
	calls  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc] // default: {"user":{"id":...}} of the cookie
}

func newSessions(t testing.TB) *sessions {
	s := &sessions{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		if h := s.answer.Load(); h != nil {
			(*h)(w, r)
			return
		}
		c, err := r.Cookie("session")
		if err != nil || !strings.HasPrefix(c.Value, "of-") || r.URL.Path != "/api/me" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"user":{"id":%s,"name":"x"}}`, strings.TrimPrefix(c.Value, "of-"))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sessions) serve(h http.HandlerFunc) { s.answer.Store(&h) }

const cookieLookup = `
sources:
  - cookie: session
    lookup: {url: "${LEGACY}/api/me", subject: /user/id, ttl: 1m, negativeTTL: 5s, timeout: 10m, maxCalls: 2}
`

// TestLookup: one call for a session until its time is over, whether it is somebody's or
// not.
func TestLookup(t *testing.T) {
	var c clock
	s := newSessions(t)
	r := openAt(t, c.now, cookieLookup, map[string]string{"LEGACY": s.URL})
	calls := func(want int64) {
		t.Helper()
		if n := s.calls.Load(); n != want {
			t.Errorf("%d calls, want %d", n, want)
		}
	}
	for range 3 {
		expect(t, r, "a session", "9007199254740993", "Cookie", "session=of-9007199254740993; theme=dark")
		expect(t, r, "nobody's", "!lookup-refused", "Cookie", "session=stale")
	}
	expect(t, r, "a very long one", "!malformed", "Cookie", "session=of-"+strings.Repeat("1", token.MaxSize))
	expect(t, r, "no cookie", "", "Cookie", "theme=dark")
	calls(2)
	c.advance(5 * time.Second)
	expect(t, r, "nobody's again", "!lookup-refused", "Cookie", "session=stale")
	expect(t, r, "still remembered", "9007199254740993", "Cookie", "session=of-9007199254740993")
	calls(3)
	c.advance(time.Minute)
	s.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	for range 2 {
		expect(t, r, "a session that has ended", "!lookup-refused", "Cookie", "session=of-9007199254740993")
	}
	calls(4)
}

// TestLookupAnswers: what an app may answer instead.
func TestLookupAnswers(t *testing.T) {
	s := newSessions(t)
	r := open(t, cookieLookup, map[string]string{"LEGACY": s.URL})
	n := 0
	for name, c := range map[string]struct {
		status     int
		body, want string
	}{
		"to the log-in page": {http.StatusFound, "", "!lookup-refused"},
		"the log-in page":    {http.StatusOK, "<html>", "!no-subject"},
		"nothing":            {http.StatusNoContent, "", "!no-subject"},
		"nobody":             {http.StatusOK, `{"user":null}`, "!no-subject"},
		"another shape":      {http.StatusOK, `[{"user":{"id":1}}]`, "!no-subject"},
		"twice":              {http.StatusOK, `{"user":{"id":1},"user":{"id":2}}`, "!no-subject"},
		"deep":               {http.StatusOK, strings.Repeat("[", 1<<19), "!no-subject"},
		"too long":           {http.StatusOK, `{"user":{"id":1},"x":"` + strings.Repeat("x", 1<<20) + `"}`, "!no-subject"},
		"a path":             {http.StatusOK, `{"user":{"id":".."}}`, "!unusable-subject"},
		"not found":          {http.StatusNotFound, `{"user":{"id":1}}`, "!lookup-refused"},
		"a failure":          {http.StatusInternalServerError, `{"user":{"id":1}}`, "!lookup-failed"},
		"overload":           {http.StatusTooManyRequests, "", "!lookup-failed"},
		"somebody":           {http.StatusCreated, `{"user":{"id":"ada"}}`, "ada"},
	} {
		s.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		n++
		expect(t, r, name, c.want, "Cookie", fmt.Sprint("session=of-", n))
	}
	if calls := s.calls.Load(); calls != int64(n) {
		t.Errorf("%d calls for %d sessions", calls, n)
	}
}

// TestIntrospection is RFC 7662: the token in a form, our own credentials, and "active".
func TestIntrospection(t *testing.T) {
	s := newSessions(t)
	s.serve(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Basic cHJveHk6cHc=" || r.Header.Get("Cookie") != "" || r.Host != "auth.example" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"active":%t,"sub":"ada"}`, r.PostFormValue("token") == "a&b=c")
	})
	r := open(t, `sources: [{lookup: {url: "${URL}", host: auth.example, parameter: token, authorizationEnv: AUTHORIZATION}}]`,
		map[string]string{"URL": s.URL, "AUTHORIZATION": "Basic cHJveHk6cHc="})
	expect(t, r, "active", "ada", "Authorization", "Bearer a&b=c")
	expect(t, r, "not active", "!lookup-refused", "Authorization", "Bearer other")
}

// TestLookupIsShared: all that ask for one session at a time share a call; there are no
// more calls than allowed, and whoever leaves does not end the call of the others.
func TestLookupIsShared(t *testing.T) {
	s, hold := newSessions(t), make(chan struct{})
	s.serve(func(w http.ResponseWriter, r *http.Request) { <-hold; fmt.Fprint(w, `{"user":{"id":"ada"}}`) })
	r := open(t, cookieLookup, map[string]string{"LEGACY": s.URL})
	var all sync.WaitGroup
	all.Go(func() { expect(t, r, "the first", "ada", "Cookie", "session=of-1") })
	eventually.True(t, "a call", func() bool { return s.calls.Load() == 1 })
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := r.Resolve(request("Cookie", "session=of-1").WithContext(gone)); !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	for range 10 {
		all.Go(func() { expect(t, r, "shared", "ada", "Cookie", "session=of-1") })
	}
	all.Go(func() { expect(t, r, "another", "ada", "Cookie", "session=of-2") })
	eventually.True(t, "another call", func() bool { return s.calls.Load() == 2 })
	expect(t, r, "one too many", "!lookup-failed", "Cookie", "session=of-3")
	close(hold)
	all.Wait()
	if n := s.calls.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
	if got := r.Reasons(); len(got) != 1 || got["lookup-failed"] != 1 {
		t.Errorf("reasons %v: a client that leaves is no failure", got)
	}
}

// TestLookupIsDown: requests have no subject; after some failures nobody waits any more;
// what is remembered still counts.
func TestLookupIsDown(t *testing.T) {
	s := newSessions(t)
	r := open(t, cookieLookup, map[string]string{"LEGACY": s.URL})
	expect(t, r, "before", "1", "Cookie", "session=of-1")
	s.serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	began := time.Now()
	for n := range 50 {
		expect(t, r, "down", "!lookup-failed", "Cookie", fmt.Sprint("session=of-7", n))
	}
	probes := int64(time.Since(began) / (5 * time.Second))
	if n := s.calls.Load(); n > 1+2*(5+probes) { // net/http may repeat a GET once
		t.Errorf("%d calls", n)
	}
	expect(t, r, "remembered", "1", "Cookie", "session=of-1")
}

// TestLookupOfOpaqueTokensOnly: a JWT that is the issuer's, though over, is not looked up.
func TestLookupOfOpaqueTokensOnly(t *testing.T) {
	s := newSessions(t)
	s.serve(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"sub":"ada"}`) })
	r := open(t, `sources: [{jwt: {algorithms: [HS256], keys: [{env: SECRET}]}}, {lookup: {url: "${URL}"}}]`,
		map[string]string{"URL": s.URL, "SECRET": secret})
	expect(t, r, "over", "!expired", "Authorization", "Bearer "+hs(t, secret, jwt.MapClaims{"sub": "eve", "exp": 1}))
	expect(t, r, "opaque", "ada", "Authorization", "Bearer 9f86d081")
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestCallEndsWithItsRequests: a call that nobody waits for any more ends, which says
// nothing about the app; Close waits for the others.
func TestCallEndsWithItsRequests(t *testing.T) {
	s, ended, hold := newSessions(t), make(chan struct{}), make(chan struct{})
	s.serve(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Cookie("session"); c.Value == "of-1" {
			<-r.Context().Done()
			ended <- struct{}{}
			return
		}
		<-hold
		fmt.Fprint(w, `{"user":{"id":"ada"}}`)
	})
	r := open(t, cookieLookup, map[string]string{"LEGACY": s.URL})
	for n := range int64(6) { // more than the failures in a row that stop calls
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := r.Resolve(request("Cookie", "session=of-1").WithContext(ctx)); left <- err }()
		eventually.True(t, "a call", func() bool { return s.calls.Load() == n+1 })
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		<-ended
	}
	var all sync.WaitGroup
	all.Go(func() { expect(t, r, "in flight at the end", "ada", "Cookie", "session=of-2") })
	eventually.True(t, "a call", func() bool { return s.calls.Load() == 7 })
	all.Go(r.Close)
	close(hold)
	all.Wait()
	expect(t, r, "after the end", "ada", "Cookie", "session=of-3")
}
