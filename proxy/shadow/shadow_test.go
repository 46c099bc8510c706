package shadow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is a side that answers each time with the next of the bodies, and then with
// the last one.
func answering(bodies ...string) http.Handler {
	var sides []http.Handler
	for _, body := range bodies {
		sides = append(sides, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(shadow.HeaderShadow) != "" {
				_, _ = io.WriteString(w, body)
			}
		}))
	}
	return sequence(sides...)
}

// sequence asks one side after the other, and then the last one.
func sequence(sides ...http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now := sides[0]
		if len(sides) > 1 {
			sides = sides[1:]
		}
		mu.Unlock()
		now.ServeHTTP(w, r)
	})
}

// hung is a side that answers when nobody waits any more.
var hung = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); w.WriteHeader(504) })

func route(t testing.TB, p shadow.Policy) *shadow.Route {
	t.Helper()
	if p.Percent == 0 {
		p.Percent = 100
	}
	r, err := shadow.NewRoute("orders", p, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(method, target, body string, header ...string) *http.Request {
	r, _ := http.NewRequest(method, "http://client.invalid"+target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// exchange is a client's exchange as an engine makes it, answered with body.
func exchange(s *shadow.Shadow, route *shadow.Route, r *http.Request, body string, primary, other shadow.Side) {
	c := s.Start(route, r)
	r.Body = c.Request(r.Body)
	_, _ = io.Copy(io.Discard, r.Body)
	c.Head(200, http.Header{})
	_, _ = io.WriteString(c, body)
	c.End(nil, primary, other)
}

// outcomes is the counts of the only route, in words.
func outcomes(s *shadow.Shadow) string {
	text, _ := json.Marshal(s.Stats()["orders"])
	return strings.NewReplacer(`"`, "", "{", "", "}", "").Replace(string(text))
}

func fields(s *shadow.Shadow) string {
	var out []string
	for _, f := range s.Book().Of("orders").Report().Fields {
		out = append(out, fmt.Sprintf("%s %s %d/%d", f.Path, f.Kind, f.Count, f.Noise))
	}
	return strings.Join(out, ", ")
}

// TestOutcomes: each way in which a comparison can end, with a late read model on either
// side, in the time that the policy says.
func TestOutcomes(t *testing.T) {
	const old, now, next = `{"n":1}`, `{"n":2}`, `{"n":3}`
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		for {
			if _, err := io.WriteString(w, "text"); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	})
	flushes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, now)
		if err := http.NewResponseController(w).Flush(); err != nil || r.RequestURI != "/?a=;" {
			panic(fmt.Sprint(err, r.RequestURI))
		}
	})
	aborts := func(with error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, now[:3]); panic(with) })
	}
	down := aborts(http.ErrAbortHandler)
	twice := shadow.Policy{Rechecks: 2, RecheckAfter: time.Minute, Timeout: time.Second}
	for _, c := range []struct {
		name           string
		method         string
		policy         shadow.Policy
		primary, other http.Handler
		outcome        string
		fields         string
		took           time.Duration
	}{
		{name: "equal", other: flushes, outcome: "equal:1"},
		{name: "cut", other: down, outcome: "failed:1", fields: "answer missing 1/0"},
		{name: "different", policy: twice, other: answering(old), outcome: "differs:1",
			fields: "$.n value 1/0", took: 2 * time.Minute},
		{name: "late once", policy: twice, other: answering(old, now), outcome: "late:1", took: time.Minute},
		{name: "late twice", policy: twice, other: answering(old, old, now), outcome: "late:1", took: 2 * time.Minute},
		{name: "too late", policy: twice, other: answering(old, old, old, now), outcome: "differs:1",
			fields: "$.n value 1/0", took: 2 * time.Minute},
		{name: "late, and then a write on both sides", policy: twice, primary: answering(next),
			other: answering(old, next), outcome: "late:1", took: time.Minute},
		{name: "the primary was late", policy: twice, primary: answering(next),
			other: answering(next, `{"n":4}`), outcome: "late:1", took: time.Minute},
		{name: "a write is sent once", method: "PUT", policy: shadow.Policy{Methods: []string{"put"}, Rechecks: 2},
			other: answering(old, now), outcome: "differs:1", fields: "$.n value 1/0"},
		{name: "hung", policy: shadow.Policy{Timeout: time.Second}, other: hung, outcome: "failed:1",
			fields: "answer missing 1/0", took: time.Second},
		{name: "down, and then up", policy: twice, other: sequence(down, down, answering(now)), outcome: "late:1",
			took: 2 * time.Minute},
		{name: "capped", policy: shadow.Policy{MaxBody: 6}, other: answering(`{"n": 2}`), outcome: "equal:1"},
		{name: "without end", policy: shadow.Policy{MaxBody: 99}, other: endless, outcome: "differs:1",
			fields: "body type 1/0"},
		{name: "panics", other: aborts(errors.New("a bug")), outcome: "panicked:1", fields: "answer missing 1/0"},
		{name: "unforwarded", policy: twice, other: aborts(shadow.ErrUnforwarded), outcome: "unforwarded:1"},
		{name: "not allowed", method: "PUT", other: down, outcome: "unsafe:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, took := time.Now(), time.Duration(0)
				s := shadow.New(shadow.Config{Workers: 1, Observe: func(shadow.Result) { took = time.Since(begin) }})
				defer s.Close()
				if c.method == "" {
					c.method = "GET"
				}
				r := get(c.method, "/?a=;", "", "Idempotency-Key", "1")
				r.RequestURI = "/?a=;"
				exchange(s, route(t, c.policy), r, now, shadow.Side{Handler: c.primary}, shadow.Side{Handler: c.other})
				time.Sleep(time.Hour) // of the bubble's clock
				synctest.Wait()
				if got := outcomes(s); got != c.outcome || fields(s) != c.fields {
					t.Errorf("got %s (%s), want %s (%s)", got, fields(s), c.outcome, c.fields)
				}
				if took != c.took || s.Held() != 0 {
					t.Errorf("took %v, want %v; %d bytes are held", took, c.took, s.Held())
				}
			})
		})
	}
}

