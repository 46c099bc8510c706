package keys

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/infra/token"
)

// patience is how long a request waits for the keys to be read anew.
const patience = time.Second

// Checker says whose the requests are whose tokens somebody else issues, such as a
// monolith that signs them with RS256 and publishes its keys. It is safe for concurrent
// use; end it with Close.
type Checker struct {
	*Set
	place    token.Place
	verifier *token.Verifier
}

// OpenChecker checks the tokens at place by rules, with keys that are followed. Parse of
// the SetConfig is not needed.
func OpenChecker(ctx context.Context, rules token.Rules, place token.Place, cfg SetConfig) (*Checker, error) {
	verifier, err := token.NewVerifier(rules)
	if err != nil {
		return nil, err
	}
	cfg.Parse = rules.ParseKeys
	set, err := OpenSet(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return &Checker{set, place, verifier}, nil
}

// Subject returns the id of the user whose token the request carries, or
// token.ErrInvalid. Verify says what was wrong.
func (c *Checker) Subject(r *http.Request) (string, error) {
	found, err := c.place.Find(r)
	if err != nil {
		return "", token.ErrInvalid
	}
	v, _, err := c.Verify(r.Context(), found.Token)
	if err != nil {
		return "", token.ErrInvalid
	}
	return v.Subject, nil
}

// Verify checks a token, and returns the keys that it was checked with. If none of them
// fits, they are read anew (see Refresh), which is waited for no longer than a second.
// Errors are a *token.RefusedError.
func (c *Checker) Verify(ctx context.Context, raw string) (token.Verified, *token.KeySet, error) {
	set := c.Keys()
	v, err := c.verifier.Verify(raw, *set)
	if e, ok := err.(*token.RefusedError); !ok || e.Reason != token.UnknownKey && e.Reason != token.WrongSignature {
		return v, set, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.Refresh(ctx)
	if anew := c.Keys(); anew != set {
		set = anew
		v, err = c.verifier.Verify(raw, *set)
	}
	return v, set, err
}
