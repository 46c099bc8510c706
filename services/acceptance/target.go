package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Target is an API, wherever it runs.
type Target interface {
	// String returns the address, for messages.
	fmt.Stringer
	// Do sends a request whose URL has only a path and query.
	Do(r *http.Request) (*http.Response, error)
}

// Handler is an API in this process.
func Handler(h http.Handler) Target { return inProcess{h} }

type inProcess struct{ handler http.Handler }

func (inProcess) String() string { return "a handler in this process" }

func (p inProcess) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RequestURI = r.URL.RequestURI()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// URL is an API at an address, such as "https://orders.stage.example". Its
// connections are closed when the test ends. An invalid address fails the test.
func URL(t testing.TB, base string) Target {
	t.Helper()
	if err := checkURL(base); err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return remote{strings.TrimSuffix(base, "/"), &http.Client{Transport: transport, Timeout: requestTimeout}}
}

func checkURL(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("invalid API address %q: it must be https://host or https://host/stage", base)
	}
	return nil
}

type remote struct {
	base   string
	client *http.Client
}

func (r remote) String() string { return r.base }

func (r remote) Do(req *http.Request) (*http.Response, error) {
	out, err := http.NewRequestWithContext(req.Context(), req.Method, r.base+req.URL.RequestURI(), req.Body)
	if err != nil {
		return nil, err
	}
	out.Header, out.ContentLength = req.Header, req.ContentLength
	return r.client.Do(out)
}

// Bounds of waiting.
const (
	requestTimeout = 20 * time.Second
	probeTimeout   = 15 * time.Second // a function may have to start, a stage may be changing
	caseTimeout    = 30 * time.Second // for one response, or an effect that becomes visible later
)

var between = backoff.Backoff{Min: 5 * time.Millisecond, Max: 2 * time.Second}

// Request is one request of a case. A body is sent as application/json.
type Request struct {
	Method, Path, Body string
	Token              string // for the Authorization header; "": none
	Header             map[string]string
}

// Reply is a whole response.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// Decode reads the body as JSON, or fails the test.
func (r Reply) Decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Body), into); err != nil {
		t.Fatalf("%v in %.300s", err, r.Body)
	}
}

// transient are the statuses of an API that refuses only for the moment.
var transient = map[int]bool{
	http.StatusTooManyRequests: true, http.StatusBadGateway: true,
	http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true,
}

// transientError is nil unless the API refused for the moment. API Gateway reports a
// throttled function as an internal error with this body.
func (r Reply) transientError() error {
	const throttled = `{"message":"Internal Server Error"}`
	if transient[r.Status] || r.Status == http.StatusInternalServerError && strings.TrimSpace(r.Body) == throttled {
		return fmt.Errorf("status %d: %.300s", r.Status, r.Body)
	}
	return nil
}

// Send sends a request once, and returns any response.
func Send(ctx context.Context, to Target, r Request) (Reply, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.Path, bytes.NewBufferString(r.Body))
	if err != nil {
		return Reply{}, err
	}
	if r.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	res, err := to.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return Reply{res.StatusCode, res.Header, string(body)}, err
}

// sendRepeatedly sends a request until it gets a final response or ctx ends.
func sendRepeatedly(ctx context.Context, to Target, r Request) (reply Reply, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		var err error
		if reply, err = Send(ctx, to, r); err != nil {
			return err
		}
		return reply.transientError()
	})
	return reply, err
}

// retry tries until there is no error or ctx ends; then it returns the last error
// that was not merely the end of ctx.
func retry(ctx context.Context, try func(context.Context) error) (last error) {
	for attempt := 0; ; attempt++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if between.Wait(ctx, attempt) != nil {
			return last
		}
	}
}