// TestNoiseIsLearnt from the legacy side, whichever of the two it is.
func TestNoiseIsLearnt(t *testing.T) {
	for _, legacyFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			legacy := shadow.Side{Name: "legacy", Legacy: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n++
				fmt.Fprintf(w, `{"at":%d,"price":1}`, n)
			})}
			orders := shadow.Side{Name: "orders", Handler: answering(`{"at":0,"price":2}`)}
			s := shadow.New(shadow.Config{Workers: 1, Queue: 100})
			defer s.Close()
			for range 40 {
				if legacyFirst {
					exchange(s, route(t, shadow.Policy{Noise: 100}), get("GET", "/", ""), `{"at":1000,"price":1}`, legacy, orders)
				} else {
					exchange(s, route(t, shadow.Policy{Noise: 100}), get("GET", "/", ""), `{"at":0,"price":2}`, orders, legacy)
				}
			}
			synctest.Wait()
			if got, want := fields(s), "$.price value 40/0, $.at value 40/40"; got != want {
				t.Errorf("legacy first %v: got %s, want %s", legacyFirst, got, want)
			}
			if v := s.Book().Of("orders").Verdict(diff.Gate{}); len(v.Unexplained) != 1 || v.Unexplained[0].Path != "$.price" {
				t.Errorf("legacy first %v: what is not explained must be the price alone: %+v", legacyFirst, v.Unexplained)
			}
		})
	}
}

