package route_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/proxy/route"
)

const head = `version: 1
legacy: old
upstreams:
  old: {url: "http://127.0.0.1:1"}
  new: {url: "http://127.0.0.1:2"}
subject: {jwtSecretEnv: SECRET}
cohorts: {keyEnv: COHORT_KEY}
client: {header: User-Agent, pattern: '^Shop/([0-9.]+)'}
routes:
`

func compile(t testing.TB, routes string) *route.Table {
	t.Helper()
	table, err := route.Compile("routes.yaml", []byte(head+routes), testEnv(nil))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func nobody() string { return "" }

// TestFirstRouteDecides: the tree finds what a look at every route in the file's order would,
// for any mix of literals, parameters and rests.
func TestFirstRouteDecides(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	word := func(all ...string) string { return all[rng.IntN(len(all))] }
	for range 200 {
		var file strings.Builder
		var patterns [][]string
		for i := range 12 {
			var p []string
			for range 1 + rng.IntN(4) {
				p = append(p, word("a", "b", "c", fmt.Sprintf("{p%d}", len(p))))
			}
			if rng.IntN(4) == 0 {
				p = append(p, "{rest...}")
			}
			one := fmt.Sprintf("  - {name: r%d, path: \"/%s\", mode: forward, public: true, upstream: new}\n", i, strings.Join(p, "/"))
			if _, err := route.Compile("r", []byte(head+file.String()+one), testEnv(nil)); err != nil {
				continue // hidden by one above
			}
			file.WriteString(one)
			patterns = append(patterns, append(p, fmt.Sprintf("r%d", i)))
		}
		table := compile(t, file.String())
		for range 50 {
			var path []string
			for range 1 + rng.IntN(6) {
				path = append(path, word("a", "b", "c", "d"))
			}
			want := ""
			for _, p := range patterns {
				if matches(p[:len(p)-1], path) {
					want = p[len(p)-1]
					break
				}
			}
			got := table.Plan(&route.Request{Method: "GET", Path: "/" + strings.Join(path, "/")}, nobody, nil, nil).RouteName()
			if got != want {
				t.Fatalf("seed %d: %v is %q, want %q in\n%s", seed, path, got, want, file.String())
			}
		}
	}
}

func matches(p, path []string) bool {
	for i, s := range p {
		switch {
		case s == "{rest...}":
			return true
		case i >= len(path), s != path[i] && !strings.HasPrefix(s, "{"):
			return false
		}
	}
	return len(p) == len(path)
}

func TestParams(t *testing.T) {
	table := compile(t, `  - {name: one, path: "/users/{id}/files/{rest...}", mode: forward, public: true, upstream: new}`)
	for path, want := range map[string][]route.Param{
		"/users/a%2Fb/files/x/y%20z": {{Name: "id", Value: "a/b", Raw: "a%2Fb"}, {Name: "rest", Value: "x/y z", Raw: "x/y%20z"}},
		"/users/7/files":             {{Name: "id", Value: "7", Raw: "7"}, {Name: "rest"}},
	} {
		p := table.Plan(&route.Request{Method: "GET", Path: path}, nobody, nil, nil)
		if d := cmp.Diff(want, p.Params); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	for _, path := range []string{"/users//files/x", "/users/../files/x", "/users/%2e%2e/files/x", "/users/%zz/files", "users/7/files", "", "*",
		"/users/7/files/" + strings.Repeat("x/", 64) + "x"} {
		if p := table.Plan(&route.Request{Method: "GET", Path: path}, nobody, nil, nil); p.Route != nil {
			t.Errorf("%s matched", path)
		}
	}
}

// TestConditions: host, headers, query and the client's version decide beside the path, in
// the file's order.
func TestConditions(t *testing.T) {
	table := compile(t, `  - {name: host, host: API.example.com, path: "/a", mode: legacy}
  - {name: version, path: "/a", mode: legacy, match: {client: ">=4.2 <5"}}
  - {name: header, path: "/a", mode: legacy, match: {headers: {x-app: "ios/*-beta"}}}
  - {name: query, path: "/a", mode: legacy, match: {query: {beta: "1"}}}
  - {name: methods, path: "/a", mode: legacy, methods: [put, PATCH]}
  - {name: rest, path: "/a", mode: legacy}
`)
	for _, c := range []struct {
		method, host, query string
		header              http.Header
		want                string
	}{
		{"GET", "api.example.com:8443", "", nil, "host"},
		{"GET", "API.EXAMPLE.COM.", "", nil, "host"},
		{"GET", "other", "", http.Header{"User-Agent": {"Shop/4.10.1 (iOS)"}}, "version"},
		{"GET", "other", "", http.Header{"User-Agent": {"Shop/5.0"}}, "rest"},
		{"GET", "other", "", http.Header{"User-Agent": {"Shop/4"}}, "rest"},
		{"GET", "other", "", http.Header{"User-Agent": {"curl/4.3"}}, "rest"},
		{"GET", "other", "", http.Header{"X-App": {"web", "ios/7-beta"}}, "header"},
		{"GET", "other", "", http.Header{"X-App": {"ios/7"}}, "rest"},
		{"GET", "other", "a=%zz&beta=1", nil, "query"},
		{"PATCH", "other", "", nil, "methods"},
		{"GET", "other", "beta=10", nil, "rest"},
	} {
		p := table.Plan(&route.Request{Method: c.method, Host: c.host, Path: "/a", Query: c.query, Header: c.header}, nobody, nil, nil)
		if p.RouteName() != c.want {
			t.Errorf("%+v: %q", c, p.RouteName())
		}
	}
}

// TestAliases: what is shared by routes is written once; bombs are refused.
func TestAliases(t *testing.T) {
	table := compile(t, `  - name: one
    path: "/a"
    mode: forward
    public: true
    upstream: &to new
    request: &mapped {path: "/v1/{$query.id}"}
    response: {error: &failed {error: $status}}
  - name: two
    path: "/b"
    mode: forward
    public: true
    upstream: *to
    request: *mapped
    response: {error: *failed}
`)
	if r := table.ByName("two"); r.To.Name != "new" || r.Request == nil || r.Response == nil {
		t.Errorf("%+v", r)
	}
	bomb := "error:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("  %c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	for src, want := range map[string]string{bomb: "more than", "error: *nobody\n": "unknown alias", "error: &e {a: *e}\n": "unknown alias"} {
		_, err := route.Compile("r", []byte(strings.Replace(head, "routes:\n", "", 1)+src), testEnv(nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %.200v", src, err)
		}
	}
}

// TestEncodings: a file that was saved on Windows is the same file; one of another encoding is
// refused at its line, and not matched by bytes that no client sends.
func TestEncodings(t *testing.T) {
	file := head + "  - {name: café, path: \"/café\", mode: legacy}\n"
	windows := "\uFEFF" + strings.ReplaceAll(file, "\n", "\r\n")
	table, err := route.Compile("r", []byte(windows), testEnv(nil))
	if err != nil {
		t.Fatal(err)
	}
	if p := table.Plan(&route.Request{Method: "GET", Path: "/caf%C3%A9"}, nobody, nil, nil); p.RouteName() != "café" {
		t.Errorf("%+v", p)
	}
	latin := strings.ReplaceAll(file, "é", "\xe9")
	if _, err := route.Compile("r", []byte(latin), testEnv(nil)); err == nil || !strings.Contains(err.Error(), "r:10:1: the line is not UTF-8") {
		t.Error(err)
	}
}

// TestPins: also of a route that was taken back, which keeps them for the next time.
func TestPins(t *testing.T) {
	table := compile(t, `  - {name: one, path: "/a", mode: split, percent: 0, upstream: new, pin: {forward: [ann]}}
  - {name: two, path: "/b", mode: forward, upstream: new, pin: {legacy: [bob]}}
  - {name: three, path: "/c", mode: legacy, upstream: new, pin: {forward: [ann]}}
`)
	for _, c := range []struct {
		path, subject string
		forward       bool
	}{{"/a", "ann", true}, {"/a", "bob", false}, {"/b", "ann", true}, {"/b", "bob", false}, {"/a", "", false}, {"/b", "", false}, {"/c", "ann", false}} {
		if p := table.Plan(&route.Request{Method: "GET", Path: c.path}, func() string { return c.subject }, nil, nil); p.Forward != c.forward {
			t.Errorf("%+v: %+v", c, p)
		}
	}
}

// BenchmarkPlan: the cost of a decision does not grow with the number of routes, nor with
// those whose parameter stands before the literal.
func BenchmarkPlan(b *testing.B) {
	for _, form := range []string{"/api/v1/things%d/{id}", "/api/{id}/things%d", "/{a}/{b}/c%d"} {
		for _, n := range []int{1, 1000, 5000} {
			var file strings.Builder
			for i := range n {
				fmt.Fprintf(&file, "  - {name: r%d, path: %q, mode: forward, public: true, upstream: new}\n", i, fmt.Sprintf(form, i))
			}
			table := compile(b, file.String())
			path := strings.NewReplacer("{id}", "7", "{a}", "x", "{b}", "y").Replace(fmt.Sprintf(form, n-1))
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(strings.Trim(form, "/"), "/", "."), n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if table.Plan(&route.Request{Method: "GET", Path: path}, nobody, nil, nil).Route == nil {
						b.Fatal(path)
					}
				}
			})
		}
	}
}

func longFile(routes int) []byte {
	var file strings.Builder
	file.WriteString(head)
	for i := range routes {
		fmt.Fprintf(&file, "  - {name: r%d, path: \"/api/{id}/things%d\", mode: forward, public: true, upstream: new}\n", i, i)
	}
	return []byte(file.String())
}

// TestLongFilesCostNoDecoders: most of what a route costs is its YAML, in allocations (210 of
// 244), since time depends on the machine; a decoder for each value made it 460.
func TestLongFilesCostNoDecoders(t *testing.T) {
	src := longFile(500)
	each := testing.AllocsPerRun(3, func() {
		if _, err := route.Compile("r", src, testEnv(nil)); err != nil {
			t.Fatal(err)
		}
	}) / 500
	if each > 350 {
		t.Errorf("%.0f allocations a route", each)
	}
}

func BenchmarkCompile5000(b *testing.B) {
	src := longFile(5000)
	for b.Loop() {
		if _, err := route.Compile("r", src, testEnv(nil)); err != nil {
			b.Fatal(err)
		}
	}
}
