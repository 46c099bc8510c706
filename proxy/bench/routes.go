//go:build linux

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// form is how the paths of a route file look.
type form string

const (
	literal        form = "literal"
	parameter      form = "parameter"
	parameterFirst form = "parameter-first" // which a search by prefixes cannot use
)

// pattern is the route of a resource, path a request for it.
func (f form) pattern(resource string) string {
	switch f {
	case parameter:
		return "/api/v1/" + resource + "/{id}"
	case parameterFirst:
		return "/{tenant}/" + resource + "/{id}"
	}
	return "/api/v1/" + resource + "/items"
}

func (f form) path(resource string) string {
	return strings.NewReplacer("{tenant}", "acme", "{id}", "8231").Replace(f.pattern(resource))
}

// The resources that the shapes of requests are for.
const (
	legacy    = "legacy" // which no route has
	forwarded = "forwarded"
	mapped    = "mapped"
	withToken = "token"
	copied    = "copied" // legacy, and repeated at the new API where the file says so
)

// keyEnv names the variable with the public key of the tokens.
const keyEnv = "BANYAN_BENCH_KEY"

// newToken makes a user's token (RS256), and the public key in PEM that verifies it.
func newToken() (token, key string, err error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return "", "", err
	}
	claims := jwt.RegisteredClaims{Subject: "5f2b8a1c", ExpiresAt: jwt.NewNumericDate(time.Now().Add(24 * time.Hour))}
	token, err = jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(private)
	return token, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}

// routes is a route file of n routes, those of the shapes last, before APIs at two addresses.
func routes(f form, n int, oldAPI, newAPI string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nlegacy: old\nupstreams:\n  old: {url: %q}\n  new: {url: %q}\n"+
		"subject: {sources: [{jwt: {algorithms: [RS256], keys: [{env: %s}]}}]}\nroutes:\n", "http://"+oldAPI, "http://"+newAPI, keyEnv)
	route := func(name, more string) {
		fmt.Fprintf(&b, "  - {name: %s, method: GET, path: %q, mode: forward, upstream: new%s}\n", name, f.pattern(name), more)
	}
	for i := range n - 3 {
		route(fmt.Sprintf("resource%d", i), ", public: true")
	}
	route(withToken, "")
	route(forwarded, ", public: true")
	route(mapped, `, public: true, response: {body: {status: ok, data: {posts: {each: $.items, as:`+
		` {post_id: $.postId, text: $.text, created_ts: {from: $.publishedAt, convert: unixMillis}}}, next: {from: $.nextCursor, default: ""}}}}`)
	return b.String()
}

// shadowed is a route file whose only route is answered by the old API, and with a copy by the new
// one too, whose answer is the same but for the side.
func shadowed(oldAPI, newAPI string, withCopy bool) string {
	more := ""
	if withCopy {
		more = ", shadow: {percent: 100}, diff: {ignore: [$.side]}"
	}
	return fmt.Sprintf("version: 1\nlegacy: old\nupstreams:\n  old: {url: %q}\n  new: {url: %q}\nroutes:\n"+
		"  - {name: %s, method: GET, path: %q, mode: legacy, public: true, upstream: new%s}\n",
		"http://"+oldAPI, "http://"+newAPI, copied, literal.pattern(copied), more)
}

// body is what the API of a side answers: 1 KB of JSON.
func body(side string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"side":%q,"items":[`, side)
	for i := range 10 {
		fmt.Fprintf(&b, `{"postId":"p%d","text":"the quick brown fox no. %d","publishedAt":"2016-04-01T12:00:0%d.5Z"},`, i, i, i)
	}
	text := strings.TrimSuffix(b.String(), ",") + `],"nextCursor":"`
	return text + strings.Repeat("c", max(1, 1024-len(text)-2)) + `"}`
}

// marks are what the answers to the shapes must contain: nothing may be measured that fell back.
var marks = map[string]string{
	legacy: `{"side":"old",`, forwarded: `{"side":"new",`, withToken: `{"side":"new",`, mapped: `"posts":[{"post_id":"p0",`,
}

// request is what an ordinary mobile client sends.
func request(path, token string) []byte {
	text := "GET " + path + " HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Example/7.3.1 (iPhone; iOS 10.1)\r\n" +
		"Accept: application/json\r\nAccept-Language: en-US\r\nX-App-Version: 7.3.1\r\n"
	if token != "" {
		text += "Authorization: Bearer " + token + "\r\n"
	}
	return []byte(text + "\r\n")
}

// answer is what an API on a side sends.
func answer(side string) []byte {
	text := body(side)
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: example\r\nDate: Mon, 21 Nov 2016 09:00:00 GMT\r\nContent-Type: application/json\r\n"+
		"Cache-Control: private\r\nVary: Accept\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}
