package monolith

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinSecret is the least bytes that a token secret must have (RFC 7518, 3.2).
const MinSecret = 32

// errUnauthorized is returned for a request without a valid token.
var errUnauthorized = errors.New("a valid token is needed: log in again")

// Tokens makes and checks bearer tokens: JWT, HS256, the user's id as subject.
// It is safe for concurrent use.
type Tokens struct {
	secret []byte
	life   time.Duration
	now    func() time.Time
}

// NewTokens needs a secret of at least MinSecret bytes. Tokens live for life, a day
// when zero; now is time.Now when nil.
func NewTokens(secret []byte, life time.Duration, now func() time.Time) (*Tokens, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the token secret must have at least %d bytes, not %d", MinSecret, len(secret))
	}
	if life <= 0 {
		life = 24 * time.Hour
	}
	if now == nil {
		now = time.Now
	}
	return &Tokens{secret: secret, life: life, now: now}, nil
}

// Issue makes a token for the user.
func (t *Tokens) Issue(userID string) (string, error) {
	now := t.now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: userID, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.life)),
	}).SignedString(t.secret)
	if err != nil {
		return "", fmt.Errorf("make a token for user %s: %w", userID, err)
	}
	return token, nil
}

// Subject returns the id of the user whose token the request carries.
func (t *Tokens) Subject(r *http.Request) (string, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errUnauthorized
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return t.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(t.now))
	if err != nil || claims.Subject == "" {
		return "", errUnauthorized
	}
	return claims.Subject, nil
}
