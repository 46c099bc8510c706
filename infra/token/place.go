package token

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
)

// ErrAbsent is returned for a request without a token, ErrAmbiguous for one with
// several, of which another server might take another one.
var (
	ErrAbsent    = errors.New("the request has no token")
	ErrAmbiguous = errors.New("the request has several tokens")
)

// NoScheme is the Scheme of a header that is the token and nothing else.
const NoScheme = "none"

// Place is where in a request its token is. The zero value is "Authorization: Bearer".
type Place struct {
	// Header has the token. Default Authorization, unless there is a Cookie.
	Header string
	// Scheme before the token, in any case, or NoScheme. Default Bearer in
	// Authorization, NoScheme in other headers.
	Scheme string
	// Cookie has the token where the header has none.
	Cookie string
}

// Found is a token in a request.
type Found struct {
	Token string
	// Header and Value are what a request has that carries only this token.
	Header, Value string
}

// Find returns the request's token. ErrAbsent, ErrAmbiguous.
func (p Place) Find(r *http.Request) (Found, error) {
	if p.Header != "" || p.Cookie == "" {
		if f, err := p.inHeader(r.Header); !errors.Is(err, ErrAbsent) {
			return f, err
		}
	}
	if p.Cookie == "" {
		return Found{}, ErrAbsent
	}
	var f Found
	for i, c := range r.CookiesNamed(p.Cookie) {
		if i > 0 && c.Value != f.Token {
			return Found{}, ErrAmbiguous
		}
		f = Found{Token: c.Value, Header: "Cookie", Value: p.Cookie + "=" + c.Value}
		if c.Quoted {
			f.Value = p.Cookie + `="` + c.Value + `"`
		}
	}
	if f.Token == "" {
		return Found{}, ErrAbsent
	}
	return f, nil
}

// inHeader reads credentials: a scheme in any case and any number of spaces behind it
// (RFC 9110, 11.4).
func (p Place) inHeader(h http.Header) (Found, error) {
	name := cmp.Or(p.Header, "Authorization")
	values := h.Values(name)
	if len(values) > 1 {
		return Found{}, ErrAmbiguous
	}
	if len(values) == 0 {
		return Found{}, ErrAbsent
	}
	raw, scheme := values[0], p.Scheme
	if scheme == "" && strings.EqualFold(name, "Authorization") {
		scheme = "Bearer"
	}
	if scheme != "" && scheme != NoScheme {
		given, rest, ok := strings.Cut(raw, " ")
		if !ok || !strings.EqualFold(given, scheme) {
			return Found{}, ErrAbsent
		}
		raw = rest
	}
	if raw = strings.Trim(raw, " "); raw == "" {
		return Found{}, ErrAbsent
	}
	return Found{Token: raw, Header: name, Value: values[0]}, nil
}
