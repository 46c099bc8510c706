package lambdahttp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/services/lambdahttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is an event as an HTTP API makes it, after what changes it.
func request(change ...func(*awsevents.APIGatewayV2HTTPRequest)) awsevents.APIGatewayV2HTTPRequest {
	e := awsevents.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "$default", RawPath: "/v1/things/7", RawQueryString: "limit=3&q=a%20b&q=c",
		Headers: map[string]string{
			"host": "abc123.execute-api.eu-west-1.amazonaws.com", "accept": "text/html,application/json;q=0.9",
			"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https", "user-agent": "curl/8",
		},
		QueryStringParameters: map[string]string{"limit": "3", "q": "a b,c"},
	}
	e.RequestContext = awsevents.APIGatewayV2HTTPRequestContext{
		Stage: "$default", RequestID: "JKJaXmPLvHcESHA=", DomainName: "abc123.execute-api.eu-west-1.amazonaws.com",
		HTTP: awsevents.APIGatewayV2HTTPRequestContextHTTPDescription{
			Method: "GET", Path: "/v1/things/7", Protocol: "HTTP/1.1", SourceIP: "203.0.113.7",
		},
	}
	for _, do := range change {
		do(&e)
	}
	return e
}

func payload(t testing.TB, e any) []byte {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func function(t testing.TB, h http.HandlerFunc) lambda.Handler {
	t.Helper()
	f, err := lambdahttp.New(h, lambdahttp.Config{Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// invoke runs a handler on an event.
func invoke(t testing.TB, h http.HandlerFunc, e any) awsevents.APIGatewayV2HTTPResponse {
	t.Helper()
	text, err := function(t, h).Invoke(t.Context(), payload(t, e))
	if err != nil {
		t.Fatal(err)
	}
	var out awsevents.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// seen is what a handler gets.
func seen(t testing.TB, e any) (r *http.Request, body string) {
	t.Helper()
	invoke(t, func(_ http.ResponseWriter, got *http.Request) {
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Error(err)
		}
		r, body = got, string(text)
	}, e)
	return r, body
}

func TestRequestIsAServers(t *testing.T) {
	r, body := seen(t, request())
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if r.Method != "GET" || r.URL.String() != "/v1/things/7?limit=3&q=a%20b&q=c" || r.RequestURI != r.URL.String() || body != "" || r.ContentLength != 0 ||
		r.Host != "abc123.execute-api.eu-west-1.amazonaws.com" || r.Header.Get("Host") != "" || r.Proto != "HTTP/1.1" || host != "203.0.113.7" || err != nil {
		t.Errorf("%+v, %q, %v", r, body, err)
	}
	if got := r.URL.Query()["q"]; !cmp.Equal(got, []string{"a b", "c"}) {
		t.Errorf("query %q", got)
	}
	if r.Header.Get("X-Forwarded-For") != "203.0.113.7" {
		t.Errorf("header %v", r.Header)
	}
}

// TestPathIsDecoded: what the gateway decoded is not decoded again, nor cut off,
// nor refused.
func TestPathIsDecoded(t *testing.T) {
	for raw, want := range map[string]string{
		"":                "/",
		"/a b":            "/a%20b",
		"/100%":           "/100%25",
		"/a%2Fb":          "/a%252Fb",
		"/a?b#c":          "/a%3Fb%23c",
		"/Zoë":            "/Zo%C3%AB",
		"/a//b/":          "/a//b/",
		"/\x00":           "/%00",
		"//evil.example/": "//evil.example/",
	} {
		r, _ := seen(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RawPath = raw }))
		if got := r.URL.EscapedPath(); got != want || raw != "" && r.URL.Path != raw {
			t.Errorf("%q: %q, %q", raw, r.URL.Path, got)
		}
	}
}

// TestOtherFormats: requests of REST APIs, of HTTP APIs with format 1.0 and of function URLs are the requests that the
// client sent, and are answered in their own format.
func TestOtherFormats(t *testing.T) {
	first := func(version, stage, path string) map[string]any {
		e := map[string]any{
			"path": path, "httpMethod": "GET", "body": nil,
			"multiValueQueryStringParameters": map[string]any{"q": []string{"a b", "c"}, "limit": []string{"3"}},
			"multiValueHeaders":               map[string]any{"Host": []string{"example.com"}, "x": []string{"1", "2"}},
			"requestContext":                  map[string]any{"stage": stage, "protocol": "HTTP/1.1", "identity": map[string]any{"sourceIp": "203.0.113.7"}},
		}
		if version != "" {
			e["version"] = version
		}
		return e
	}
	url := request(func(e *awsevents.APIGatewayV2HTTPRequest) {
		e.RawPath, e.RequestContext.DomainName, e.Headers["x"] = "/a%2Fb/Zo%C3%AB", "abc.lambda-url.eu-west-1.on.aws", "1,2"
		delete(e.Headers, "host")
	})
	const encoded = "/a%2Fb/Zo%C3%AB"
	for name, c := range map[string]struct {
		event             any
		uri, host, answer string
	}{
		"REST": {
			first("", "prod", encoded), encoded + "?limit=3&q=a+b&q=c", "example.com", `"multiValueHeaders":{"Set-Cookie":["a=1","b=2"]}`,
		},
		"REST's own":   {first("", "prod", "/prod/x"), "/prod/x?limit=3&q=a+b&q=c", "example.com", `"multiValueHeaders":`},
		"HTTP 1.0":     {first("1.0", "prod", "/prod/a/Zoë"), "/a/Zo%C3%AB?limit=3&q=a+b&q=c", "example.com", `"multiValueHeaders":`},
		"function URL": {url, encoded + "?limit=3&q=a%20b&q=c", "abc.lambda-url.eu-west-1.on.aws", `"cookies":["a=1","b=2"]`},
	} {
		var got *http.Request
		answer, err := function(t, func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.WriteHeader(http.StatusNoContent)
		}).Invoke(t.Context(), payload(t, c.event))
		both := strings.Contains(string(answer), `"multiValueHeaders"`) == strings.Contains(string(answer), `"cookies"`)
		if err != nil || !strings.Contains(string(answer), c.answer) || both {
			t.Errorf("%s: %s, %v, want %s", name, answer, err, c.answer)
			continue
		}
		if got.RequestURI != c.uri || got.Host != c.host || got.RemoteAddr != "203.0.113.7:0" || strings.Join(got.Header["X"], ",") != "1,2" {
			t.Errorf("%s: %s %s from %s, header %v", name, got.Host, got.RequestURI, got.RemoteAddr, got.Header)
		}
	}
}

func TestStageIsRemovedFromThePath(t *testing.T) {
	for _, c := range []struct{ stage, raw, want string }{
		{"$default", "/v1/x", "/v1/x"},
		{"", "/v1/x", "/v1/x"},
		{"prod", "/prod/v1/x", "/v1/x"},
		{"prod", "/prod", "/"},
		{"prod", "/prod/", "/"},
		{"prod", "/production/x", "/production/x"},
		{"v1", "/v1/v1/x", "/v1/x"},
	} {
		r, _ := seen(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RawPath, e.RequestContext.Stage = c.raw, c.stage }))
		if r.URL.Path != c.want {
			t.Errorf("%s at stage %s: %s", c.raw, c.stage, r.URL.Path)
		}
	}
}