// TestWhatTheOtherSideIsSent: the client's request as it was, whatever the exchange did
// with it, and with the mark of a shadow.
func TestWhatTheOtherSideIsSent(t *testing.T) {
	var samples bytes.Buffer
	var got *http.Request
	var body []byte
	s := shadow.New(shadow.Config{Workers: 1, Samples: &samples})
	other := shadow.Side{Name: "orders", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		fmt.Fprint(w, "{}")
	})}
	r := get("POST", "/orders?token=abc&a=%20;", "the body", "Idempotency-Key", "k", "X-Kept", "yes", "X-App-Version", "5.2")
	rt := route(t, shadow.Policy{Methods: []string{"POST"}, VersionHeader: "X-App-Version"})
	c := s.Start(rt, r)
	r.Header.Del("X-Kept")
	r.URL.Path = "/changed"
	read := c.Request(r.Body)
	r.Body = nil
	_, _ = io.ReadAll(read)
	h := http.Header{"Location": {"/a"}}
	c.Head(201, h)
	h.Set("Location", "/b")
	fmt.Fprint(c, `{"email":"a@b.example"}`)
	c.End(nil, shadow.Side{Name: "legacy"}, other)
	c.End(nil, shadow.Side{}, shadow.Side{})
	for sum(s) == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if got.URL.RequestURI() != "/orders?token=abc&a=%20;" || string(body) != "the body" || got.Header.Get("X-Kept") != "yes" ||
		got.Header.Get(shadow.HeaderShadow) != "1" || got.ContentLength != 8 {
		t.Errorf("the other side got %s %q with %v", got.URL, body, got.Header)
	}
	want := `"route":"orders","method":"POST","target":"/orders?token=(removed)&a=%20;","version":"5.2","differences":[` +
		`{"path":"status","kind":"value","a":"201","b":"200"},{"path":"header:Location","kind":"missing","a":"/a"},` +
		`{"path":"$.email","kind":"missing","a":"\"(removed)\""}],"primary":{"name":"legacy","status":201,`
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(json.RawMessage(samples.Bytes())); err != nil {
		t.Fatal(err)
	}
	if plain := strings.ReplaceAll(line.String(), `\u0026`, "&"); !strings.Contains(plain, want) {
		t.Errorf("the sample is %s", plain)
	}
	if counts := s.Book().Of("orders").Report().Counts; len(counts) != 1 || counts[0].Version != "5.2" || counts[0].Status != "2xx" {
		t.Errorf("the ledger has %+v", counts)
	}
}

// TestNothingWaits: at every limit, End returns at once and says so.
func TestNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shadow.New(shadow.Config{Workers: 2, Queue: 3, Bytes: 1 << 20})
		rt := route(t, shadow.Policy{MaxBody: 1 << 20})
		begin := time.Now()
		copied := func(size int, want string) {
			t.Helper()
			exchange(s, rt, get("GET", "/", ""), strings.Repeat("a", size), shadow.Side{}, shadow.Side{Handler: hung})
			synctest.Wait()
			if got := outcomes(s); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		copied(1<<20, "full_bytes:1")
		for range 5 {
			copied(10, "full_bytes:1")
		}
		for _, want := range []string{"full_bytes:1,full_queue:1", "full_bytes:1,full_queue:2"} {
			copied(10, want)
		}
		s.Close()
		copied(10, "closed:6,full_bytes:1,full_queue:2")
		if s.Held() != 0 || time.Since(begin) > 0 {
			t.Errorf("%d bytes held after %v", s.Held(), time.Since(begin))
		}
		s.Close()
	})
}

// TestAnswersCountAgainstTheBytes: those of the other side too.
func TestAnswersCountAgainstTheBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shadow.New(shadow.Config{Bytes: 16 << 10})
		defer s.Close()
		long := strings.Repeat("a", 64<<10)
		for _, other := range []string{long, "short"} {
			exchange(s, route(t, shadow.Policy{}), get("GET", "/", ""), "short", shadow.Side{}, shadow.Side{Handler: answering(other)})
			synctest.Wait()
		}
		if got := outcomes(s); got != "equal:1,full_bytes:1" || s.Held() != 0 {
			t.Errorf("got %s with %d bytes held", got, s.Held())
		}
	})
}

