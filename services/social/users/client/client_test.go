package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/services/social/users/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestAgainstTheService goes through all calls over the wire.
func TestAgainstTheService(t *testing.T) {
	at := userstest.NewInstance(t, userstest.Mongo(t), userstest.Dynamo(t), userstest.NewStream(t).Publisher)
	c := newClient(t, client.Config{BaseURL: at.URL})
	ctx := t.Context()
	when := time.Date(2020, 1, 2, 3, 4, 5, 6e6, time.UTC)
	ann := client.NewUser{ID: client.NewID(when), Name: "Ann", Email: "ann@x.y", Password: "pw", CreatedAt: &when}
	w, err := c.Create(ctx, ann)
	if err != nil || !w.Created || w.Position.Sequence == "" || !w.User.CreatedAt.Equal(when) {
		t.Fatalf("Create = %+v, %v", w, err)
	}
	if again, err := c.Create(ctx, ann); err != nil || again.Created || !w.Position.Before(again.Position) {
		t.Errorf("Create again = %+v, %v", again, err)
	}
	clash := ann
	clash.ID = client.NewID(when)
	if _, err := c.Create(ctx, clash); !errors.Is(err, client.ErrEmailTaken) || !errors.Is(err, client.ErrConflict) {
		t.Errorf("Create with the same e-mail = %v", err)
	}
	clash = ann
	clash.Email = "else@x.y"
	if _, err := c.Create(ctx, clash); !errors.Is(err, client.ErrIDTaken) {
		t.Errorf("Create with the same id = %v", err)
	}
	if _, err := c.Create(ctx, client.NewUser{ID: ann.ID}); !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "name") {
		t.Errorf("Create of nothing = %v", err)
	}
	bio, version := "hello", int64(1)
	if w, err = c.Update(ctx, ann.ID, client.Change{Bio: &bio, IfVersion: &version}); err != nil || w.User.Bio != bio || w.User.Version != 2 {
		t.Errorf("Update = %+v, %v", w, err)
	}
	bio = "other"
	if _, err = c.Update(ctx, ann.ID, client.Change{Bio: &bio, IfVersion: &version}); !errors.Is(err, client.ErrVersion) {
		t.Errorf("Update of a former version = %v", err)
	}
	nobody := client.NewID(when)
	if _, err := c.Get(ctx, nobody); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("Get of nobody = %v", err)
	}
	ids := []string{ann.ID}
	for range 150 {
		ids = append(ids, client.NewID(when))
	}
	if found, err := c.GetMany(ctx, ids); err != nil || len(found) != 1 || found[ann.ID].Bio != "hello" {
		t.Errorf("GetMany = %v, %v", found, err)
	}
	if page, err := c.List(ctx, "", 10); err != nil || len(page.Users) != 1 || page.Next != "" {
		t.Errorf("List = %+v, %v", page, err)
	}
	if u, err := c.Authenticate(ctx, "ann@x.y", "pw"); err != nil || u.ID != ann.ID {
		t.Errorf("Authenticate = %+v, %v", u, err)
	}
	if _, err := c.Authenticate(ctx, "ann@x.y", "no"); !errors.Is(err, client.ErrCredentials) {
		t.Errorf("Authenticate wrongly = %v", err)
	}
}

// flaky answers requests one after the other as told, then with 200 and a user.
func flaky(t *testing.T, how ...http.HandlerFunc) (string, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if i := int(n.Add(1)) - 1; i < len(how) {
			how[i](w, r)
			return
		}
		_, _ = io.WriteString(w, `{"id":"59b99db4cfa9a34dcd7885b6","name":"Ann"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, &n
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func writing(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func cutOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name     string
		how      []http.HandlerFunc
		requests int64
		err      error
	}{
		{"well", nil, 1, nil},
		{"unavailable, failing, cut off", []http.HandlerFunc{status(503), status(500), cutOff, status(429)}, 5, nil},
		{"hanging", []http.HandlerFunc{hang}, 2, nil},
		{"not found is an answer", []http.HandlerFunc{status(404)}, 1, client.ErrNotFound},
		{"no JSON is an answer", []http.HandlerFunc{writing("<html>")}, 1, client.ErrResponse},
		{"too much is an answer", []http.HandlerFunc{writing(strings.Repeat(" ", 2000))}, 1, client.ErrResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, n := flaky(t, c.how...)
			people := newClient(t, client.Config{BaseURL: url, AttemptTimeout: 200 * time.Millisecond, Backoff: time.Millisecond, MaxBody: 1000})
			_, err := people.Get(t.Context(), "59b99db4cfa9a34dcd7885b6")
			if !errors.Is(err, c.err) || n.Load() != c.requests {
				t.Errorf("Get = %v after %d requests; want %v after %d", err, n.Load(), c.err, c.requests)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	people := newClient(t, client.Config{BaseURL: "http://127.0.0.1:1", Backoff: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := people.Get(ctx, "59b99db4cfa9a34dcd7885b6")
	if !errors.Is(err, client.ErrUnavailable) || time.Since(began) > time.Minute || !strings.Contains(err.Error(), "attempts") {
		t.Errorf("Get of a closed port = %v after %s", err, time.Since(began))
	}
}

// The open breaker sends nothing; one request finds out that the service is back.
func TestBreaker(t *testing.T) {
	var how []http.HandlerFunc
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		how = append(how, status(500))
	}
	how = append(how, func(w http.ResponseWriter, r *http.Request) {
		status(500)(w, r)
		time.AfterFunc(100*time.Millisecond, cancel) // while the breaker is open
	})
	url, n := flaky(t, how...)
	people := newClient(t, client.Config{
		BaseURL: url, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, BreakAfter: 3, BreakFor: time.Second,
	})
	if _, err := people.Get(ctx, "59b99db4cfa9a34dcd7885b6"); !errors.Is(err, client.ErrUnavailable) || n.Load() != 3 {
		t.Errorf("Get = %v after %d requests; want the breaker to open after 3", err, n.Load())
	}
	if _, err := people.Get(t.Context(), "59b99db4cfa9a34dcd7885b6"); err != nil || n.Load() != 4 {
		t.Errorf("Get once the breaker lets one through = %v after %d requests", err, n.Load())
	}
}

func TestCorrelation(t *testing.T) {
	got := make(chan string, 1)
	url, _ := flaky(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get(correlation.HeaderCorrelation)
		_, _ = io.WriteString(w, `{}`)
	})
	ctx := correlation.With(t.Context(), correlation.IDs{CorrelationID: "c-1"})
	if _, err := newClient(t, client.Config{BaseURL: url}).Get(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if id := <-got; id != "c-1" {
		t.Errorf("correlation id %q, want c-1", id)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:80", "ftp://x", "http://"} {
		if (client.Config{BaseURL: url}).Validate() == nil {
			t.Errorf("BaseURL %q is taken", url)
		}
	}
}
