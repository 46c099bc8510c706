package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/route"
)

// Limits of a recording: at most MaxRecorded exchanges are in memory, with bodies of at most
// MaxBody bytes each. Those with a longer one are left out.
const (
	MaxRecorded = 100
	MaxBody     = 64 << 10
)

// ErrBusy says that a recording is on its way; there is one at a time.
var ErrBusy = errors.New("exchanges are being recorded already; wait for their end")

// A Recorder takes cases from live exchanges while it is asked to: a copy of what passes by,
// which waits for nothing. The zero value works.
//
// Secrets are removed as from samples of differences, by name and by shape, and where their value
// stands under another name; short ones (below 6 characters), and those of compressed bodies, can
// be seen under such a name unless the route's diff.secrets has it. What belongs to the connection, tags
// of representations and the proxy's own headers are left out. So a case may differ when it
// is played: by a template that looks into a value that was removed, or a cookie made of one. See
// what differs, then take it over (test --update).
type Recorder struct{ active atomic.Pointer[recording] }

// Order says what is recorded.
type Order struct {
	Route   *route.Route
	Cases   int           // 1 to MaxRecorded
	For     time.Duration // it ends then, with fewer
	Percent float64       // of the exchanges; the others pass by
}

type recording struct {
	Order
	left    atomic.Int64 // cases that are neither made nor on their way
	done    chan *Tape
	skipped atomic.Int64
}

// Record waits for the cases, or the end of the time or of ctx. skipped counts exchanges that
// make none: they failed, had long bodies, or bodies that are no text.
func (r *Recorder) Record(ctx context.Context, o Order) (recorded []*Case, skipped int64, err error) {
	rec := &recording{Order: o, done: make(chan *Tape, o.Cases)}
	rec.left.Store(int64(o.Cases))
	if !r.active.CompareAndSwap(nil, rec) {
		return nil, 0, ErrBusy
	}
	defer r.active.Store(nil)
	ctx, cancel := context.WithTimeout(ctx, o.For)
	defer cancel()
	for len(recorded) < o.Cases {
		select {
		case t := <-rec.done:
			c := t.redacted(o.Route.Secrets)
			if _, err := c.Marshal(); err != nil || t.binary {
				rec.skip()
				continue
			}
			recorded = append(recorded, c)
		case <-ctx.Done():
			return recorded, rec.skipped.Load(), nil
		}
	}
	return recorded, rec.skipped.Load(), nil
}

func (r *recording) skip() {
	r.skipped.Add(1)
	r.left.Add(1)
}

// Start begins the tape of an exchange; nil where none is recorded, at the cost of a look. The
// methods of a nil Tape do nothing.
func (r *Recorder) Start(name string, in *http.Request) *Tape {
	rec := r.active.Load()
	if rec == nil || rec.Route.Name != name || rand.Float64()*100 >= rec.Percent {
		return nil
	}
	if rec.left.Add(-1) < 0 {
		rec.left.Add(1)
		return nil
	}
	t := &Tape{recording: rec}
	t.request = part{tape: t, method: in.Method, target: in.RequestURI, header: in.Header.Clone(), length: in.ContentLength}
	t.request.header.Set("Host", in.Host)
	t.answer = part{tape: t}
	return t
}

// A Tape is the copy of one exchange. It is safe for concurrent use.
type Tape struct {
	recording *recording
	subject   string
	forward   bool
	binary    bool // a body is no text

	mu              sync.Mutex
	ended, tooLarge bool
	request, answer part
	behind          []*behind
}

type behind struct {
	upstream        string
	request, answer part
}

// part is one message.
type part struct {
	tape           *Tape
	method, target string
	status         int
	header         http.Header
	body           []byte
	length         int64 // -1: unknown
	ended          bool
}

func (p *part) add(b []byte, ended bool) {
	p.tape.mu.Lock()
	defer p.tape.mu.Unlock()
	if len(p.body)+len(b) > MaxBody {
		p.tape.tooLarge, p.body = true, nil
	}
	if p.ended = p.ended || ended; !p.tape.ended && !p.tape.tooLarge {
		p.body = append(p.body, b...)
	}
}

func (p *part) tee(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		p.ended = true
		return body
	}
	return &tee{body, p}
}

type tee struct {
	io.ReadCloser
	part *part
}

func (t *tee) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.part.add(b[:n], err == io.EOF)
	return n, err
}

// Client copies what is read of the client's body and written to it.
func (t *Tape) Client(w http.ResponseWriter, body io.ReadCloser) (http.ResponseWriter, io.ReadCloser) {
	return &copier{w, &t.answer}, t.request.tee(body)
}

