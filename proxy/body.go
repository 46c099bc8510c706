package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/route"
)

// clientBody is the body of a client's request: it knows whether a failure is the client's,
// ends a client that sends nothing, and tells the watchdog that something moves.
type clientBody struct {
	in       *http.Request
	control  *http.ResponseController
	read     atomic.Int64
	failed   atomic.Pointer[failure]
	dog      *watchdog
	timeouts route.Timeouts
	held     bool      // it is read as a whole before an upstream is asked
	until    time.Time // when that must have happened
	done     atomic.Bool
	closed   atomic.Bool
}

// inHand is the most bytes of a body that are read before an upstream is asked, so that a
// slow client holds none of its connections.
const inHand = 32 << 10

func (b *clientBody) expected() bool { return b.in.ContentLength != 0 }

// streams reports whether the body is sent on while it comes.
func (b *clientBody) streams() bool { return b.in.ContentLength < 0 || b.in.ContentLength > inHand }

// reader is the body for an outbound request, http.NoBody for none.
func (b *clientBody) reader() io.ReadCloser {
	if !b.expected() {
		return http.NoBody
	}
	return b
}

// watched has the body tell dog what is awaited, from now on.
func (b *clientBody) watched(dog *watchdog, t route.Timeouts) { b.dog, b.timeouts = dog, t }

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.done.Load() {
		return 0, io.EOF
	}
	streams := b.streams() && !b.held
	if first := b.until.IsZero(); first || streams { // else as a whole, since an upstream gets it as a whole
		b.until = time.Now().Add(b.timeouts.Idle)
		_ = b.control.SetReadDeadline(b.until)
		if first {
			_ = b.control.SetWriteDeadline(b.until) // for the server's 100
		}
	}
	if b.closed.Load() { // before the deadline that was just set; a later Close ends it
		return 0, http.ErrBodyReadAfterClose
	}
	if streams {
		b.dog.rest() // the client is awaited, by that deadline
	}
	n, err := b.in.Body.Read(p)
	b.read.Add(int64(n))
	switch {
	case err == nil:
		if streams {
			b.dog.expect(awaitsBody, b.timeouts.Idle) // for the upstream to take it
		}
	case errors.Is(err, io.EOF):
		b.end()
		if !b.held {
			b.dog.expect(awaitsAnswer, b.timeouts.FirstByte)
		}
	case !b.closed.Load(): // else nobody waits for it any more, for a reason of another's
		b.failed.CompareAndSwap(nil, &failure{causeOfClient(err), err})
	}
	return n, err
}

// end takes the deadline back: behind the body, the server itself listens for the client's
// end of the connection.
func (b *clientBody) end() {
	b.done.Store(true)
	_ = b.control.SetReadDeadline(time.Time{})
}

// Close ends a Read that waits for the client. What it did not send is not waited for.
func (b *clientBody) Close() error {
	b.closed.Store(true)
	if b.unfinished() {
		return b.control.SetReadDeadline(time.Now())
	}
	return nil
}

// unfinished reports whether the client has not sent all of it. Then the answer must be the
// last one of the connection: what comes next on it may be the rest of the body.
func (b *clientBody) unfinished() bool { return b.expected() && !b.done.Load() }

// failure is what the client did that ended the body, nil for nothing.
func (b *clientBody) failure() *failure { return b.failed.Load() }

func causeOfClient(err error) observation.Cause {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return observation.ClientSlow
	case errors.Is(err, io.ErrUnexpectedEOF):
		return observation.ClientGone
	}
	return observation.ClientMalformed
}
