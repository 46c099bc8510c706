package upstream

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/proxy/http1"
)

// Set is the upstreams in use. It is safe for concurrent use.
type Set struct {
	// Credentials sign requests. Default: those of the AWS SDK's usual places, looked for
	// when the first request is signed. It must not change after the first use.
	Credentials aws.CredentialsProvider
	// Log is told of changes of health. Default: none is.
	Log *slog.Logger

	mu   sync.Mutex
	open map[string]*Upstream
}

// NewSet has none.
func NewSet() *Set { return &Set{} }

// Use returns the upstreams by name, and gives up those that are none of them any more:
// exchanges under way end, connections that rest are closed. Configurations must be
// valid. Where a file cannot be read any more, what was read before is used on; without
// that, requests fail with the reason.
func (s *Set) Use(all []Config) map[string]*Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]*Upstream{}
	for _, cfg := range all {
		old := s.open[cfg.Name]
		r, err := cfg.resolve()
		switch {
		case old != nil && (reflect.DeepEqual(old.cfg, r) || err != nil && reflect.DeepEqual(old.cfg.Config, cfg)):
			next[cfg.Name] = old
		default:
			next[cfg.Name] = s.newUpstream(r, err)
		}
	}
	for name, old := range s.open {
		if next[name] != old {
			old.close()
		}
	}
	s.open = next
	return next
}

// Status is what is known of each upstream's addresses.
func (s *Set) Status() map[string][]Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]Status{}
	for name, u := range s.open {
		all[name] = u.Status()
	}
	return all
}

// Close ends the health checks and closes the connections that rest.
func (s *Set) Close() { s.Use(nil) }

func (s *Set) newUpstream(r resolved, failed error) *Upstream {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	u := &Upstream{cfg: r, transport: newTransport(r), stop: func() {}}
	if failed != nil {
		u.transport = unusable{&http1.ConnectError{Address: r.URL.Host, Err: failed}}
	}
	for _, host := range r.addresses() {
		u.addresses = append(u.addresses, newAddress(host, r.Config, log))
	}
	if r.Sign != nil {
		u.signer = newSigner(r.Config, s.Credentials)
	}
	if r.Health != "" {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { u.checkHealth(ctx, log) })
		u.stop = func() { cancel(); wg.Wait() }
	}
	return u
}

func (u *Upstream) close() {
	u.stop()
	u.transport.Close()
}

// unusable is the transport of an upstream whose files cannot be read.
type unusable struct{ err error }

func (t unusable) RoundTrip(r *http.Request) (*http.Response, error) {
	closeBody(r)
	return nil, t.err
}

func (t unusable) Close() {}
