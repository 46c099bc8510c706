// Package token says whose a request is, by its token: a JWT (RFC 7519).
//
// Tokens issues and checks those of a service of ours, with HS256, the user's id in
// "sub" and an expiry in "exp":
//
//	tokens, err := token.New(token.Config{Secret: secret})
//	signed, err := tokens.Issue("ada")
//	user, err := tokens.Subject(request) // token.ErrInvalid
//
// Verifier checks those that anybody issued, by Rules that name the algorithms, the
// claim and what else must hold:
//
//	verifier, err := token.NewVerifier(token.Rules{Algorithms: []string{"RS256"}, Claim: "/user/id"})
//	set, err := verifier.Verify(raw, set) // *token.RefusedError
//
// A program whose keys may change while it runs opens them with package keys.
//
// # Rotation
//
// A secret is one key, or several, one on each line: the first one signs, and tokens
// of every one are valid. So a key is replaced without a client noticing, in steps
// that wait until every process has read the previous one: "old", then "old" and
// below it "new", then "new" and below it "old", and when the last token of the old
// key has expired, "new". Public keys are replaced by a set that has both for a while.
//
// # Caveats
//
//   - A token cannot be revoked before it expires, except by removing its key.
//   - Encrypted tokens (JWE) are not supported.
package token

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
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

// Config configures New. Secret or Keys is required.
type Config struct {
	// Secret has one key on each line, each of at least MinSecret bytes. The first
	// one signs.
	Secret []byte
	// Keys returns those in force, of ParseSecret, where they change: see package keys.
	Keys func() *KeySet
	// Lifetime of the tokens issued. Default DefaultLifetime.
	Lifetime time.Duration
	// Now is the clock that tokens expire by. Default time.Now.
	Now func() time.Time
}

// ParseSecret reads the keys of a secret. An error is an ErrSecret.
func ParseSecret(text []byte) (KeySet, error) { return issued.parseSecrets(text) }

// issued are the rules of the tokens that Tokens issues.
var issued = Rules{Algorithms: []string{jwt.SigningMethodHS256.Alg()}}

// Tokens issues and checks tokens. It is safe for concurrent use. Make it with New.
type Tokens struct {
	cfg      Config
	verifier *Verifier
}

// New fails as ParseSecret does.
func New(cfg Config) (*Tokens, error) {
	if cfg.Keys == nil {
		keys, err := ParseSecret(cfg.Secret)
		if err != nil {
			return nil, err
		}
		cfg.Keys = func() *KeySet { return &keys }
	}
	cfg.Lifetime = cmp.Or(max(cfg.Lifetime, 0), DefaultLifetime)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	rules := issued
	rules.Now = cfg.Now
	verifier, err := NewVerifier(rules)
	if err != nil {
		return nil, err
	}
	return &Tokens{cfg, verifier}, nil
}

// Issue makes a token for the user.
func (t *Tokens) Issue(userID string) (string, error) {
	now := t.cfg.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: userID, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.cfg.Lifetime)),
	}).SignedString((*t.cfg.Keys())[0].material)
	if err != nil {
		return "", fmt.Errorf("issue a token for user %s: %w", userID, err)
	}
	return signed, nil
}

// Subject returns the id of the user whose token the request carries, or
// ErrInvalid.
func (t *Tokens) Subject(r *http.Request) (string, error) {
	found, err := Place{}.Find(r)
	if err != nil {
		return "", ErrInvalid
	}
	v, err := t.verifier.Verify(found.Token, *t.cfg.Keys())
	if err != nil {
		return "", ErrInvalid
	}
	return v.Subject, nil
}
