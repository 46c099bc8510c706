package subject

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"
	"unique"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/infra/token/keys"
)

// maxRemembered bounds the tokens that are remembered, for each source.
const maxRemembered = 1 << 16

// digest stands for a token, which is not kept itself.
type digest [sha256.Size]byte

func digestOf(raw string) digest {
	var room [2048]byte // so that most tokens need no allocation
	return sha256.Sum256(append(room[:0], raw...))
}

// jwtResolver verifies JWTs, each only once.
type jwtResolver struct {
	place    token.Place
	now      func() time.Time
	checker  *keys.Checker
	verified *lru.Cache[digest, verified]
	claim    string
}

// verified is a token that was verified. It is valid with the same keys until it
// expires.
type verified struct {
	subject Subject
	keys    *token.KeySet
	until   time.Time // zero: for ever
}

func (r *Resolver) openJWT(ctx context.Context, spec JWT, place token.Place) (resolver, error) {
	rules := spec.rules()
	rules.Now = r.cfg.Now
	sources := make([]keys.Source, 0, len(spec.Keys))
	for _, k := range spec.Keys {
		s := keys.Source{File: k.File, URL: k.JWKS, Name: cmp.Or(k.Env, k.Reference), Value: k.Reference}
		if k.Env != "" {
			s.Value = r.cfg.getenv(k.Env)
		}
		sources = append(sources, s)
	}
	j := &jwtResolver{place: place, now: r.cfg.Now, claim: cmp.Or(spec.Claim, "sub")}
	var err error
	if j.verified, err = lru.New[digest, verified](maxRemembered); err != nil {
		return nil, err
	}
	j.checker, err = keys.OpenChecker(ctx, rules, place, keys.SetConfig{
		Sources: sources, Settings: r.settings, Log: r.log, Now: r.cfg.Now, Known: r.known,
	})
	return j, err
}

func (j *jwtResolver) resolve(r *http.Request) (Subject, error) {
	found, err := find(j.place, r)
	if err != nil {
		return Subject{}, err
	}
	sum, set := digestOf(found.Token), j.checker.Keys()
	if v, ok := j.verified.Get(sum); ok && v.keys == set && (v.until.IsZero() || j.now().Before(v.until)) {
		return v.subject, nil
	}
	v, set, err := j.checker.Verify(r.Context(), found.Token)
	if e, ok := err.(*token.RefusedError); ok && (e.Reason == token.UnknownKey || e.Reason == token.WrongSignature) && j.checker.IsIncomplete() {
		return Subject{}, &token.RefusedError{Reason: KeysMissing, Err: err}
	}
	if err != nil {
		return Subject{}, err
	}
	why := unique.Make(fmt.Sprintf("claim %s of a token with %s, key %q", j.claim, v.Algorithm, v.Key)).Value()
	s := Subject{v.Subject, why}
	j.verified.Add(sum, verified{s, set, v.Expires})
	return s, nil
}

func (j *jwtResolver) close() { j.checker.Close() }
