package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// minSecret is the least a token secret may have: RFC 7518 section 3.2 asks
// of HS256 a key of at least the hash's 256 bits.
const minSecret = 32

// maxSubject bounds what is kept per subject.
const maxSubject = 256

// subjects tells whose a request is, from the token that the legacy app
// itself signed. What the client merely claims is never believed.
type subjects struct {
	secret []byte
	parser *jwt.Parser
}

func newSubjects(secret string) (*subjects, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the token secret has %d bytes, HS256 needs at least %d", len(secret), minSecret)
	}
	return &subjects{
		secret: []byte(secret),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()),
	}, nil
}

// of returns the verified subject, or "" for a request without a valid token.
func (s *subjects) of(r *http.Request) string {
	if s == nil {
		return ""
	}
	scheme, raw, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	var claims jwt.RegisteredClaims
	token, err := s.parser.ParseWithClaims(strings.TrimSpace(raw), &claims, func(*jwt.Token) (any, error) {
		if len(s.secret) == 0 {
			return nil, errors.New("no secret")
		}
		return s.secret, nil
	})
	if err != nil || !token.Valid || len(claims.Subject) > maxSubject {
		return ""
	}
	return claims.Subject
}
