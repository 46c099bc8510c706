package proxy

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/route"
)

// decide chooses the side.
func (x *exchange) decide() {
	x.plan = x.live.table.Plan(&route.Request{
		Method: x.in.Method, Host: x.in.Host, Path: x.path, Query: x.query, Header: x.in.Header, Client: x.peer(),
	}, x.subject, x.proxy.overrides, x.proxy.entities)
}

// planned is the side that was chosen.
func (x *exchange) planned() observation.Side {
	if x.plan.Forward {
		return observation.New
	}
	return observation.Legacy
}

// awaitRelease has a write wait while the writes of the entity that its route depends on are
// held for a change of owner, and decides anew behind it. A body that is streamed stays with
// the client meanwhile, so that such a client is missed only when the wait is over.
func (x *exchange) awaitRelease() *failure {
	r := x.plan.Route
	if r == nil || r.Entity == nil || !isWrite(x.in.Method) || !x.proxy.entities.Held(r.Entity.Name) {
		return nil
	}
	if f := x.keepBody(x.newSide(x.planned()).timeouts); f != nil {
		return f
	}
	err := x.proxy.entities.Wait(x.in.Context(), r.Entity.Name, r.Entity.Wait, r.Entity.MaxWaiting)
	_ = x.control.SetWriteDeadline(time.Now().Add(x.idle))
	switch {
	case errors.Is(err, ownership.ErrHeld):
		return &failure{observation.Held, err}
	case err != nil:
		return &failure{observation.ClientGone, err}
	}
	x.decide()
	return nil
}

// keepBody reads a body that is not streamed. Only behind a body does the server notice that
// the client goes away.
func (x *exchange) keepBody(t route.Timeouts) *failure {
	if !x.body.expected() || x.body.streams() {
		return nil
	}
	x.body.held, x.body.timeouts = true, t
	raw, _ := io.ReadAll(x.body) // failure has the error
	if f := x.body.failure(); f != nil {
		return f
	}
	in := *x.in
	in.Body = io.NopCloser(&keptBody{raw})
	x.bind(x.w, &in)
	return nil
}

// keptBody ends with its last bytes, as a client's body does: what is not known to have ended
// costs the connection.
type keptBody struct{ rest []byte }

// Read implements io.Reader.
func (k *keptBody) Read(p []byte) (n int, err error) {
	n = copy(p, k.rest)
	if k.rest = k.rest[n:]; len(k.rest) == 0 {
		err = io.EOF
	}
	return n, err
}

// isWrite reports whether requests of the method may change something (RFC 9110, 9.2.1).
func isWrite(method string) bool {
	return !route.IsSafe(method) && method != http.MethodOptions && method != http.MethodTrace
}