// TestHeaderValuesStayWhole: none is split at a comma.
func TestHeaderValuesStayWhole(t *testing.T) {
	for name, value := range map[string]string{
		"If-None-Match": `"a,b", W/"c"`, "If-Unmodified-Since": "Mon, 02 Jan 2006 15:04:05 GMT", "Expires": "Mon, 02 Jan 2006 15:04:05 GMT",
		"Accept": "a,b;q=0.1", "X-Filter": `{"a":1,"b":[2,3]}`, "Authorization": `Digest a="x, y"`, "X-Forwarded-For": "10.1.1.1, 203.0.113.7",
		"X-Spaces": "a,b , c", "X-Empty": "",
	} {
		r, _ := seen(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.Headers[strings.ToLower(name)] = value }))
		if got := r.Header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func TestCookiesAreOneHeader(t *testing.T) {
	r, _ := seen(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.Cookies = []string{"a=1", "b=x=y"} }))
	if got := r.Header.Values("Cookie"); len(got) != 1 || got[0] != "a=1; b=x=y" || len(r.Cookies()) != 2 {
		t.Errorf("%q", got)
	}
}

func TestBodies(t *testing.T) {
	for name, body := range map[string]string{"none": "", "text": `{"a":"ë<>&"}`, "binary": "\x00\xff\xfe", "large": strings.Repeat("x", 1<<17)} {
		for _, coded := range []bool{false, true} {
			if !coded && !utf8.ValidString(body) {
				continue
			}
			r, got := seen(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) {
				e.Body, e.IsBase64Encoded = body, coded
				if coded {
					e.Body = base64.StdEncoding.EncodeToString([]byte(body))
				}
				e.Headers["content-length"], e.Headers["transfer-encoding"] = "999", "chunked"
			}))
			if got != body || r.ContentLength != int64(len(body)) || r.Header.Get("Content-Length") == "999" || r.Header.Get("Transfer-Encoding") != "" {
				t.Errorf("%s, %t: %.50q, %d, %v", name, coded, got, r.ContentLength, r.Header)
			}
		}
	}
}

