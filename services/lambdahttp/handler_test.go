package lambdahttp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/lambdahttp"
)

// TestAnswersAreAServers: the rules of net/http hold.
func TestAnswersAreAServers(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		handle http.HandlerFunc
		status int
		header map[string]string
		body   string
	}{
		"nothing at all": {handle: nothing, status: 200},
		"a body alone":   {handle: write("<p>hi"), status: 200, header: map[string]string{"Content-Type": "text/html; charset=utf-8"}, body: "<p>hi"},
		"flushed": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 2 {
				_, _ = io.WriteString(w, "data: x\n\n")
				w.(http.Flusher).Flush()
				w.Header().Set("Late", "header")
			}
		}, status: 200, header: map[string]string{"Content-Type": "text/event-stream"}, body: "data: x\n\ndata: x\n\n"},
		"hijacked": {handle: func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); errors.Is(err, http.ErrNotSupported) {
				w.WriteHeader(http.StatusUpgradeRequired)
			}
		}, status: http.StatusUpgradeRequired},
		"first status":    {handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) }, status: 404},
		"too late header": {handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.Header().Set("X", "y") }, status: 201},
		"informational":   {handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(202) }, status: 202},
		"no content": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}, status: 204},
		"HEAD": {method: "HEAD", handle: write("x"), status: 200, header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		"several values": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Vary"] = []string{"A", "B"}
		}, status: 200, header: map[string]string{"Vary": "A, B"}},
		"a line too much": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", "a\r\nb: c")
		}, status: 200, header: map[string]string{"X": "a  b: c"}},
		"compressed": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "abc")
		}, status: 200, header: map[string]string{"Content-Encoding": "br"}, body: "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			out := invoke(t, c.handle, request(func(e *awsevents.APIGatewayV2HTTPRequest) {
				if c.method != "" {
					e.RequestContext.HTTP.Method = c.method
				}
			}))
			if out.StatusCode != c.status || out.Body != c.body || len(out.Headers)+len(c.header) > 0 && !cmp.Equal(out.Headers, c.header) {
				t.Errorf("%+v", out)
			}
		})
	}
}

func write(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func TestCookiesAreSetOneByOne(t *testing.T) {
	out := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Expires: time.Unix(1e9, 0)})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	}, request())
	if want := []string{"a=1; Expires=Sun, 09 Sep 2001 01:46:40 GMT", "b=2"}; !cmp.Equal(out.Cookies, want) || len(out.Headers) != 0 {
		t.Errorf("%q, %v", out.Cookies, out.Headers)
	}
}

func TestBinaryAnswers(t *testing.T) {
	for body, coded := range map[string]bool{"text ë ☃ \u2028 \x00": false, "\xff\xd8": true} {
		out := invoke(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }, request())
		got := out.Body
		if out.IsBase64Encoded {
			text, err := base64.StdEncoding.DecodeString(out.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		}
		if got != body || out.IsBase64Encoded != coded {
			t.Errorf("%q: %q, %t", body, got, out.IsBase64Encoded)
		}
	}
}

// TestLargeAnswers: as large as Lambda takes, and then a problem instead of a
// function that fails.
func TestLargeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		n, status int
		text      string
	}{
		"just so":   {n: lambdahttp.MaxResponse - 200, text: "<", status: 200},
		"too large": {n: lambdahttp.MaxResponse + 1, text: "x", status: 500},
		"as JSON":   {n: lambdahttp.MaxResponse/2 + 1, text: `"`, status: 500},
	} {
		half, failed := strings.Repeat(c.text, c.n/2), error(nil)
		out := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 2 {
				_, failed = io.WriteString(w, half)
			}
			_, _ = io.WriteString(w, c.text[:c.n%2])
		}, request())
		if out.StatusCode != c.status || c.status == 500 && !strings.Contains(out.Body, "/problems/response-too-large") || failed != nil {
			t.Errorf("%s: %d, %.100s, %v", name, out.StatusCode, out.Body, failed)
		}
	}
}

// TestMoreIsNotKept of an answer that is too large already.
func TestMoreIsNotKept(t *testing.T) {
	out := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, lambdahttp.MaxResponse/2+1)
		_, first := w.Write(piece)
		if _, second := w.Write(piece); first != nil || second == nil {
			t.Errorf("%v, %v", first, second)
		}
	}, request())
	if out.StatusCode != 500 {
		t.Errorf("status %d", out.StatusCode)
	}
}

// TestPanics are answered and logged, and the function goes on.
func TestPanics(t *testing.T) {
	var log bytes.Buffer
	f, err := lambdahttp.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/well" {
			return
		}
		w.Header().Set("X-Half", "done")
		_, _ = io.WriteString(w, "half of a secret")
		if r.URL.Path == "/status" {
			w.WriteHeader(0)
		}
		panic("because of " + r.URL.Path)
	}), lambdahttp.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/ill": 500, "/well": 200, "/status": 500} {
		log.Reset()
		text, err := f.Invoke(t.Context(), payload(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RawPath = path })))
		var out awsevents.APIGatewayV2HTTPResponse
		if err := errors.Join(err, json.Unmarshal(text, &out)); err != nil || out.StatusCode != status {
			t.Fatalf("%s: %s, %v", path, text, err)
		}
		if status != 500 {
			continue
		}
		var p httpjson.Problem
		err = json.Unmarshal([]byte(out.Body), &p)
		if err != nil || p.Type != "/problems/internal" || out.Headers["Content-Type"] != "application/problem+json" || out.Headers["X-Half"] != "" {
			t.Errorf("%s: %+v", path, out)
		}
		for _, want := range []string{`"panic":"`, "handler_test.go", `"correlation_id":"JKJaXmPLvHcESHA="`, path} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: the log has no %s: %s", path, want, &log)
			}
		}
	}
}

// TestMetrics: requests are counted by class, pings and garbage are not.
func TestMetrics(t *testing.T) {
	var out bytes.Buffer
	now := time.UnixMilli(1_700_000_000_000)
	f, err := lambdahttp.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now = now.Add(25 * time.Millisecond)
		if r.URL.Path == "/panic" {
			panic("x")
		}
		w.WriteHeader(http.StatusTeapot)
	}), lambdahttp.Config{Service: "timeline", Metrics: emf.New(&out, lambdahttp.Namespace), Logger: discard(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		event any
		want  string
	}{
		{request(), `{"Latency":25,"Method":"GET","Requests":1,"Service":"timeline","Status":418,"Status4xx":1,` +
			`"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Service"]],"Metrics":[{"Name":"Requests","Unit":"Count"},` +
			`{"Name":"Latency","Unit":"Milliseconds"},{"Name":"Status4xx","Unit":"Count"}],"Namespace":"Banyan/Services"}],` +
			`"Timestamp":1700000000025}}` + "\n"},
		{request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RawPath = "/panic" }), `"Status5xx":1`},
		{map[string]any{"banyan-warm": map[string]any{"holdMs": 1}}, ""},
		{map[string]any{"version": "1.0"}, ""},
	} {
		out.Reset()
		_, _ = f.Invoke(t.Context(), payload(t, c.event))
		if got := out.String(); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%v: %s", c.event, got)
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := lambdahttp.New(nil, lambdahttp.Config{}); err == nil {
		t.Error("took no handler")
	}
	if _, err := lambdahttp.New(http.NotFoundHandler(), lambdahttp.Config{Metrics: emf.New(io.Discard, "x")}); err == nil {
		t.Error("took metrics of nobody")
	}
}
