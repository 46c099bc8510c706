package subject

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
)

// Why a request with a token has no subject, besides the reasons of package token.
const (
	Ambiguous     token.Reason = "ambiguous-token" // two tokens that differ
	LookupRefused token.Reason = "lookup-refused"  // the token is nobody's
	LookupFailed  token.Reason = "lookup-failed"   // no answer, none in time, or a failure
	UntrustedPeer token.Reason = "untrusted-peer"  // a trusted front's header from somebody else
	KeysMissing   token.Reason = "keys-missing"    // no key fits, of those that can be read
)

// ErrUndecided is in the error of a request that may well have a subject, which its source cannot
// tell now, where the configuration says that its writes are refused.
var ErrUndecided = errors.New("it cannot be told now whose the request is")

// strange are the reasons for tokens that a source does not even know the issuer of.
var strange = []token.Reason{token.Malformed, token.WrongAlgorithm, token.UnknownKey}

// Subject is who a request is. The zero value is nobody.
type Subject struct {
	ID  string
	Why string // what says so, for explanations
}

// Resolver finds the subjects of requests. It is safe for concurrent use. A nil
// Resolver knows nobody. Make it with Open.
type Resolver struct {
	cfg      Config
	settings *config.Settings
	log      *slog.Logger
	sources  []resolver
	writes   []string // while the source is down
	reasons  *reasons
	known    map[string][]byte // JWK sets as the resolver before had them, by address; while it opens
}

// resolver is a Source at work. Errors are token.ErrAbsent for a request without a
// token of its kind, and *token.RefusedError.
type resolver interface {
	resolve(*http.Request) (Subject, error)
	close()
}

// Open reads the keys, and follows their changes until Close. It fails where a key
// cannot be read or is invalid, but for a JWK set's address: that is logged and tried
// again. A nil log discards.
func Open(ctx context.Context, cfg Config, settings *config.Settings, log *slog.Logger) (*Resolver, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Resolver{settings: settings, log: log, reasons: &reasons{counts: map[token.Reason]int64{}}}
	return r.open(ctx, cfg)
}

// open makes a resolver that shares what outlives a Config with r.
func (r *Resolver) open(ctx context.Context, cfg Config) (*Resolver, error) {
	sources, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	out := &Resolver{cfg: cfg, settings: r.settings, log: r.log, reasons: r.reasons, known: map[string][]byte{}}
	for _, s := range r.sources {
		if j, ok := s.(*jwtResolver); ok {
			maps.Copy(out.known, j.checker.Known())
		}
	}
	for i, s := range sources {
		src, err := out.openSource(ctx, s, token.Place{Header: s.Header, Scheme: s.Scheme, Cookie: s.Cookie})
		if err != nil {
			out.Close()
			return nil, fieldError(fmt.Sprintf("$.sources[%d]", i), err)
		}
		out.sources, out.writes = append(out.sources, src), append(out.writes, s.WritesWhenDown)
	}
	return out, nil
}

func (r *Resolver) openSource(ctx context.Context, s Source, place token.Place) (resolver, error) {
	switch {
	case s.JWT != nil:
		return r.openJWT(ctx, *s.JWT, place)
	case s.Lookup != nil:
		return r.openLookup(ctx, *s.Lookup, place)
	}
	return &trustedHeader{place: place, peers: r.cfg.TrustedPeers}, nil
}

// Reopen is the resolver for a changed Config: r itself if nothing changed, else a new
// one that counts on where r does, and begins with the JWK sets that r has where their
// addresses do not answer. The caller closes r when no request uses it.
func (r *Resolver) Reopen(ctx context.Context, cfg Config) (*Resolver, error) {
	old, changed := r.cfg, cfg
	old.Env, old.Now, changed.Env, changed.Now = nil, nil, nil, nil // functions cannot be compared
	if reflect.DeepEqual(old, changed) {
		return r, nil
	}
	return r.open(ctx, cfg)
}

// Close ends the following of keys, and waits for the look-ups of requests in flight.
// Resolve goes on for requests that still use r, with the keys in force.
func (r *Resolver) Close() {
	if r == nil {
		return
	}
	for _, s := range r.sources {
		s.close()
	}
}