// TestCorrelation: ids of the client arrive, and the gateway's own where there are
// none.
func TestCorrelation(t *testing.T) {
	r, _ := seen(t, request())
	ids := correlation.From(r.Context())
	if ids.CorrelationID != "JKJaXmPLvHcESHA=" || r.Header.Get(correlation.HeaderCorrelation) != ids.CorrelationID ||
		ids.TraceParent == "" || r.Header.Get(correlation.HeaderTraceParent) != ids.TraceParent {
		t.Errorf("%+v, %v", ids, r.Header)
	}
	r, _ = seen(t, request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.Headers["x-correlation-id"] = "mine" }))
	if got := correlation.From(r.Context()); got.CorrelationID != "mine" || got.CausationID != "mine" {
		t.Errorf("%+v", got)
	}
}

// TestRequestEndsBeforeTheFunction, so that the handler can say so.
func TestRequestEndsBeforeTheFunction(t *testing.T) {
	for _, left := range []time.Duration{time.Minute, time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), left)
		end, _ := ctx.Deadline()
		_, err := function(t, func(_ http.ResponseWriter, r *http.Request) {
			if own, ok := r.Context().Deadline(); !ok || end.Sub(own) < 50*time.Millisecond || end.Sub(own) > left/4 {
				t.Errorf("of %s, %s are left for the answer", left, end.Sub(own))
			}
		}).Invoke(ctx, payload(t, request()))
		cancel()
		if err != nil {
			t.Error(err)
		}
	}
}

func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		event any
		says  string
	}{
		"a number":             {7, "cannot unmarshal"},
		"nothing":              {nil, "its version"},
		"a batch of a stream":  {map[string]any{"Records": []any{}}, "call the function by an HTTP API"},
		"version 3.0":          {map[string]any{"version": "3.0", "path": "/", "httpMethod": "GET"}, `its version is "3.0"`},
		"a load balancer":      {map[string]any{"httpMethod": "GET", "path": "/", "requestContext": map[string]any{"elb": map[string]any{}}}, "load balancer"},
		"REST without headers": {map[string]any{"httpMethod": "GET", "path": "/"}, "with a proxy integration"},
		"a broken escape":      {map[string]any{"httpMethod": "GET", "path": "/%zz", "multiValueHeaders": map[string]any{}}, "invalid path"},
		"headers of numbers":   {map[string]any{"version": "2.0", "headers": map[string]any{"a": 1}}, "headers"},
		"no method":            {request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "" }), "its method"},
		"a wrong method":       {request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "G T" }), "method"},
		"a path without slash": {request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.RawPath = "x" }), "slash"},
		"no base64":            {request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "%", true }), "base64"},
		"two lines":            {request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.Headers["x"] = "a\r\nb: c" }), `"x"`},
		"no name":              {request(func(e *awsevents.APIGatewayV2HTTPRequest) { e.Headers[""] = "a" }), "header"},
	} {
		called := false
		_, err := function(t, func(http.ResponseWriter, *http.Request) { called = true }).Invoke(t.Context(), payload(t, c.event))
		if called || err == nil || !strings.Contains(err.Error(), lambdahttp.ErrEvent.Error()) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := function(t, nothing).Invoke(t.Context(), []byte(`{"version":`)); err == nil {
		t.Error("took what is no JSON")
	}
}

