package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/proxy/observation"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// deliver gives the answer to the client, mapped where the side is.
func (x *exchange) deliver(ctx context.Context, dog *watchdog, s *side, answer *http.Response) *failure {
	if s.mapped != nil && s.mapped.Response != nil {
		return x.deliverMapped(ctx, dog, s, answer)
	}
	x.writeHead(answer, answer.Header)
	return x.stream(ctx, dog, s, answer, answer.Body)
}

// writeHead copies the head of an answer. net/http's server would add a type and a date of
// its own.
func (x *exchange) writeHead(answer *http.Response, from http.Header) {
	h := x.w.Header()
	own := named(from)
	for name, values := range from {
		if own[name] || isHopByHop(name) || name == events.HeaderWritten {
			continue
		}
		if already := h[name]; already != nil {
			values = append(already[:len(already):len(already)], values...)
		}
		h[name] = values
	}
	for _, name := range []string{"Content-Type", "Date"} {
		if _, given := h[name]; !given {
			h[name] = nil
		}
	}
	for name := range answer.Trailer {
		h.Add("Trailer", name)
	}
	x.endIfUnfinished()
	x.allowWrite()
	x.sent = answer.StatusCode
	x.w.WriteHeader(answer.StatusCode)
}

// allowWrite gives the client its time to take the next part. What it has of it left is not
// counted to the last moment: a deadline costs more than a look at the clock.
func (x *exchange) allowWrite() {
	if now := time.Now(); now.Sub(x.allowed) > x.idle/8 {
		x.allowed = now
		_ = x.control.SetWriteDeadline(now.Add(x.idle))
	}
}

// endIfUnfinished has the answer be the connection's last where a part of the request is
// still to come.
func (x *exchange) endIfUnfinished() {
	if x.in.ProtoMajor == 1 && x.body.unfinished() {
		x.w.Header()["Connection"] = []string{"close"}
	}
}

// stream copies the body of an answer while it comes: what is here is sent before more is
// waited for.
func (x *exchange) stream(ctx context.Context, dog *watchdog, s *side, answer *http.Response, body io.Reader) *failure {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	if answer.ContentLength < 0 && isEvents(answer.Header) {
		_ = x.control.Flush() // its beginning is an event already
	}
	for {
		n, err := body.Read(*buffer)
		if n > 0 {
			if err == nil {
				dog.expect(awaitsBody, s.timeouts.Idle+x.idle) // the client's part is bounded by its own deadline
			}
			x.allowWrite()
			m, werr := x.w.Write((*buffer)[:n])
			s.attempt.BytesOut += int64(m)
			if werr == nil && err == nil {
				werr = x.control.Flush()
			}
			if werr != nil {
				return clientFailed(werr)
			}
			if err == nil {
				dog.expect(awaitsBody, s.timeouts.Idle)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			x.writeTrailers(answer)
			return nil
		case err != nil:
			return x.classify(ctx, err)
		}
	}
}

// isEvents reports whether an answer is one whose head alone means something to a client
// that waits.
func isEvents(h http.Header) bool {
	t := h.Get("Content-Type")
	return strings.HasPrefix(t, "text/event-stream") || strings.HasPrefix(t, "application/grpc")
}

// writeTrailers writes what came behind the body. What the head did not announce needs the
// prefix that net/http knows it by.
func (x *exchange) writeTrailers(answer *http.Response) {
	h := x.w.Header()
	for name, values := range answer.Trailer {
		if !slices.Contains(h["Trailer"], name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

func clientFailed(err error) *failure {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &failure{observation.ClientSlow, err}
	}
	return &failure{observation.ClientGone, err}
}

// relaying1xx has the client see the upstream's interim answers, but 100, which the server
// sends by itself when the body is read.
func (x *exchange) relaying1xx(ctx context.Context) context.Context {
	if !x.in.ProtoAtLeast(1, 1) {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		if code == http.StatusContinue {
			return nil
		}
		h := x.w.Header()
		own := named(http.Header(header))
		var added []string
		for name, values := range header {
			if !own[name] && !isHopByHop(name) && !isOurs(name) {
				h[name], added = values, append(added, name)
			}
		}
		x.w.WriteHeader(code)
		for _, name := range added {
			delete(h, name)
		}
		return nil
	}})
}
