package timeline

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

var errToken = errors.New("a valid bearer token is required")

// verifier reads subjects from tokens.
type verifier struct {
	secret []byte
	parser *jwt.Parser
}

func newVerifier(secret []byte, now func() time.Time) (*verifier, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret for tokens has %d bytes, at least %d are needed", len(secret), MinSecret)
	}
	return &verifier{secret: secret, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), // a token must not choose its own algorithm
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(now),
	)}, nil
}

// subject is who the request is from. The error does not say what was wrong.
func (v *verifier) subject(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errToken
	}
	var claims jwt.RegisteredClaims
	_, err := v.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return v.secret, nil })
	if err != nil || claims.Subject == "" {
		return "", errToken
	}
	return claims.Subject, nil
}