type copier struct {
	http.ResponseWriter
	part *part
}

// Unwrap is for http.ResponseController.
func (c *copier) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *copier) WriteHeader(status int) {
	if c.part.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		c.part.status, c.part.header = status, c.Header().Clone()
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *copier) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.part.add(b[:max(n, 0)], false)
	return n, err
}

// Sent copies the request to an upstream. What it returns copies the answer.
func (t *Tape) Sent(upstream string, out *http.Request) (answered func(*http.Response)) {
	if t == nil {
		return func(*http.Response) {}
	}
	b := &behind{upstream: upstream}
	b.request = part{tape: t, method: out.Method, target: out.URL.Opaque, header: out.Header.Clone()}
	b.answer = part{tape: t}
	out.Body = b.request.tee(out.Body)
	t.mu.Lock()
	t.behind = append(t.behind, b)
	t.mu.Unlock()
	return func(a *http.Response) {
		b.answer.status, b.answer.header = a.StatusCode, a.Header.Clone()
		if a.StatusCode != http.StatusSwitchingProtocols {
			a.Body = b.answer.tee(a.Body)
		}
	}
}

// End ends the tape. It makes a case of an exchange that went well.
func (t *Tape) End(subject string, forward, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subject, t.forward, t.ended = subject, forward, true
	whole := (t.request.ended || int64(len(t.request.body)) == t.request.length) && t.answer.status >= 200
	for _, b := range t.behind {
		whole = whole && b.answer.status >= 200
	}
	if failed || t.tooLarge || !whole {
		t.recording.skip()
		return
	}
	t.recording.done <- t // it has room for all
}

// redacted makes the case.
func (t *Tape) redacted(s *diff.Secrets) *Case {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := values{}
	c := &Case{Subject: s.Text(t.subject), Mode: string(route.Legacy), Request: t.request.message(s, v, nil), Answer: t.answer.message(s, v, nil)}
	if t.forward {
		c.Mode = string(route.Forward)
	}
	for _, b := range t.behind {
		c.Behind = append(c.Behind, Step{Upstream: b.upstream, Request: b.request.message(s, v, t.request.header), Answer: b.answer.message(s, v, nil)})
	}
	v.remove(c.Request)
	v.remove(c.Answer)
	for _, b := range c.Behind {
		v.remove(b.Request)
		v.remove(b.Answer)
	}
	return c
}

// left out are headers of the connection, of the representation, and those that the proxy makes.
var leftOut = regexp.MustCompile(`^(Accept-Encoding|Connection|Content-(Encoding|Length)|Date|Etag|If-.*|Keep-Alive|Range|Te|Trailer|` +
	`Transfer-Encoding|Upgrade|Vary|X-Forwarded-.*|` +
	strings.Join([]string{correlation.HeaderCorrelation, correlation.HeaderCausation, correlation.HeaderTraceParent, "Tracestate",
		events.HeaderReadAfter, events.HeaderWritten}, "|") + `)$`)

var cookieValue = regexp.MustCompile(`^([^=;]*=)[^;]*`)

// message is without secrets, and without headers that client has just so.
func (p *part) message(s *diff.Secrets, v values, client http.Header) *Message {
	m := &Message{Method: p.method, Target: s.Target(p.target), Status: p.status, Header: http.Header{}}
	v.query(p.target, m.Target)
	for name, lines := range p.header {
		if leftOut.MatchString(name) || client != nil && name != "Content-Type" && slices.Equal(client[name], lines) {
			continue
		}
		for _, line := range lines {
			clean := s.Header(name, line)
			if name == "Set-Cookie" {
				clean = cookieValue.ReplaceAllString(line, "${1}"+removed)
				line, _, _ = strings.Cut(line, ";")
				v.header(line, removed)
			} else {
				v.header(line, clean)
			}
			m.Header.Add(name, clean)
		}
	}
	if len(p.body) == 0 {
		return m
	}
	switch body := s.Body(diff.Answer{Header: p.header, Body: p.body}, 16*MaxBody).(type) {
	case json.RawMessage:
		m.Body = string(body)
		v.body(p.body, body)
	case string:
		m.Body = body
		encoded := p.header.Get("Content-Encoding")
		p.tape.binary = p.tape.binary || encoded != "" && encoded != "identity" || !utf8.Valid(p.body) || bytes.IndexByte(p.body, 0) >= 0
	}
	return m
}
