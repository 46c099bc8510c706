// Package token makes and checks the bearer tokens of mobile clients: JWT
// (RFC 7519), HS256 and nothing else, the user's id as subject, with an expiry.
//
// A secret is one key, or several, a line each: the first one signs, and tokens of
// all of them are good. So a key is changed without a client noticing, in steps
// that wait until every process has read the one before: "old", then "old" and
// below it "new", then "new" and below it "old", and when the last token of the old
// key has expired, "new".
package token

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinSecret is the fewest bytes of a secret: as many as HS256 has of digest
// (RFC 7518, 3.2).
const MinSecret = 32

// DefaultLife is how long a token is good for.
const DefaultLife = 24 * time.Hour

// ErrInvalid is returned for a request without a valid token. It does not say
// what was wrong with it.
var ErrInvalid = errors.New("a valid bearer token is required")

// MaxKeys is the most keys that a secret may have.
const MaxKeys = 8

// ErrSecret is returned for a secret that is too short, or has too many keys.
var ErrSecret = fmt.Errorf("the secret of the tokens must have at least %d bytes", MinSecret)

// Config configures New. Secret is required.
type Config struct {
	// Secret has a key a line, each of at least MinSecret bytes. The first one signs.
	Secret []byte
	// Life of the tokens issued. Default DefaultLife.
	Life time.Duration
	// Now is the clock that tokens expire by. Default time.Now.
	Now func() time.Time
}

// Validate reports ErrSecret.
func (c Config) Validate() error {
	_, err := keysOf(c.Secret)
	return err
}

// keysOf takes a secret apart.
func keysOf(secret []byte) (jwt.VerificationKeySet, error) {
	var set jwt.VerificationKeySet
	for line := range bytes.Lines(bytes.TrimRight(secret, "\r\n")) {
		key := bytes.TrimRight(line, "\r\n")
		if len(key) < MinSecret {
			return set, fmt.Errorf("%w, not %d", ErrSecret, len(key))
		}
		set.Keys = append(set.Keys, bytes.Clone(key))
	}
	switch n := len(set.Keys); {
	case n == 0:
		return set, fmt.Errorf("%w, not 0", ErrSecret)
	case n > MaxKeys:
		return set, fmt.Errorf("%w, and at most %d lines, not %d", ErrSecret, MaxKeys, n)
	}
	return set, nil
}

// Tokens is safe for concurrent use. Make it with New.
type Tokens struct {
	cfg    Config
	parser *jwt.Parser
	keys   atomic.Pointer[jwt.VerificationKeySet]
}

// New fails as Validate does.
func New(cfg Config) (*Tokens, error) {
	keys, err := keysOf(cfg.Secret)
	if err != nil {
		return nil, err
	}
	if cfg.Life <= 0 {
		cfg.Life = DefaultLife
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Tokens{cfg: cfg, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), // a token must not choose its own algorithm
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(cfg.Now),
	)}
	t.keys.Store(&keys)
	return t, nil
}

// Change replaces the secret. It fails as Validate does, and then changes nothing.
func (t *Tokens) Change(secret []byte) error {
	keys, err := keysOf(secret)
	if err != nil {
		return err
	}
	t.keys.Store(&keys)
	return nil
}

// Issue makes a token for the user.
func (t *Tokens) Issue(userID string) (string, error) {
	now := t.cfg.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: userID, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.cfg.Life)),
	}).SignedString(t.keys.Load().Keys[0])
	if err != nil {
		return "", fmt.Errorf("make a token for user %s: %w", userID, err)
	}
	return signed, nil
}

// Subject returns the id of the user whose token the request carries, or
// ErrInvalid.
func (t *Tokens) Subject(r *http.Request) (string, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrInvalid
	}
	var claims jwt.RegisteredClaims
	_, err := t.parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return *t.keys.Load(), nil })
	if err != nil || claims.Subject == "" {
		return "", ErrInvalid
	}
	return claims.Subject, nil
}
