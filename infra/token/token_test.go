package token_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/banyan-fig/banyan/infra/token"
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
	tokens, err := token.New(token.Config{Secret: secret, Lifetime: time.Hour, Now: func() time.Time { return now }})
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
		"issued":             {header: "Bearer " + issued, want: "ada"},
		"lower case":         {header: "bearer " + issued, want: "ada"},
		"nearly over":        {header: "Bearer " + issued, after: time.Hour - time.Second, want: "ada"},
		"over":               {header: "Bearer " + issued, after: time.Hour},
		"none":               {},
		"another scheme":     {header: "Basic " + issued},
		"more spaces":        {header: "Bearer   " + issued + " ", want: "ada"},
		"two headers in one": {header: "Bearer " + issued + ", Bearer " + issued},
		"no text":            {header: "Bearer"},
		"rubbish":            {header: "Bearer a.b.c"},
		"a bit off":          {header: "Bearer " + issued[:len(issued)-2]},
		"another algorithm":  {header: sign(jwt.SigningMethodHS512, secret, "ada", later)},
		"no algorithm":       {header: sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ada", later)},
		"another secret":     {header: sign(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), "ada", later)},
		"of nobody":          {header: sign(jwt.SigningMethodHS256, secret, "", later)},
		"another claim":      {header: "Bearer " + signed(t, jwt.MapClaims{"user_id": "ada", "exp": later})},
		"subject is number":  {header: "Bearer " + signed(t, jwt.MapClaims{"sub": 7, "exp": later}), want: "7"},
		"not yet":            {header: "Bearer " + signed(t, jwt.MapClaims{"sub": "ada", "exp": later, "nbf": start.Add(time.Minute).Unix()})},
		"for ever":           {header: sign(jwt.SigningMethodHS256, secret, "ada", nil)},
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

func signed(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRotation: through the steps of a rotation, whatever step another process
// is at, one ahead or behind, every token that somebody holds is good; and at the
// end those of the old key are not.
func TestRotation(t *testing.T) {
	key := func(c string) string { return strings.Repeat(c, token.MinSecret) }
	steps := []string{key("a"), key("a") + "\n" + key("b"), key("b") + "\r\n" + key("a") + "\n", key("b")}
	at := func(secret string) *token.Tokens {
		tokens, err := token.New(token.Config{Secret: []byte(secret)})
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	good := func(secret, issuer string) bool {
		issued, err := at(issuer).Issue("ada")
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+issued)
		got, err := at(secret).Subject(r)
		return err == nil && got == "ada"
	}
	for i := range steps {
		for j := max(0, i-1); j <= min(i+1, len(steps)-1); j++ {
			tokenOfTheOldKey := i == 3 && j < 2
			if good(steps[i], steps[j]) == tokenOfTheOldKey {
				t.Errorf("a token of step %d at step %d: good is %t", j, i, !tokenOfTheOldKey)
			}
		}
	}
	if good(steps[3], steps[0]) || good(steps[0], steps[3]) {
		t.Error("a token of a key that is not there is good")
	}
}

func TestBadSecretIsRefused(t *testing.T) {
	key := string(secret)
	for _, bad := range []string{"", "\n", key + "\nshort", strings.Repeat(key+"\n", token.MaxKeys+1), key + "\n\n" + key} {
		if _, err := token.New(token.Config{Secret: []byte(bad)}); !errors.Is(err, token.ErrSecret) || strings.Contains(err.Error(), "0123") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