// TestKeys: the policy, the rules and the gate as they are written in a route file.
func TestKeys(t *testing.T) {
	var got struct {
		Shadow shadow.Policy `yaml:"shadow"`
		Diff   diff.Spec     `yaml:"diff"`
		Gate   diff.Gate     `yaml:"gate"`
	}
	src := `
shadow: {percent: 5, methods: [PUT, DELETE], idempotencyHeader: X-Request-Token, versionHeader: X-App-Version, timeout: 3s,
  maxBody: 1048576, noise: 10, rechecks: 3, recheckAfter: 500ms}
diff: {ignore: [$.servedBy, "$..updatedAt", "header:Cache-Control"], unordered: {$.items: id, "$.items[].tags": ""},
  tolerance: {$.price: 0.01}, asWritten: [$.amount], nullIsAbsent: ["$.items[].note"], headers: [Content-Type, ETag], secrets: [nickname]}
gate: {comparisons: {2xx: 5000, 4xx: 50}, versions: ["5.2", "5.3"], over: 24h}
`
	if err := yaml.UnmarshalWithOptions([]byte(src), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	rules, err := diff.Compile(got.Diff)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shadow.NewRoute("orders", got.Shadow, rules, ""); err != nil {
		t.Fatal(err)
	}
	if got.Shadow.Timeout != 3*time.Second || got.Diff.Unordered["$.items[].tags"] != "" || len(got.Diff.Unordered) != 2 ||
		got.Gate.Over != 24*time.Hour || got.Gate.Comparisons["4xx"] != 50 {
		t.Errorf("got %+v", got)
	}
}

func TestSample(t *testing.T) {
	draws := []float64{0.049, 0.05, 0.99, 0}
	s := shadow.New(shadow.Config{Workers: 1, Random: func() float64 { d := draws[0]; draws = draws[1:]; return d }})
	defer s.Close()
	rt := route(t, shadow.Policy{Percent: 5})
	for i, want := range []bool{true, false, false, true} {
		c := s.Start(rt, get("GET", "/", ""))
		if (c != nil) != want {
			t.Errorf("request %d is copied: %v", i, c != nil)
		}
		c.End(errors.New("cut"), shadow.Side{}, shadow.Side{})
	}
	if s.Start(nil, get("GET", "/", "")) != nil || outcomes(s) != "abandoned:2" {
		t.Errorf("a route without a shadow is not copied; got %s", outcomes(s))
	}
	var none *shadow.Shadow
	if none.Start(rt, get("GET", "/", "")) != nil {
		t.Error("no shadow copies nothing")
	}
}

// full takes nothing, as a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestLostSamplesAreLogged once, not for each of them.
func TestLostSamplesAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := shadow.New(shadow.Config{Workers: 1, Samples: full{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range int64(3) {
		exchange(s, route(t, shadow.Policy{}), get("GET", "/orders", ""), `{"a":1}`, shadow.Side{Name: "legacy"}, shadow.Side{Name: "orders", Handler: answering(`{"a":2}`)})
		for sum(s) <= n {
			time.Sleep(time.Millisecond)
		}
	}
	s.Close()
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no space left") {
		t.Errorf("logged:\n%s", got)
	}
}

func TestPolicyNamesWhatIsWrong(t *testing.T) {
	for want, p := range map[string]shadow.Policy{
		"invalid percent 0: it must be above 0":       {},
		"invalid maxBody 16777217: it must be at":     {Percent: 1, MaxBody: 16<<20 + 1},
		"invalid noise 101: it must be 0 to 100":      {Percent: 1, Noise: 101},
		"invalid rechecks 11: it must be 0 to 10":     {Percent: 1, Rechecks: 11},
		"invalid timeout -1s: it must be a duration":  {Percent: 1, Timeout: -time.Second},
		"invalid recheckAfter -1s: it must be a dura": {Percent: 1, RecheckAfter: -time.Second},
	} {
		if _, err := shadow.NewRoute("orders", p, nil, ""); err == nil || !strings.Contains(err.Error(), "route orders: shadow: "+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// sum is how many copies ended, in any way.
func sum(s *shadow.Shadow) (n int64) {
	for v := range maps.Values(s.Stats()["orders"]) {
		n += v
	}
	return n
}
