package jsonclient_test

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
	"github.com/banyan-fig/banyan/services/jsonclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, cfg jsonclient.Config) *jsonclient.Client {
	t.Helper()
	c, err := jsonclient.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func get(ctx context.Context, c *jsonclient.Client) error {
	var out map[string]any
	_, err := c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/users/1", Out: &out})
	return err
}

// flaky answers requests one after the other as told, then with 200 and an object.
func flaky(t *testing.T, how ...http.HandlerFunc) (string, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if i := int(n.Add(1)) - 1; i < len(how) {
			how[i](w, r)
			return
		}
		_, _ = io.WriteString(w, `{"name":"Ann"}`)
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
		patience time.Duration
		requests int64
		err      error
	}{
		{"well", nil, time.Minute, 1, nil},
		{"unavailable, failing, cut off", []http.HandlerFunc{status(503), status(500), cutOff, status(429)}, time.Minute, 5, nil},
		{"hanging", []http.HandlerFunc{hang}, 500 * time.Millisecond, 2, nil},
		{"not found is an answer", []http.HandlerFunc{status(404)}, time.Minute, 1, jsonclient.ErrNotFound},
		{"no JSON is an answer", []http.HandlerFunc{writing("<html>")}, time.Minute, 1, jsonclient.ErrResponse},
		{"too much is an answer", []http.HandlerFunc{writing(strings.Repeat(" ", 2000))}, time.Minute, 1, jsonclient.ErrResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, n := flaky(t, c.how...)
			api := newClient(t, jsonclient.Config{BaseURL: url, AttemptTimeout: c.patience, Backoff: time.Millisecond, MaxBody: 1000})
			err := get(t.Context(), api)
			sent := n.Load()
			if c.patience < time.Minute {
				sent = min(sent, c.requests) // an answer may come too late on a busy machine, too
			}
			if !errors.Is(err, c.err) || sent != c.requests {
				t.Errorf("Get = %v after %d requests; want %v after %d", err, sent, c.err, c.requests)
			}
		})
	}
}

// TestSeveralInstances: an attempt that fails is followed by one at the next instance, at
// which later calls begin; a write without an answer is counted.
func TestSeveralInstances(t *testing.T) {
	first, requests := flaky(t, cutOff)
	second, others := flaky(t)
	api := newClient(t, jsonclient.Config{BaseURL: first + ", " + second + "/", Backoff: time.Millisecond})
	for range 3 {
		if _, err := api.Do(t.Context(), jsonclient.Call{Method: http.MethodPatch, Path: "/v1/users/1", In: map[string]string{"name": "Ann"}}); err != nil {
			t.Fatal(err)
		}
	}
	if s := api.Stats(); requests.Load() != 1 || others.Load() != 3 || s != (jsonclient.Stats{Retried: 1, Unknown: 1}) {
		t.Errorf("%d and %d requests, %+v", requests.Load(), others.Load(), s)
	}
}

func TestDeadline(t *testing.T) {
	api := newClient(t, jsonclient.Config{BaseURL: "http://127.0.0.1:1", Backoff: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := get(ctx, api)
	if !errors.Is(err, jsonclient.ErrUnavailable) || time.Since(began) > time.Minute || !strings.Contains(err.Error(), "attempts") {
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
	api := newClient(t, jsonclient.Config{
		BaseURL: url, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, BreakAfter: 3, BreakFor: time.Second,
	})
	began := time.Now()
	err := get(ctx, api)
	sent, inTime := n.Load(), time.Since(began) < time.Second // when the breaker lets none through
	if inTime && (!errors.Is(err, jsonclient.ErrUnavailable) || sent != 3) {
		t.Errorf("Get = %v after %d requests; want the breaker to open after 3", err, sent)
	}
	if err := get(t.Context(), api); err != nil || inTime && n.Load() != 4 {
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
	if err := get(ctx, newClient(t, jsonclient.Config{BaseURL: url})); err != nil {
		t.Fatal(err)
	}
	if id := <-got; id != "c-1" {
		t.Errorf("correlation id %q, want c-1", id)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:80", "ftp://x", "http://"} {
		if (jsonclient.Config{BaseURL: url}).Validate() == nil {
			t.Errorf("BaseURL %q is taken", url)
		}
	}
}
