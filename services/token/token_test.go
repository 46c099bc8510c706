package token_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/banyan-fig/banyan/services/token"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	start  = time.Date(2016, 11, 21, 9, 0, 0, 0, time.UTC)
)

func TestShortSecretIsRefused(t *testing.T) {
	if _, err := token.New(token.Config{Secret: secret[1:]}); !errors.Is(err, token.ErrSecret) || !strings.Contains(err.Error(), "not 31") {
		t.Errorf("error %v", err)
	}
}

func TestSubject(t *testing.T) {
	now := start
	tokens, err := token.New(token.Config{Secret: secret, Life: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := tokens.Issue("ada")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any, subject string, expires *jwt.NumericDate) string {
		s, err := jwt.NewWithClaims(method, jwt.RegisteredClaims{Subject: subject, ExpiresAt: expires}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + s
	}
	later := jwt.NewNumericDate(start.Add(2 * time.Hour))
	for name, c := range map[string]struct {
		header string
		after  time.Duration
		want   string
	}{
		"issued":            {header: "Bearer " + issued, want: "ada"},
		"lower case":        {header: "bearer " + issued, want: "ada"},
		"nearly over":       {header: "Bearer " + issued, after: time.Hour - time.Second, want: "ada"},
		"over":              {header: "Bearer " + issued, after: time.Hour},
		"none":              {},
		"another scheme":    {header: "Basic " + issued},
		"no text":           {header: "Bearer"},
		"rubbish":           {header: "Bearer a.b.c"},
		"a bit off":         {header: "Bearer " + issued[:len(issued)-2]},
		"another algorithm": {header: sign(jwt.SigningMethodHS512, secret, "ada", later)},
		"no algorithm":      {header: sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ada", later)},
		"another secret":    {header: sign(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), "ada", later)},
		"of nobody":         {header: sign(jwt.SigningMethodHS256, secret, "", later)},
		"for ever":          {header: sign(jwt.SigningMethodHS256, secret, "ada", nil)},
	} {
		now = start.Add(c.after)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", c.header)
		got, err := tokens.Subject(r)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
