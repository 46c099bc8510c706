package token

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxSize is the maximum length of a token in bytes.
const MaxSize = 16 << 10

// MaxTries is how many keys are tried for one token; it matters only where tokens or
// keys have no "kid".
const MaxTries = 16

// Algorithms are those that Rules may name (RFC 7518, 3.1 and RFC 8037, 3.1).
var Algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// Reason is why a token was refused, in the words of counters.
type Reason string

// The reasons. From WrongIssuer on the signature holds: the
// token is one of the issuer's.
const (
	Malformed       Reason = "malformed"        // not a JWT of at most MaxSize, nested too deep, a claim twice, or "crit"
	WrongAlgorithm  Reason = "wrong-algorithm"  // not one of Rules.Algorithms
	UnknownKey      Reason = "unknown-key"      // no key with its "kid", or none for its algorithm
	WrongSignature  Reason = "wrong-signature"  //
	WrongIssuer     Reason = "wrong-issuer"     //
	WrongAudience   Reason = "wrong-audience"   //
	MissingClaim    Reason = "missing-claim"    // without "exp", "iss" or "aud" although Rules ask for it
	Expired         Reason = "expired"          //
	NotYetValid     Reason = "not-yet-valid"    // "nbf" is later
	NoSubject       Reason = "no-subject"       // the claim is absent, or neither a text nor an integer
	UnusableSubject Reason = "unusable-subject" // see CheckSubject
)

// RefusedError says why a token was refused. It is an ErrInvalid. Its text is for the
// operator, never for the client.
type RefusedError struct {
	Reason Reason
	Err    error
}

// Error names the reason first.
func (e *RefusedError) Error() string { return fmt.Sprintf("%s: %v", e.Reason, e.Err) }

// Unwrap returns ErrInvalid and what was wrong.
func (e *RefusedError) Unwrap() []error { return []error{ErrInvalid, e.Err} }

// Genuine reports whether the signature holds although the token was refused.
func (e *RefusedError) Genuine() bool {
	return !slices.Contains([]Reason{Malformed, WrongAlgorithm, UnknownKey, WrongSignature}, e.Reason)
}

// Rules say which tokens a Verifier accepts. Algorithms are required.
type Rules struct {
	// Algorithms of the tokens, either of HMAC (HS...) or of public keys, never both:
	// else a public key could be taken for a secret.
	Algorithms []string
	// Claim that holds the subject: the name of a member, or a JSON pointer (RFC 6901)
	// to a nested one, such as /user/id. A text, or an integer, which counts as its
	// digits. Default "sub".
	Claim string
	// Issuer and Audience that a token must have, if they are set.
	Issuer, Audience string
	// ExpiryOptional accepts tokens without "exp", which are valid for ever.
	ExpiryOptional bool
	// Skew is how far the issuer's clock may be off.
	Skew time.Duration
	// Base64Secrets says that each line of the secrets is base64 of the key itself.
	Base64Secrets bool
	// MinSecret is the minimum length of a secret in bytes, for an issuer whose secret
	// is short, and whose tokens can be forged by who tries enough. Default MinSecret.
	MinSecret int
	// Now is the clock that tokens expire by. Default time.Now.
	Now func() time.Time
}

// Symmetric reports whether the keys are secrets rather than public keys.
func (r Rules) Symmetric() bool {
	return len(r.Algorithms) > 0 && strings.HasPrefix(r.Algorithms[0], "HS")
}

// Validate refuses rules that NewVerifier refuses.
func (r Rules) Validate() error {
	if len(r.Algorithms) == 0 {
		return fmt.Errorf("no algorithms: name at least one of %s", strings.Join(Algorithms, ", "))
	}
	for _, a := range r.Algorithms {
		if !slices.Contains(Algorithms, a) {
			return fmt.Errorf("unknown algorithm %q: use %s", a, strings.Join(Algorithms, ", "))
		}
		if strings.HasPrefix(a, "HS") != r.Symmetric() {
			return fmt.Errorf("algorithms %s and %s need keys of different kinds: keep them apart", r.Algorithms[0], a)
		}
	}
	if _, err := ParsePointer(r.Claim); err != nil {
		return fmt.Errorf("claim %q: %w", r.Claim, err)
	}
	if r.Skew < 0 || r.MinSecret < 0 {
		return fmt.Errorf("skew %v and minimum of secrets %d must not be negative", r.Skew, r.MinSecret)
	}
	return nil
}

// Verifier checks tokens that anybody issued. It is safe for concurrent use.
type Verifier struct {
	rules  Rules
	claim  Pointer
	parser *jwt.Parser
}

