package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// world is an API before a function, both over the wire.
type world struct {
	t      *testing.T
	lambda *lambda.Client
	http   *http.Client
	log    *output
	// throttled makes Lambda refuse every invocation.
	throttled *atomic.Bool
}

// output is read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.buf.Reset()
	return o.buf.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	throttled := new(atomic.Bool)
	host := functiontest.Start(t, sandbox.Config{Fault: func(string) (f fault.Fault) {
		if throttled.Load() {
			f.Kind = fault.Throttle
		}
		return f
	}})
	functiontest.Deploy(t, host.Client, "api", functiontest.Small(t, functiontest.Build(t, "./internal/testfunction")), nil)
	plain := &http.Transport{DisableCompression: true}
	t.Cleanup(plain.CloseIdleConnections)
	return &world{t, host.Client, &http.Client{Transport: plain, Timeout: time.Minute}, &output{}, throttled}
}

// serve starts an API and returns its URL.
func (w *world) serve(cfg httpapi.Config) string {
	w.t.Helper()
	cfg.Lambda, cfg.Logger = w.lambda, slog.New(slog.NewJSONHandler(w.log, nil))
	if cfg.Function == "" {
		cfg.Function = "api"
	}
	return functiontest.Serve(w.t, cfg)
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (w *world) send(method, url, body string, change ...func(*http.Request)) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, do := range change {
		do(r)
	}
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

// event is what the function got of a request.
func (w *world) event(method, url, body string, change ...func(*http.Request)) (e awsevents.APIGatewayV2HTTPRequest) {
	w.t.Helper()
	got := w.send(method, url, body, change...)
	if err := json.Unmarshal([]byte(got.body), &e); err != nil || got.status != 200 || got.header.Get("Content-Type") != "application/json" {
		w.t.Fatalf("%+v, %v", got, err)
	}
	return e
}

func header(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header[http.CanonicalHeaderKey(pairs[i])] = append(r.Header[http.CanonicalHeaderKey(pairs[i])], pairs[i+1])
		}
	}
}

// TestAPI is one test for there is one function to build.
func TestAPI(t *testing.T) {
	w := newWorld(t)
	url := w.serve(httpapi.Config{})
	t.Run("event", func(t *testing.T) { testEvent(t, w, url) })
	t.Run("paths", func(t *testing.T) { testPaths(t, w, url) })
	t.Run("bodies", func(t *testing.T) { testBodies(t, w, url) })
	t.Run("stage", func(t *testing.T) { testStage(t, w) })
	t.Run("answers", func(t *testing.T) { testAnswers(t, w, url) })
	t.Run("failures", func(t *testing.T) { testFailures(t, w, url) })
}

func testEvent(t *testing.T, w *world, url string) {
	begin := time.Now()
	e := w.event("GET", url+"/v1/x?a=1&b=%20y&a=2", "", header("X-Many", "one", "X-Many", "two, three", "Cookie", "a=1; b=2", "Cookie", "c=3",
		"X-Forwarded-For", "198.51.100.1", "Connection", "x-hop", "X-Hop", "1", "Te", "trailers", "Proxy-Authorization", "secret", "User-Agent", "tests"))
	if e.Version != "2.0" || e.RouteKey != "$default" || e.RawQueryString != "a=1&b=%20y&a=2" || e.Body != "" || e.IsBase64Encoded {
		t.Errorf("%+v", e)
	}
	if want := map[string]string{"a": "1,2", "b": " y"}; !cmp.Equal(e.QueryStringParameters, want) {
		t.Errorf("parameters %v", e.QueryStringParameters)
	}
	if want := []string{"a=1", "b=2", "c=3"}; !cmp.Equal(e.Cookies, want) {
		t.Errorf("cookies %q", e.Cookies)
	}
	for name, want := range map[string]string{"x-many": "one,two, three", "x-forwarded-for": "198.51.100.1, 127.0.0.1", "x-forwarded-proto": "http",
		"host": strings.TrimPrefix(url, "http://"), "content-length": "0", "cookie": "", "x-hop": "", "te": "", "connection": "", "proxy-authorization": ""} {
		if got, is := e.Headers[name]; got != want || is != (want != "") {
			t.Errorf("header %s: %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(e.Headers["x-amzn-trace-id"], "Root=1-") {
		t.Errorf("headers %v", e.Headers)
	}
	c := e.RequestContext
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", c.Time)
	if c.HTTP.Method != "GET" || c.HTTP.SourceIP != "127.0.0.1" || c.HTTP.Protocol != "HTTP/1.1" || c.HTTP.UserAgent != "tests" ||
		c.Stage != "$default" || c.DomainName != "127.0.0.1" ||
		c.RequestID == "" || err != nil || at.Before(begin.Add(-2*time.Second)) || time.UnixMilli(c.TimeEpoch).Before(begin.Add(-time.Second)) {
		t.Errorf("%+v, %v", c, err)
	}
}

func testPaths(t *testing.T, w *world, url string) {
	for sent, want := range map[string]string{"/a%20b": "/a b", "/a%2Fb/": "/a/b/", "/a%3Fb": "/a", "/100%25": "/100%", "": "/", "//x": "//x"} {
		if e := w.event("GET", url+sent, ""); e.RawPath != want || e.RequestContext.HTTP.Path != want {
			t.Errorf("%s: %q", sent, e.RawPath)
		}
	}
}

func testBodies(t *testing.T, w *world, url string) {
	for _, c := range []struct {
		kind, body, want string
		coded            bool
	}{
		{"application/json; charset=utf-8", `{"ë":1}`, `{"ë":1}`, false},
		{"text/csv", "a,b", "a,b", false},
		{"text/plain", "\xff", "/w==", true},
		{"application/x-www-form-urlencoded", "a=1", "YT0x", true},
		{"", "a=1", "YT0x", true},
		{"application/octet-stream", "", "", false},
	} {
		e := w.event("POST", url, c.body, header("Content-Type", c.kind))
		if e.Body != c.want || e.IsBase64Encoded != c.coded {
			t.Errorf("%s: %q, %t", c.kind, e.Body, e.IsBase64Encoded)
		}
	}
}

func testStage(t *testing.T, w *world) {
	url := w.serve(httpapi.Config{Stage: "prod"})
	if e := w.event("GET", url+"/prod/v1", ""); e.RawPath != "/prod/v1" || e.RequestContext.Stage != "prod" {
		t.Errorf("%+v", e)
	}
	for _, path := range []string{"/v1", "/production", "/"} {
		if got := w.send("GET", url+path, ""); got.status != 404 || got.body != `{"message":"Not Found"}`+"\n" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if log := w.log.take(); !strings.Contains(log, "its paths begin with /prod") {
		t.Errorf("log %s", log)
	}
}

func testAnswers(t *testing.T, w *world, url string) {
	for answer, want := range map[string]reply{
		`{"statusCode":201,"headers":{"X-A":"1","connection":"X-B","x-b":"2","Content-Length":"99"},"cookies":["a=1; Path=/","b=2"],"body":"hi"}`: {201,
			http.Header{"X-A": {"1"}, "Set-Cookie": {"a=1; Path=/", "b=2"}, "Content-Type": {"text/plain;charset=UTF-8"}, "Content-Length": {"2"}}, "hi"},
		`{"statusCode":200,"headers":{"content-type":"image/png"},"body":"/w==","isBase64Encoded":true}`: {200,
			http.Header{"Content-Type": {"image/png"}, "Content-Length": {"1"}}, "\xff"},
		`{"statusCode":204}`:              {204, http.Header{}, ""},
		`{"statusCode":304,"body":"x"}`:   {304, http.Header{}, ""},
		`{"body":"without a statusCode"}`: {200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"31"}}, `{"body":"without a statusCode"}`},
		`"a text"`:                        {200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"6"}}, "a text"},
		`[1]`:                             {200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"3"}}, "[1]"},
	} {
		got := w.send("POST", url+"/answer", answer, header("Content-Type", "application/json"))
		got.header.Del("Date")
		if got.header.Get("Apigw-Requestid") == "" {
			t.Errorf("%s: no id", answer)
		}
		got.header.Del("Apigw-Requestid")
		if got.status != want.status || got.body != want.body || !cmp.Equal(got.header, want.header) {
			t.Errorf("%s: %+v", answer, got)
		}
	}
}

