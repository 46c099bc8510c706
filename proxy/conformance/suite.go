package conformance

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Target is a proxy that the suite is run against.
type Target struct {
	Name  string
	Kinds []Kind // that it has; none: all
	// Start starts one before the backend and returns its address, and a function that
	// stops it and waits until nothing of it runs. It is called for each limit of time.
	Start func(testing.TB, Backend) (address string, stop func())
	// Why says by the name of a case why it fails, for the Table.
	Why map[string]string
	// Budget is how long anything may take that must happen at all. Default: a minute.
	Budget time.Duration

	told bool // its outcomes fail no test
}

// Backend is what a target forwards to.
type Backend struct {
	Legacy, New string        // addresses, as host:port
	Timeout     time.Duration // of each route and of the legacy app
}

// Routes is the route file of a backend for banyan-proxy. Its environment is Env. No circuit
// breaker opens: what many cases get from their upstream, all at a time, is no answer.
func (b Backend) Routes() string {
	const (
		answer  = "response: {body: {saw: $.saw, side: $.side}, error: {saw: $.saw, side: $.side}}"
		forward = "upstream: new, mode: forward, public: true"
		split   = "upstream: new, mode: split, percent: 100"
		gone    = "upstream: gone, mode: forward, public: true"
	)
	timeouts := fmt.Sprintf("timeouts: {firstByte: %v, idle: %[1]v}", b.Timeout)
	file := fmt.Sprintf(`
version: 1
legacy: old
upstreams:
  old: {url: "http://%s", connect: 1m, breakAfter: -1, %s}
  new: {url: "http://%s", connect: 1m, breakAfter: -1}
  gone: {url: "http://127.0.0.1:1"}
subject: {jwtSecretEnv: CONFORMANCE_SECRET}
cohorts: {keyEnv: CONFORMANCE_SECRET}
routes:
`, b.Legacy, timeouts, b.New)
	for _, r := range []struct{ kind, method, rest string }{
		{"forwarded", "GET", forward},
		{"forwarded", "", forward},
		{"split", "GET", split},
		{"split", "", split},
		{"mapped", "GET", forward + ", " + answer},
		{"mapped", "POST", forward + ", request: {body: {a: $.a}}, " + answer},
		{"mapped", "", forward + ", " + answer},
		{"renamed", "GET", forward + `, request: {path: "/renamed/{rest}"}`},
		{"gone", "GET", gone},
		{"gone", "", gone},
	} {
		method := "" // of any, which does not fall back
		if r.method != "" {
			method = "method: " + r.method + ", "
		}
		file += fmt.Sprintf("  - {name: %s%s, %spath: \"/%s/{rest...}\", %s, %s}\n", r.kind, r.method, method, r.kind, timeouts, r.rest)
	}
	return file
}

const secret = "the secret of the conformance suite"

// Env is the environment of Routes.
func Env(name string) (string, bool) { return secret, name == "CONFORMANCE_SECRET" }

// Result is what became of a case on a kind of route.
type Result struct {
	Case     string
	Kind     Kind
	Problems []string
	Refused  bool // where the target might have passed the request
}

// Run runs all cases against a target, each as a test of its own, and returns what became
// of them. It takes seconds, whatever their number, and leaves nothing running.
func Run(t *testing.T, target Target) []Result {
	t.Helper()
	results := resultsOf(t, target, selection(t))
	for _, r := range results {
		t.Run(r.Case+"/"+string(r.Kind), func(t *testing.T) {
			if len(r.Problems) > 0 {
				t.Error(strings.Join(r.Problems, "\n"))
			}
		})
	}
	return results
}

// Tell is Run for a target that others have made: what becomes of the cases is no test's matter.
func Tell(t *testing.T, target Target) []Result {
	t.Helper()
	target.told = true
	return resultsOf(t, target, selection(t))
}

