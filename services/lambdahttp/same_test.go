package lambdahttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
	"github.com/banyan-fig/banyan/services/lambdahttp"
)

// direct is a Lambda in this process.
type direct struct{ lambda.Handler }

func (d direct) Invoke(ctx context.Context, in *awslambda.InvokeInput, _ ...func(*awslambda.Options)) (*awslambda.InvokeOutput, error) {
	payload, err := d.Handler.Invoke(ctx, in.Payload)
	return &awslambda.InvokeOutput{Payload: payload}, err
}

// echo tells what it saw, in an answer of the kind that the request asks for.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		panic(err)
	}
	for _, kind := range r.URL.Query()["kind"] {
		switch kind {
		case "cookies":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		case "vary":
			w.Header().Set("Vary", "Accept")
		case "created":
			w.WriteHeader(http.StatusCreated)
		case "none":
			w.WriteHeader(http.StatusNoContent)
		case "bytes":
			_, _ = w.Write(body)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "path": r.URL.Path, "escaped": r.URL.EscapedPath(), "query": r.URL.Query(), "body": string(body), "length": r.ContentLength,
		"client": client, "cookies": fmt.Sprint(r.Cookies()), "x": r.Header["X-Value"], "accept": r.Header["Accept"], "tag": r.Header["If-None-Match"],
	})
}

// TestSameAsAServer: random requests have the same answers from the handler as a
// server, and as a function behind an HTTP API.
func TestSameAsAServer(t *testing.T) {
	f, err := lambdahttp.New(http.HandlerFunc(echo), lambdahttp.Config{Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Config{Lambda: direct{f}, Function: "echo", Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	server, function := httptest.NewServer(http.HandlerFunc(echo)), httptest.NewServer(api)
	defer server.Close()
	defer function.Close()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range 150 {
		method, path, body, header := draw(random)
		want, got := send(t, server, method, path, body, header), send(t, function, method, path, body, header)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, request %d: %s %s %q %v: -server +function\n%s", seed, n, method, path, body, header, diff)
		}
	}
}

func draw(random *rand.Rand) (method, path, body string, header http.Header) {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	path = "/" + pick("", "v1/x", "a%20b", "%25", "Zo%C3%AB/", "a//b", "a+b;c", "%22%3C%3E") + pick("", "?", "?a=1&a=2", "?a=%20+%26&b=ë", "?a=1,2", "?x=%3F%23")
	if kind := pick("", "cookies", "vary", "created", "none", "bytes"); kind != "" {
		path += pick("?", "?kind=cookies&")
		path = strings.Replace(path, "??", "?", 1) + "&kind=" + kind
	}
	header = http.Header{"Accept": {pick("*/*", "text/html, application/json;q=0.9")}}
	if value := pick("", "a, b", `{"a":[1,2]}`, "ë", strings.Repeat("x", 4000)); value != "" {
		header.Set("X-Value", value)
	}
	if tag := pick("", `"a,b", W/"c"`); tag != "" {
		header.Set("If-None-Match", tag)
	}
	if cookie := pick("", "a=1", "a=1; b=x=y"); cookie != "" {
		header.Set("Cookie", cookie)
	}
	method = pick("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
	if method != "GET" && method != "HEAD" {
		header.Set("Content-Type", pick("application/json", "text/plain", "application/octet-stream"))
		body = pick("", `{"a":"<ë>"}`, "\x00\xff", strings.Repeat("long ", 2000))
	}
	return method, path, body, header
}

type reply struct {
	Status int
	Header http.Header
	Body   string
}

func send(t *testing.T, server *httptest.Server, method, path, body string, header http.Header) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Date", "Apigw-Requestid", "Content-Length"} { // HEAD tells the length or does not
		res.Header.Del(name)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}
