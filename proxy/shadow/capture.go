package shadow

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
)

// A Capture copies one exchange of a client while it happens, within bounds. A nil one
// copies nothing. Its methods may be called from several goroutines.
type Capture struct {
	shadow *Shadow
	job    *job

	mu       sync.Mutex
	reading  int64 // bytes of the request's body still to come; -1 when that is unknown
	finished bool
}

// Start begins a copy of r's exchange, or returns nil: for a nil route, and for requests
// that are not in the sample or may not be sent twice. It copies the head; the exchange
// may change its own.
func (s *Shadow) Start(route *Route, r *http.Request) *Capture {
	if s == nil || route == nil || s.config.Random()*100 >= route.policy.Percent {
		return nil
	}
	if !route.allows(r) {
		s.count(route, Result{Outcome: Unsafe})
		return nil
	}
	head := r.Clone(context.WithoutCancel(r.Context()))
	head.Body, head.GetBody, head.Response = nil, nil, nil
	c := &Capture{shadow: s, reading: r.ContentLength, job: &job{route: route, request: head}}
	if r.Body == nil || r.Body == http.NoBody {
		c.reading = 0
	}
	if !s.reserve(c.job, headSize(head)) {
		c.drop(FullBytes)
	}
	return c
}

// headSize is about what a copied head weighs.
func headSize(r *http.Request) int {
	n := 1024 + 2*len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 64
		}
	}
	return n
}

// Request copies the request's body as it is read.
func (c *Capture) Request(body io.ReadCloser) io.ReadCloser {
	if c == nil || body == nil || body == http.NoBody {
		return body
	}
	return &tee{body, c}
}

type tee struct {
	io.ReadCloser
	capture *Capture
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.capture.read(p[:n], err)
	return n, err
}

func (c *Capture) read(p []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	if c.reading > 0 {
		c.reading -= int64(len(p))
	}
	if errors.Is(err, io.EOF) {
		c.reading = 0
	}
	if len(c.job.body)+len(p) > c.job.route.policy.MaxBody {
		c.dropLocked(Capped)
		return
	}
	c.keepLocked(&c.job.body, p)
}

// Head copies the final answer's status and headers, as they go to the client.
func (c *Capture) Head(status int, header http.Header) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	t := header.Get("Content-Type")
	if status == http.StatusSwitchingProtocols || strings.HasPrefix(t, "text/event-stream") || strings.HasPrefix(t, "application/grpc") {
		c.dropLocked(Stream)
		return
	}
	c.job.answer = diff.Answer{Status: status, Header: header.Clone()}
}

// Write copies a part of the answer's body, up to the route's MaxBody. It always reports
// that all was written.
func (c *Capture) Write(p []byte) (int, error) {
	if c == nil {
		return len(p), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished {
		room := c.job.route.policy.MaxBody - len(c.job.answer.Body)
		if len(p) > room {
			c.job.answer.Capped = true
		}
		c.keepLocked(&c.job.answer.Body, p[:min(len(p), room)])
	}
	return len(p), nil
}

// keepLocked appends within the shadow's bytes.
func (c *Capture) keepLocked(buf *[]byte, p []byte) {
	if !c.shadow.keep(c.job, buf, p) {
		c.dropLocked(FullBytes)
	}
}

func (c *Capture) drop(why Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(why)
}

// dropLocked gives up the copy, and with it its memory, at once.
func (c *Capture) dropLocked(why Outcome) {
	if !c.finished {
		c.finished = true
		c.shadow.finish(c.job, Result{Outcome: why})
	}
}

// End ends the copy: when the client's exchange went well (err is nil), it is offered
// for comparison with the other side. It never waits. Only the first call counts.
func (c *Capture) End(err error, primary, other Side) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished:
	case err != nil:
		c.dropLocked(Abandoned)
	case c.job.answer.Status == 0: // the connection was taken over
		c.dropLocked(Stream)
	case c.reading != 0:
		c.dropLocked(Unread)
	default:
		c.finished = true
		c.job.at, c.job.primary, c.job.other = time.Now(), primary, other
		c.shadow.offer(c.job)
	}
}
