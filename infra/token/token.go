// Package token issues and checks the bearer tokens of clients: JWT (RFC 7519),
// HS256 and no other algorithm, with the user's id in "sub" and an expiry in "exp".
//
//	tokens, err := token.New(token.Config{Secret: secret})
//	signed, err := tokens.Issue("ada")
//	user, err := tokens.Subject(request) // token.ErrInvalid
//
// A program that gets its secret from a setting, which may change while it runs,
// opens it with package keys.
//
// # Rotation
//
// A secret is one key, or several, one on each line: the first one signs, and tokens
// of every one are valid. So a key is replaced without a client noticing, in steps
// that wait until every process has read the previous one: "old", then "old" and
// below it "new", then "new" and below it "old", and when the last token of the old
// key has expired, "new".
//
// # Caveats
//
//   - A token cannot be revoked before it expires, except by removing its key.
//   - Tokens of other algorithms or with the user in another claim are refused. A
//     service that has such tokens implements the one method Subject itself.
package token

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinSecret is the minimum length of a key in bytes: that of an HS256 digest
// (RFC 7518, 3.2).
const MinSecret = 32

// MaxKeys is the maximum number of keys in a secret.
const MaxKeys = 8

// DefaultLifetime is how long a token is valid if Config does not say otherwise.
const DefaultLifetime = 24 * time.Hour

// ErrInvalid is returned for a request without a valid token. Its text does not say
// what was wrong: that would only help those who guess.
var ErrInvalid = errors.New("a valid bearer token is required")

// ErrSecret is returned for a secret with a key that is too short, or too many keys.
var ErrSecret = fmt.Errorf("the token secret must have at least %d bytes", MinSecret)

// Config configures New. Secret is required.
type Config struct {
	// Secret has one key on each line, each of at least MinSecret bytes. The first
	// one signs.
	Secret []byte
	// Lifetime of the tokens issued. Default DefaultLifetime.
	Lifetime time.Duration
	// Now is the clock that tokens expire by. Default time.Now.
	Now func() time.Time
}

// Validate returns ErrSecret for a secret that New refuses.
func (c Config) Validate() error {
	_, err := parseKeys(c.Secret)
	return err
}

func parseKeys(secret []byte) (jwt.VerificationKeySet, error) {
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

// Tokens issues and checks tokens. It is safe for concurrent use. Make it with New.
type Tokens struct {
	cfg    Config
	parser *jwt.Parser
	keys   atomic.Pointer[jwt.VerificationKeySet]
}

// New fails as Validate does.
func New(cfg Config) (*Tokens, error) {
	keys, err := parseKeys(cfg.Secret)
	if err != nil {
		return nil, err
	}
	cfg.Lifetime = cmp.Or(max(cfg.Lifetime, 0), DefaultLifetime)
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

// SetSecret replaces the secret. It fails as Validate does, and then changes nothing.
func (t *Tokens) SetSecret(secret []byte) error {
	keys, err := parseKeys(secret)
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
		Subject: userID, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.cfg.Lifetime)),
	}).SignedString(t.keys.Load().Keys[0])
	if err != nil {
		return "", fmt.Errorf("issue a token for user %s: %w", userID, err)
	}
	return signed, nil
}

// Subject returns the id of the user whose token the request carries, or
// ErrInvalid.
func (t *Tokens) Subject(r *http.Request) (string, error) {
	raw, ok := bearer(r.Header)
	if !ok {
		return "", ErrInvalid
	}
	var claims jwt.RegisteredClaims
	_, err := t.parser.ParseWithClaims(raw, &claims, func(*jwt.Token) (any, error) { return *t.keys.Load(), nil })
	if err != nil || claims.Subject == "" {
		return "", ErrInvalid
	}
	return claims.Subject, nil
}

// bearer returns the token of an Authorization header. The scheme has any case and
// any number of spaces behind it (RFC 9110, 11.4).
func bearer(h http.Header) (string, bool) {
	scheme, raw, ok := strings.Cut(h.Get("Authorization"), " ")
	return strings.Trim(raw, " "), ok && strings.EqualFold(scheme, "Bearer")
}
