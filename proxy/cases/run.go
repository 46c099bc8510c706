package cases

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/http1"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/subject"
	"github.com/banyan-fig/banyan/proxy/upstream"
)

// runTime bounds the run of one case.
const runTime = 30 * time.Second

// headerSubject names the subject to the proxy under test.
const headerSubject = "Banyan-Case-Subject"

// Open makes the proxy under test, and says how it is closed.
type Open func(ctx context.Context, t *route.Table, o *override.Table) (handler http.Handler, closeProxy func(), err error)

// A Difference is one place where what is got is not what the case has. The first side, A, is
// the case's.
type Difference struct {
	Message string // "answer", or such as "behind[0].request"
	diff.Difference
}

// String is one line.
func (d Difference) String() string {
	out := d.Message + ": " + d.Path
	switch d.Kind {
	case diff.Missing:
		return out + ": missing, expected " + d.A
	case diff.Extra:
		return out + ": unexpected " + d.B
	case diff.More:
		return out + ": more may differ, but a limit of the comparison was reached"
	}
	return out + ": expected " + d.A + ", got " + d.B
}

// Result is what came of a case.
type Result struct {
	Differences []Difference
	// Got is the case with what was got: the same headers, and the answers of its upstreams.
	// Nil where other upstreams were asked than it has answers of.
	Got *Case
}

// Run plays a case to a proxy with the routes of the table. An error says that it could not.
func Run(ctx context.Context, t *route.Table, c *Case, open Open) (*Result, error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	for i, s := range c.Behind {
		if t.Upstreams[s.Upstream] == nil {
			return nil, fmt.Errorf("behind[%d]: the route file has no upstream %q", i, s.Upstream)
		}
	}
	play := &play{steps: c.Behind}
	defer play.close()
	own, err := play.table(t)
	if err != nil {
		return nil, err
	}
	overrides := override.New(override.Config{})
	for _, r := range own.Routes {
		if c.Mode != "" && (r.To != nil || c.Mode == override.Legacy) {
			if err := overrides.Apply(override.Override{Route: r.Name, Mode: c.Mode, By: "case", Why: "the case's mode"}); err != nil {
				return nil, err
			}
		}
	}
	handler, closeProxy, err := open(ctx, own, overrides)
	if err != nil {
		return nil, err
	}
	defer closeProxy()
	address, err := play.serve(handler)
	if err != nil {
		return nil, err
	}
	answer, err := c.ask(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("the proxy gave no answer: %w", err)
	}
	return play.result(c, answer), nil
}

// play is the run of one case: the servers on both sides of the proxy.
type play struct {
	steps   []Step
	servers []*http.Server
	served  sync.WaitGroup

	mu  sync.Mutex
	got []Step
}

func (p *play) serve(h http.Handler) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen on loopback: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: runTime, ErrorLog: log.New(io.Discard, "", 0)}
	p.servers = append(p.servers, s)
	p.served.Go(func() { _ = s.Serve(l) })
	return l.Addr().String(), nil
}

func (p *play) close() {
	for _, s := range p.servers {
		_ = s.Close()
	}
	p.served.Wait()
}

// table is t with upstreams of the play, and without what needs the world.
func (p *play) table(t *route.Table) (*route.Table, error) {
	own := *t
	own.Entities, own.Positions = nil, nil
	own.Subject = &subject.Config{
		Sources:      []subject.Source{{Header: headerSubject, Trusted: true}},
		TrustedPeers: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	own.Upstreams = map[string]*route.Upstream{}
	for name, u := range t.Upstreams {
		address, err := p.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.answer(name, w, r) }))
		if err != nil {
			return nil, err
		}
		at := *u.Config.URL
		at.Scheme, at.Path, at.RawPath = "http", "", ""
		own.Upstreams[name] = &route.Upstream{Name: name, Timeouts: u.Timeouts, Config: upstream.Config{
			Name: name, URL: &at, Addresses: []string{address}, BreakAfter: -1,
		}}
	}
	own.Legacy = own.Upstreams[t.Legacy.Name]
	return &own, nil
}