// Resolve returns who the request is, and nobody without an error for a request
// without a token. An error is a *token.RefusedError: the token was not verified, and
// the request has no subject.
func (r *Resolver) Resolve(req *http.Request) (Subject, error) {
	if r == nil {
		return Subject{}, nil
	}
	var refused *token.RefusedError
	for i, s := range r.sources {
		found, err := s.resolve(req)
		if err == nil {
			return found, nil
		}
		if errors.Is(err, token.ErrAbsent) {
			continue
		}
		e, ok := errors.AsType[*token.RefusedError](err)
		if !ok {
			e = &token.RefusedError{Reason: token.Malformed, Err: err}
		}
		down := e.Reason == LookupFailed || e.Reason == KeysMissing
		if down && r.writes[i] != legacy && req.Context().Err() == nil {
			e = &token.RefusedError{Reason: e.Reason, Err: fmt.Errorf("%w: %w", ErrUndecided, e.Err)}
		}
		if refused == nil || slices.Contains(strange, refused.Reason) || down {
			refused = e // of several refusals, that of the source whose token it seems to be
		}
		if _, isJWT := s.(*jwtResolver); isJWT && e.Genuine() {
			break // it is this issuer's, so that the others need not be asked
		}
	}
	if refused == nil {
		return Subject{}, nil
	}
	if req.Context().Err() == nil {
		r.reasons.add(refused.Reason)
	}
	return Subject{}, refused
}

// Reasons counts the requests whose token was not verified, by reason.
func (r *Resolver) Reasons() map[string]int64 {
	out := map[string]int64{}
	if r == nil {
		return out
	}
	r.reasons.mu.Lock()
	defer r.reasons.mu.Unlock()
	for reason, n := range r.reasons.counts {
		out[string(reason)] = n
	}
	return out
}

// IsReserved reports whether only a trusted front may set the header, or one that CGI's
// rules take for it. That of another peer must not reach an upstream.
func (r *Resolver) IsReserved(name string) bool {
	if r == nil {
		return false
	}
	return slices.ContainsFunc(r.cfg.Sources, func(s Source) bool {
		return s.Trusted && len(s.Header) == len(name) && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), strings.ReplaceAll(s.Header, "_", "-"))
	})
}

// reasons are the counters, which outlive a Resolver.
type reasons struct {
	mu     sync.Mutex
	counts map[token.Reason]int64
}

func (r *reasons) add(reason token.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[reason]++
}

// find is Place.Find with the errors of this package.
func find(p token.Place, r *http.Request) (token.Found, error) {
	found, err := p.Find(r)
	switch {
	case errors.Is(err, token.ErrAmbiguous):
		err = &token.RefusedError{Reason: Ambiguous, Err: err}
	case len(found.Token) > token.MaxSize:
		err = &token.RefusedError{Reason: token.Malformed, Err: fmt.Errorf("the token has more than %d bytes", token.MaxSize)}
	}
	return found, err
}

// trustedHeader believes a header of certain peers.
type trustedHeader struct {
	place token.Place
	peers []netip.Prefix
}

func (t *trustedHeader) resolve(r *http.Request) (Subject, error) {
	found, err := find(t.place, r)
	if err != nil {
		return Subject{}, err
	}
	if !Trusts(t.peers, r.RemoteAddr) {
		return Subject{}, &token.RefusedError{Reason: UntrustedPeer, Err: fmt.Errorf("header %s from %s", t.place.Header, r.RemoteAddr)}
	}
	if err := token.CheckSubject(found.Token); err != nil {
		return Subject{}, &token.RefusedError{Reason: token.UnusableSubject, Err: err}
	}
	return Subject{found.Token, "header " + t.place.Header + " of a trusted peer"}, nil
}

// Trusts reports whether one of the networks has the peer, remote being its address and port.
func Trusts(peers []netip.Prefix, remote string) bool {
	if len(peers) == 0 {
		return false
	}
	addr, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(peers, func(p netip.Prefix) bool { return p.Contains(addr.Addr().Unmap()) })
}

func (t *trustedHeader) close() {}