// NewVerifier fails as Rules.Validate does.
func NewVerifier(r Rules) (*Verifier, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("rules of tokens: %w", err)
	}
	r.Claim = cmp.Or(r.Claim, "sub")
	options := []jwt.ParserOption{jwt.WithLeeway(r.Skew), jwt.WithStrictDecoding()}
	if !r.ExpiryOptional {
		options = append(options, jwt.WithExpirationRequired())
	}
	if r.Issuer != "" {
		options = append(options, jwt.WithIssuer(r.Issuer))
	}
	if r.Audience != "" {
		options = append(options, jwt.WithAudience(r.Audience))
	}
	if r.Now != nil {
		options = append(options, jwt.WithTimeFunc(r.Now))
	}
	claim, err := ParsePointer(r.Claim)
	return &Verifier{rules: r, claim: claim, parser: jwt.NewParser(options...)}, err
}

// Verified is what a valid token says.
type Verified struct {
	Subject string
	// Expires is when the token is no longer valid, the skew included; zero for never.
	Expires        time.Time
	Algorithm, Key string // Key is its "kid", "" for none
}

// Verify checks the token with those of the keys that fit its algorithm and "kid".
// Errors are a *RefusedError.
func (v *Verifier) Verify(raw string, keys KeySet) (Verified, error) {
	if len(raw) > MaxSize {
		return Verified{}, &RefusedError{Malformed, fmt.Errorf("the token has %d bytes, more than %d", len(raw), MaxSize)}
	}
	var claims strictClaims
	t, err := v.parser.ParseWithClaims(raw, &claims, func(t *jwt.Token) (any, error) { return v.candidates(t, keys) })
	if err != nil {
		return Verified{}, refused(err)
	}
	out := Verified{Algorithm: t.Method.Alg()}
	out.Key, _ = t.Header["kid"].(string)
	if exp, _ := claims.GetExpirationTime(); exp != nil {
		out.Expires = exp.Add(v.rules.Skew)
	}
	if out.Subject, err = v.claim.Text(map[string]any(claims.MapClaims)); err != nil {
		return Verified{}, &RefusedError{NoSubject, fmt.Errorf("claim %q: %w", v.rules.Claim, err)}
	}
	if err := CheckSubject(out.Subject); err != nil {
		return Verified{}, &RefusedError{UnusableSubject, err}
	}
	return out, nil
}

// candidates are the keys to try. What else a header says about keys ("jku", "jwk",
// "x5u", "x5c") is not read: the token does not choose what it is verified with.
func (v *Verifier) candidates(t *jwt.Token, keys KeySet) (any, error) {
	if _, ok := t.Header["crit"]; ok { // RFC 7515, 4.1.11
		return nil, &RefusedError{Malformed, errors.New(`the header has "crit", whose extensions are not supported`)}
	}
	alg := t.Method.Alg()
	if !slices.Contains(v.rules.Algorithms, alg) {
		return nil, &RefusedError{WrongAlgorithm, fmt.Errorf("%s is not one of %s", alg, strings.Join(v.rules.Algorithms, ", "))}
	}
	kid, isText := t.Header["kid"].(string)
	if _, has := t.Header["kid"]; has && !isText {
		return nil, &RefusedError{Malformed, errors.New(`"kid" is not a text`)}
	}
	var set jwt.VerificationKeySet
	for _, k := range keys {
		if k.fits(alg) && (kid == "" || k.ID == "" || k.ID == kid) && len(set.Keys) < MaxTries {
			set.Keys = append(set.Keys, k.material)
		}
	}
	if len(set.Keys) == 0 {
		return nil, &RefusedError{UnknownKey, fmt.Errorf("none of %d keys is for %s with the kid %.100q", len(keys), alg, kid)}
	}
	return set, nil
}

// refused classifies an error of the parser.
func refused(err error) error {
	if own, ok := errors.AsType[*RefusedError](err); ok {
		return own
	}
	for _, c := range []struct {
		is     error
		reason Reason
	}{
		{jwt.ErrTokenMalformed, Malformed},
		{jwt.ErrTokenUnverifiable, WrongAlgorithm}, // an algorithm that nobody knows, or none
		{jwt.ErrTokenSignatureInvalid, WrongSignature},
		{jwt.ErrTokenInvalidIssuer, WrongIssuer},
		{jwt.ErrTokenInvalidAudience, WrongAudience},
		{jwt.ErrTokenRequiredClaimMissing, MissingClaim},
		{jwt.ErrTokenExpired, Expired},
		{jwt.ErrTokenNotValidYet, NotYetValid},
	} {
		if errors.Is(err, c.is) {
			return &RefusedError{c.reason, err}
		}
	}
	return &RefusedError{Malformed, err}
}