func resultsOf(t *testing.T, target Target, selected func(name string) bool) (results []Result) {
	var patient, brief, again []*run
	for _, r := range plan(target) {
		switch {
		case selected(r.kase.Name) && r.kase.Brief:
			brief = append(brief, r)
		case selected(r.kase.Name):
			patient = append(patient, r)
		}
	}
	var targets sync.WaitGroup
	targets.Go(start(t, target, 5*time.Minute, 16, patient))
	targets.Go(start(t, target, time.Second, len(brief), brief))
	targets.Wait()
	for _, r := range append(patient, brief...) {
		problems := r.check()
		if r.kase.Brief && len(problems) > 0 && !target.told {
			again = append(again, &run{kase: r.kase, kind: r.kind, token: r.token, auth: r.auth, steps: make(chan struct{})})
			continue
		}
		results = append(results, Result{r.kase.Name, r.kind, problems, r.refused()})
	}
	if again != nil { // the machine may have been busy for longer than their limits
		start(t, target, 10*time.Second, len(again), again)()
	}
	for _, r := range again {
		results = append(results, Result{r.kase.Name, r.kind, r.check(), r.refused()})
	}
	return results
}

// selection is which cases -run asks for, so that one can be run alone.
func selection(t *testing.T) func(name string) bool {
	parts := strings.Split(flag.Lookup("test.run").Value.String(), "/")
	depth := strings.Count(t.Name(), "/") + 1
	if len(parts) <= depth {
		return func(string) bool { return true }
	}
	pattern, err := regexp.Compile(parts[depth])
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) bool {
		first, _, _ := strings.Cut(name, "/")
		return pattern.MatchString(strings.ReplaceAll(first, " ", "_"))
	}
}

func plan(target Target) (runs []*run) {
	claims := jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		panic(err) // HS256 takes any bytes
	}
	for _, c := range Cases() {
		for _, kind := range Kinds {
			if c.Kinds != nil && !slices.Contains(c.Kinds, kind) || target.Kinds != nil && !slices.Contains(target.Kinds, kind) {
				continue
			}
			runs = append(runs, &run{
				kase: &c, kind: kind, token: fmt.Sprintf("t%dz", len(runs)), auth: "Authorization: Bearer " + token,
				steps: make(chan struct{}),
			})
		}
	}
	return runs
}

// start starts a target and returns a function that runs cases, so many at once, and after
// them, alone, those that spoil connections.
func start(t *testing.T, target Target, limit time.Duration, atOnce int, runs []*run) func() {
	if len(runs) == 0 {
		return func() {}
	}
	byToken := map[string]*run{}
	for _, r := range runs {
		r.limit, r.budget, byToken[r.token] = limit, cmp.Or(target.Budget, time.Minute), r
	}
	u, err := listen(byToken)
	if err != nil {
		t.Fatal(err)
	}
	address, stop := target.Start(t, Backend{u.listeners[0].Addr().String(), u.listeners[1].Addr().String(), limit})
	return func() {
		slots := make(chan struct{}, atOnce)
		var wg sync.WaitGroup
		for _, r := range runs {
			if r.kase.Alone {
				continue
			}
			slots <- struct{}{}
			wg.Go(func() {
				r.do(address)
				<-slots
			})
		}
		wg.Wait()
		for _, r := range runs {
			if r.kase.Alone {
				r.do(address)
			}
		}
		u.close()
		stop()
		for _, stray := range u.strays {
			if t.Log(stray); !target.told {
				t.Fail()
			}
		}
	}
}

// text is the body without its Content-Encoding.
func (m *message) text() string {
	if !m.hasToken("Content-Encoding", "gzip") {
		return string(m.body)
	}
	z, err := gzip.NewReader(bytes.NewReader(m.body))
	if err != nil {
		return string(m.body)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return string(m.body)
	}
	return string(b)
}

// gzipped compresses a text.
func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

// Cases are all cases: attacks and odd requests, then what upstreams do.
func Cases() []Case {
	return slices.Concat(framing(), requests(), fields(), answers(), streams())
}
