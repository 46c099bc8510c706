// Package token makes and checks the bearer tokens of mobile clients: JWT
// (RFC 7519), HS256 and nothing else, the user's id as subject, with an expiry.
package token

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// ErrSecret is returned for a secret that is too short.
var ErrSecret = fmt.Errorf("the secret of the tokens must have at least %d bytes", MinSecret)

// Config configures New. Secret is required.
type Config struct {
	// Secret signs the tokens, at least MinSecret bytes.
	Secret []byte
	// Life of the tokens issued. Default DefaultLife.
	Life time.Duration
	// Now is the clock that tokens expire by. Default time.Now.
	Now func() time.Time
}

// Validate reports ErrSecret.
func (c Config) Validate() error {
	if len(c.Secret) < MinSecret {
		return fmt.Errorf("%w, not %d", ErrSecret, len(c.Secret))
	}
	return nil
}

// Tokens is safe for concurrent use. Make it with New.
type Tokens struct {
	cfg    Config
	parser *jwt.Parser
}

// New fails as Validate does.
func New(cfg Config) (*Tokens, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Life <= 0 {
		cfg.Life = DefaultLife
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Tokens{cfg: cfg, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), // a token must not choose its own algorithm
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(cfg.Now),
	)}, nil
}

// Issue makes a token for the user.
func (t *Tokens) Issue(userID string) (string, error) {
	now := t.cfg.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: userID, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.cfg.Life)),
	}).SignedString(t.cfg.Secret)
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
	_, err := t.parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return t.cfg.Secret, nil })
	if err != nil || claims.Subject == "" {
		return "", ErrInvalid
	}
	return claims.Subject, nil
}