func nothing(http.ResponseWriter, *http.Request) {}

// FuzzEvent: whatever is sent, the function goes on, and answers what a gateway
// can read.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"version":"2.0","rawPath":"/a","requestContext":{"http":{"method":"GET"}}}`))
	f.Add([]byte(`{"version":"2.0","rawPath":"/s/%zz?","rawQueryString":"%","cookies":["a"],"headers":{"Content-Length":"-1"},` +
		`"body":"AA==","isBase64Encoded":true,"requestContext":{"stage":"s","http":{"method":"PUT","sourceIp":"::1","protocol":"HTTP/9.9"}}}`))
	f.Add([]byte(`{"httpMethod":"GET","path":"/%2F","multiValueHeaders":{"a":["b"]},"multiValueQueryStringParameters":{"q":["%"]}}`))
	f.Add([]byte(`{"banyan-warm":{"holdMs":1}}`))
	h := function(f, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength || r.URL.Path[0] != '/' || r.RequestURI == "" {
			panic("not a request of a server") // which is a 500
		}
		http.NewServeMux().ServeHTTP(w, r)
	})
	f.Fuzz(func(t *testing.T, payload []byte) {
		text, err := h.Invoke(t.Context(), payload)
		if err != nil || bytes.Contains(text, []byte("banyan-warm")) {
			return
		}
		var out awsevents.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(text, &out); err != nil || out.StatusCode < 200 || out.StatusCode >= 500 {
			t.Errorf("%s became %s", payload, text)
		}
	})
}

// FuzzRoundTrip: the handler sees what the client sent.
func FuzzRoundTrip(f *testing.F) {
	f.Add("/v1/things/7", "a=1&b=%20", "a, b", []byte("body"), "prod")
	f.Add("/%/?#", "", `"x,y"`, []byte{0xff, 0}, "$default")
	f.Fuzz(func(t *testing.T, path, query, value string, body []byte, stage string) {
		for _, text := range []string{path, query, value, stage} {
			if !utf8.ValidString(text) {
				t.Skip() // not in JSON
			}
		}
		if strings.ContainsAny(value, "\r\n\x00") || strings.Contains(stage, "/") {
			t.Skip()
		}
		path = "/" + path
		e := request(func(e *awsevents.APIGatewayV2HTTPRequest) {
			e.RawPath, e.RawQueryString, e.Headers["x-value"], e.RequestContext.Stage = path, query, value, stage
			if stage != "" && stage != "$default" {
				e.RawPath = "/" + stage + path
			}
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		})
		r, got := seen(t, e)
		if r.URL.Path != path || r.URL.RawQuery != query || r.Header.Get("X-Value") != value || got != string(body) {
			t.Errorf("sent %q %q %q %q, seen %q %q %q %q", path, query, value, body, r.URL.Path, r.URL.RawQuery, r.Header.Get("X-Value"), got)
		}
		if again, err := url.ParseRequestURI(r.RequestURI); err == nil && again.Path != path && !strings.HasPrefix(path, "//") {
			t.Errorf("RequestURI %q is the path %q", r.RequestURI, again.Path)
		}
	})
}