// testFailures: the client gets few words, the log says why.
func testFailures(t *testing.T, w *world, url string) {
	nowhere := w.serve(httpapi.Config{Function: "nowhere"})
	soon := w.serve(httpapi.Config{Timeout: 200 * time.Millisecond})
	answer := func(text string) func() reply {
		return func() reply {
			return w.send("POST", url+"/answer", text, header("Content-Type", "application/json"))
		}
	}
	for name, c := range map[string]struct {
		send   func() reply
		status int
		says   string
	}{
		"function error":   {func() reply { return w.send("GET", url+"/error", "") }, 500, "asked to fail"},
		"no function":      {func() reply { return w.send("GET", nowhere, "") }, 500, "ResourceNotFoundException"},
		"slow":             {func() reply { return w.send("GET", soon+"/sleep", "") }, 503, "deadline"},
		"a text as status": {answer(`{"statusCode":"200"}`), 500, "statusCode"},
		"status 0":         {answer(`{"statusCode":0}`), 500, "statusCode is 0"},
		"status 600":       {answer(`{"statusCode":600}`), 500, "statusCode is 600"},
		"odd headers":      {answer(`{"statusCode":200,"headers":["a"]}`), 500, "headers"},
		"no base64":        {answer(`{"statusCode":200,"body":"%","isBase64Encoded":true}`), 500, "base64"},
		"body for Lambda":  {func() reply { return w.send("POST", url, strings.Repeat("x", 5<<20)) }, 413, "Lambda takes"},
		"body":             {func() reply { return w.send("POST", url, strings.Repeat("x", httpapi.MaxBody+1)) }, 413, "10485760"},
		"header":           {func() reply { return w.send("GET", url, "", header("X-Long", strings.Repeat("x", httpapi.MaxHeader))) }, 431, "10240"},
	} {
		w.log.take()
		got := c.send()
		want := `{"message":"` + http.StatusText(c.status) + `"}` + "\n"
		if got.status != c.status || got.body != want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v", name, got)
		}
		if log := w.log.take(); !strings.Contains(log, c.says) {
			t.Errorf("%s: the log has no %q: %s", name, c.says, log)
		}
	}
	w.throttled.Store(true)
	defer w.throttled.Store(false)
	if got := w.send("GET", url, ""); got.status != 500 {
		t.Errorf("throttled: %+v", got)
	}
	if log := w.log.take(); !strings.Contains(log, "TooManyRequestsException") {
		t.Errorf("throttled: %s", log)
	}
}

func TestConfig(t *testing.T) {
	client := lambda.New(lambda.Options{})
	for want, cfg := range map[string]httpapi.Config{
		"Lambda is nil": {Function: "a"},
		"no Function":   {Lambda: client},
		"the stage":     {Lambda: client, Function: "a", Stage: "a/b"},
		"the timeout":   {Lambda: client, Function: "a", Timeout: time.Minute},
	} {
		if _, err := httpapi.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