// answer is that of an upstream.
func (p *play) answer(name string, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Header.Set("Host", r.Host)
	p.mu.Lock()
	i := len(p.got)
	p.got = append(p.got, Step{Upstream: name, Request: &Message{Method: r.Method, Target: r.RequestURI, Header: r.Header, Body: string(body)}})
	p.mu.Unlock()
	answer := &Message{Status: http.StatusInternalServerError, Body: "the case has no answer to this request"}
	if i < len(p.steps) && p.steps[i].Upstream == name {
		answer = p.steps[i].Answer
	}
	w.Header()["Date"], w.Header()["Content-Type"] = nil, nil // net/http would add them
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.Status)
	_, _ = io.WriteString(w, answer.Body)
}

// ask sends the client's request.
func (c *Case) ask(ctx context.Context, address string) (*Message, error) {
	h := c.Request.Header.Clone()
	host := h.Get("Host")
	h.Del("Host")
	h.Del("Content-Length")
	if c.Subject != "" {
		h.Set(headerSubject, c.Subject)
	}
	req := &http.Request{
		Method: c.Request.Method, Host: host, Header: h, ContentLength: int64(len(c.Request.Body)), Body: http.NoBody,
		URL: &url.URL{Scheme: "http", Host: address, Opaque: c.Request.Target},
	}
	if c.Request.Body != "" {
		req.Body = io.NopCloser(strings.NewReader(c.Request.Body))
	}
	transport := &http1.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &Message{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}, nil
}

// result compares what was got with the case.
func (p *play) result(c *Case, answer *Message) *Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, got := &Result{}, *c
	got.Behind = slices.Clone(c.Behind)
	asked, answered := true, true // those that were to be; none without an answer
	for i := range max(len(c.Behind), len(p.got)) {
		place, d := fmt.Sprintf("behind[%d]", i), diff.Difference{Path: "upstream", Kind: diff.Value}
		if i < len(c.Behind) {
			d.A = c.Behind[i].Upstream
		} else {
			d.Kind = diff.Extra
		}
		if i < len(p.got) {
			d.B = p.got[i].Upstream
		} else {
			d.Kind = diff.Missing
		}
		if d.A != d.B {
			out.Differences = append(out.Differences, Difference{place, d})
			asked, answered = false, answered && d.Kind == diff.Missing
		} else if want := c.Behind[i].Request; want != nil {
			got.Behind[i].Request = out.compare(place+".request", want, p.got[i].Request)
		}
	}
	if answered {
		got.Answer = out.compare("answer", c.Answer, answer)
	}
	if asked {
		out.Got = &got
	}
	return out
}

var bodyRules, _ = diff.Compile(diff.Spec{Headers: []string{}, AsWritten: []string{"$..*"}})

// compare adds the differences, and returns what was got as the case would have it: want itself
// where nothing differs.
func (r *Result) compare(message string, want, got *Message) *Message {
	before := len(r.Differences)
	add := func(d diff.Difference) { r.Differences = append(r.Differences, Difference{message, d}) }
	value := func(path, a, b string) {
		if a != b {
			add(diff.Difference{Path: path, Kind: diff.Value, A: a, B: b})
		}
	}
	value("method", want.Method, got.Method)
	value("target", want.Target, got.Target)
	out := &Message{Method: got.Method, Target: got.Target, Status: got.Status, Header: http.Header{}, Body: got.Body}
	for _, name := range slices.Sorted(maps.Keys(want.Header)) {
		value("header:"+name, strings.Join(want.Header[name], ", "), strings.Join(got.Header[name], ", "))
		if out.Header[name] = got.Header[name]; got.Header[name] == nil {
			out.Header[name] = []string{""}
		}
	}
	a := diff.Answer{Status: want.Status, Header: want.Header, Body: []byte(want.Body)}
	b := diff.Answer{Status: got.Status, Header: got.Header, Body: []byte(got.Body)}
	for _, d := range diff.Compare(a, b, bodyRules) {
		add(d)
	}
	if diff.Partial(a, b) && want.Body != got.Body {
		add(diff.Difference{Path: "body", Kind: diff.More})
	}
	if len(r.Differences) == before {
		return want
	}
	return out
}
