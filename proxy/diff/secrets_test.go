package diff_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy/diff"
)

// shapedSecrets are each known by its shape alone.
var shapedSecrets = []string{
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "alice.b+c@mail.example.com", "Bearer abcdef123456", "Basic YWxhZGRpbjpvcGVu",
	"4111 1111 1111 1111", "5500005555555559", "0123456789abcdef0123456789abcdef", "q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kA+/x9E=",
}

// TestSecretsAreRemoved: wherever a secret stands, no difference and no sample has it.
func TestSecretsAreRemoved(t *testing.T) {
	rules := compiled(t, diff.Spec{Secrets: []string{"Nick-Name"}})
	quote := func(s string) string { q, _ := json.Marshal(s); return string(q) }
	bodies := map[string]func(secret string) string{
		"value":      func(s string) string { return `{"note":` + quote(s) + `}` },
		"in a text":  func(s string) string { return `{"note":` + quote("see "+s+" there") + `}` },
		"in a tree":  func(s string) string { return `{"a":[{"b":{"note":` + quote(s) + `}}]}` },
		"as a name":  func(s string) string { return `{` + quote(s) + `:1}` },
		"plain text": func(s string) string { return "oops: " + s + " was wrong" },
		"cut JSON":   func(s string) string { return `{"note":` + quote(s) },
	}
	named := map[string]func(secret string) string{
		"member":        func(s string) string { return `{"userPassword":"` + s + `"}` },
		"below it":      func(s string) string { return `{"access_tokens":[{"v":"` + s + `"}]}` },
		"own name":      func(s string) string { return `{"nick_name":"` + s + `"}` },
		"form":          func(s string) string { return "a=1&session_id=" + strings.ReplaceAll(s, " ", "+") + "&b=2" },
		"XML":           func(s string) string { return "<user><password>" + s + "</password></user>" },
		"cut JSON":      func(s string) string { return `{"password": "` + s },
		"not UTF-8":     func(s string) string { return "\xff{\"apiKey\": \"" + s + `"}` },
		"header's line": func(s string) string { return "Cookie: " + s },
	}
	check := func(place, secret, body string) {
		a, b := answer(body), answer(`{"z":1}`)
		for _, pair := range [][2]diff.Answer{{a, b}, {b, a}, {a, answer("other")}} {
			out, err := json.Marshal(map[string]any{"d": diff.Compare(pair[0], pair[1], rules), "s": rules.Side("x", pair[0])})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(out), secret) || strings.Contains(string(out), quote(secret)) {
				t.Errorf("%s: %q is in %s", place, secret, out)
			}
		}
	}
	for place, body := range bodies {
		for _, s := range shapedSecrets {
			check(place, s, body(s))
		}
	}
	for place, body := range named {
		check(place, "hunter2!", body("hunter2!"))
	}
}

// TestSecretsAcrossACut: no part of a secret shows where a text is cut, or begins to
// differ.
func TestSecretsAcrossACut(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
	words := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString([]string{"so ", "und ", "weiter, ", "é "}[r.IntN(4)])
		}
		return b.String()
	}
	for range 30 {
		before, after := words(r.IntN(3000)), words(r.IntN(3000))
		text := before + secret + " " + after
		other := before + words(r.IntN(300)) + secret + "!"
		begun := answer(text[:r.IntN(len(text))])
		begun.Capped = true
		var bodies []string
		for _, s := range []string{text, other} {
			q, _ := json.Marshal(map[string]string{"note": s})
			bodies = append(bodies, s, string(q))
		}
		var rules *diff.Rules
		out, _ := json.Marshal([]any{
			diff.Compare(answer(bodies[0]), answer(bodies[2]), nil), diff.Compare(answer(bodies[1]), answer(bodies[3]), nil),
			rules.Secrets().Body(begun, 5000), diff.Compare(begun, answer(bodies[2]), nil),
			rules.Secrets().Body(answer(bodies[0]), 100+r.IntN(2000)), rules.Secrets().Body(answer(bodies[1]), 100+r.IntN(2000)),
		})
		for i := 0; i+6 <= len(secret); i++ {
			if strings.Contains(string(out), secret[i:i+6]) {
				t.Fatalf("%q of the secret is in %s", secret[i:i+6], out)
			}
		}
	}
}

func TestTarget(t *testing.T) {
	s := diff.NewSecrets(nil)
	for in, want := range map[string]string{
		"/a/b%2Fc?x=1&y=%20":                           "/a/b%2Fc?x=1&y=%20",
		"/users/a%40b.example/x":                       "/users/(removed)/x",
		"/u/0b0e7b60-1111-4222-8333-444455556666":      "/u/0b0e7b60-1111-4222-8333-444455556666",
		"/x?access_token=abc&q=me@home.example&to%6b=": "/x?access_token=(removed)&q=(removed)&to%6b=",
		"/x?api%5Fkey=abc&flag":                        "/x?api%5Fkey=(removed)&flag",
		"https://a.example/cb?x=1#access_token=abcdef": "https://a.example/cb?x=1#access_token=(removed)",
		"/reset/0123456789abcdef0123456789abcdef":      "/reset/(removed)",
		"/%zz/x?%zz=1":                                 "/(removed)/x?%zz=(removed)",
	} {
		if got := s.Target(in); got != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
	if got := diff.NewSecrets([]string{"*"}).Target("/a?b=c"); got != "/a?b=(removed)" {
		t.Errorf("all values removed: got %s", got)
	}
	if got := diff.NewSecrets([]string{"*"}).Body(answer(`{"a":["b",1,true,null]}`), 100); string(got.(json.RawMessage)) != `{"a":["(removed)","(removed)",true,null]}` {
		t.Errorf("all values removed: got %s", got)
	}
	for _, plain := range []string{`"2026-11-30T12:00:00Z"`, "1764504000123", `"https://img.example/users/17/avatar-large.png"`, "98.5", `"order 12345"`} {
		if got := s.Body(answer(`{"a":`+plain+`}`), 100); string(got.(json.RawMessage)) != `{"a":`+plain+`}` {
			t.Errorf("%s is no secret, and came out as %s", plain, got)
		}
	}
}
