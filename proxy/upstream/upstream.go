// Package upstream is where requests can go: a name with its addresses, connections, health
// and circuit breaker.
//
//	set := upstream.NewSet()
//	ups := set.Use([]upstream.Config{{Name: "orders", URL: u}})
//	answer, err := ups["orders"].RoundTrip(request)
//
// A [Set] survives the reload of a route file: what a configuration has not changed keeps
// its connections and what is known of its health.
//
// # Caveats
//
//   - There are no timeouts but that of connecting: the caller ends the request's context. An
//     end with the cause context.Canceled means that the caller left; any other cause means
//     that the address took too long, which counts for its circuit breaker.
//   - A request is sent to a second address only where provably nothing of it was sent to the
//     first.
//   - A request that is signed has its body in memory, its query encoded anew (the values stay),
//     and the client's Authorization in X-Forwarded-Authorization.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/banyan-fig/banyan/proxy/http1"
)

// ErrOpen is returned for a request that was not sent, because those before it had no
// answer.
var ErrOpen = errors.New("the upstream is not asked for now, because it did not answer before")

// transport sends to one address: an http1.Transport or net/http's HTTP/2.
type transport interface {
	http.RoundTripper
	Close()
}

// Upstream is an http.RoundTripper for one upstream. It is safe for concurrent use.
type Upstream struct {
	cfg       resolved
	transport transport
	signer    *signer // nil: requests are not signed
	addresses []*address
	picks     atomic.Uint64
	stop      func() // the health check
}

// Name is that of the configuration.
func (u *Upstream) Name() string { return u.cfg.Name }

// RoundTrip sends the request to an address: of those in health, one with the fewest
// requests that wait for an answer, in turn. URL.Opaque is path and query as they are to be
// sent; where it is empty, they are the URL's. Scheme and host are the upstream's. A request
// without a Host gets the upstream's. Errors are those of http1.Transport, also with HTTP/2,
// or ErrOpen.
func (u *Upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.WithContext(r.Context())
	target := r.URL.Opaque
	if target == "" {
		target = r.URL.RequestURI()
	}
	out.URL = &url.URL{Scheme: u.cfg.URL.Scheme, Opaque: u.cfg.URL.EscapedPath() + target}
	if out.Host == "" {
		out.Host = u.cfg.URL.Host
	}
	if u.signer != nil {
		if err := u.signer.sign(out); err != nil {
			closeBody(r)
			return nil, err
		}
	}
	if len(u.addresses) == 1 || out.Body == nil || out.Body == http.NoBody {
		return u.try(out, func() bool { return true })
	}
	body := &replay{body: out.Body}
	out.Body = body
	resp, err := u.try(out, body.rewind)
	body.settle(err != nil)
	return resp, err
}

// try asks one address after the other, until one has got something of the request.
func (u *Upstream) try(out *http.Request, rewind func() bool) (*http.Response, error) {
	var tried uint64
	var last error
	for {
		a, done := u.pick(&tried)
		if a == nil {
			break
		}
		out.URL.Host = a.host
		resp, err := u.transport.RoundTrip(out)
		done(verdict(out.Context(), err))
		if err == nil {
			return resp, nil
		}
		last = err
		_, invalid := errors.AsType[*http1.RequestError](err)
		if invalid || !errors.Is(err, http1.ErrUnsent) || out.Context().Err() != nil || !rewind() {
			break
		}
	}
	if last == nil {
		closeBody(out)
		last = fmt.Errorf("upstream %s: %w (%w)", u.cfg.Name, ErrOpen, http1.ErrUnsent)
	}
	return nil, last
}

// pick chooses an address that was not tried, and whose circuit breaker agrees. done gets
// the verdict.
func (u *Upstream) pick(tried *uint64) (*address, func(error)) {
	for _, sickToo := range []bool{false, true} {
		for {
			var best *address
			var bit uint64
			for i, a := range u.addresses {
				if *tried&(1<<i) == 0 && (sickToo || !a.sick.Load()) && (best == nil || a.before(best)) {
					best, bit = a, 1<<i
				}
			}
			if best == nil {
				break
			}
			*tried |= bit
			if done := best.allow(); done != nil {
				best.picked.Store(u.picks.Add(1))
				return best, done
			}
		}
	}
	return nil, nil
}

// verdict is what an outcome says of the address: nil that it answers, inconclusive nothing.
func verdict(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	_, request := errors.AsType[*http1.RequestError](err)
	_, malformed := errors.AsType[*http1.MalformedError](err)
	if request || malformed || context.Cause(ctx) == context.Canceled {
		return inconclusive{err}
	}
	return err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
