package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/banyan-fig/banyan/infra/token"
)

// keyPair is a private key with the ways to write the public one.
type keyPair struct {
	private crypto.Signer
	pem     string
	jwk     map[string]any
}

// rsaKey is one for all: making it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newPair(t testing.TB, kind string) keyPair {
	t.Helper()
	var private crypto.Signer
	var err error
	b64 := base64.RawURLEncoding.EncodeToString
	var jwk map[string]any
	ec := func(c elliptic.Curve, name string) {
		k, e := ecdsa.GenerateKey(c, rand.Reader)
		private, err = k, e
		raw, _ := k.PublicKey.Bytes()
		size := (len(raw) - 1) / 2
		jwk = map[string]any{"kty": "EC", "crv": name, "x": b64(raw[1 : 1+size]), "y": b64(raw[1+size:])}
	}
	switch kind[:2] {
	case "RS", "PS":
		k, e := rsaKey()
		private, err = k, e
		jwk = map[string]any{"kty": "RSA", "n": b64(k.N.Bytes()), "e": "AQAB"}
	case "ES":
		curves := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
		ec(curves[kind], curves[kind].Params().Name)
	case "Ed":
		public, k, e := ed25519.GenerateKey(rand.Reader)
		private, err = k, e
		jwk = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{private, toPEM("PUBLIC KEY", der), jwk}
}

func toPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// signAs signs claims, which are JSON, under a header.
func signAs(t testing.TB, alg string, key any, header, claims string) string {
	t.Helper()
	method := jwt.GetSigningMethod(alg)
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(signature)
}

func header(alg string) string { return fmt.Sprintf(`{"alg":%q,"typ":"JWT"}`, alg) }

// TestAlgorithms: tokens of every algorithm are verified with the key in PEM, in a JWK
// and in a set, and a token of any other algorithm, made with what is public, is not.
func TestAlgorithms(t *testing.T) {
	claims := fmt.Sprintf(`{"sub":"ada","exp":%d}`, start.Add(time.Hour).Unix())
	for _, alg := range token.Algorithms {
		rules := token.Rules{Algorithms: []string{alg}, Now: func() time.Time { return start }}
		var private any = secret
		texts := map[string]string{"secret": string(secret)}
		if !rules.Symmetric() {
			pair := newPair(t, alg)
			private = pair.private
			pair.jwk["alg"] = alg
			one, _ := json.Marshal(pair.jwk)
			certificate, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{},
				pair.private.Public(), pair.private)
			if err != nil {
				t.Fatal(err)
			}
			inLine := strings.ReplaceAll(pair.pem, "\n", `\n`)
			texts = map[string]string{"PEM": pair.pem, "PEM in a line": inLine, "certificate": toPEM("CERTIFICATE", certificate), "JWK": string(one), "set": `{"keys":[{"kty":"oct","k":"AA"},` + string(one) + `]}`}
		}
		good := signAs(t, alg, private, header(alg), claims)
		for form, text := range texts {
			set, err := rules.ParseKeys([]byte(text))
			if err != nil {
				t.Errorf("%s %s: %v", alg, form, err)
				continue
			}
			v, err := verify(t, rules, good, set)
			if err != nil || v.Subject != "ada" || v.Algorithm != alg {
				t.Errorf("%s %s: %+v, %v", alg, form, v, err)
			}
			signed := good[:strings.LastIndex(good, ".")]
			for name, forged := range map[string]string{
				"public key as secret":         signAs(t, "HS256", []byte(text), header("HS256"), claims),
				"the same under the right alg": signAs(t, "HS256", []byte(text), header(alg), claims),
				"none":                         signAs(t, "none", jwt.UnsafeAllowNoneSignatureType, header("none"), claims),
				"NonE":                         signAs(t, "none", jwt.UnsafeAllowNoneSignatureType, header("NonE"), claims),
				"no alg":                       signAs(t, "none", jwt.UnsafeAllowNoneSignatureType, `{"typ":"JWT"}`, claims),
				"a list of algs":               signAs(t, "HS256", []byte(text), `{"alg":["`+alg+`"]}`, claims),
				"no signature":                 signed + ".",
				"zeros (CVE-2022-21449)":       signed + "." + strings.Repeat("A", 86),
				"padding":                      good + "=",
				"another last character":       good[:len(good)-1] + nextInAlphabet(good[len(good)-1]),
			} {
				if v, err := verify(t, rules, forged, set); err == nil && forged != good {
					t.Errorf("%s %s: %s is taken for a token of %q", alg, form, name, v.Subject)
				}
			}
		}
	}
}

// nextInAlphabet of base64url differs in the last bit, which signatures of most lengths do
// not use.
func nextInAlphabet(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func verify(t testing.TB, rules token.Rules, raw string, set token.KeySet) (token.Verified, error) {
	t.Helper()
	v, err := token.NewVerifier(rules)
	if err != nil {
		t.Fatal(err)
	}
	return v.Verify(raw, set)
}

// TestReasons: what is refused, and why. Keys that a token brings or points at are not used.
func TestReasons(t *testing.T) {
	ours, theirs := newPair(t, "ES256"), newPair(t, "ES256")
	ours.jwk["kid"], ours.jwk["use"] = "k1", "sig"
	jwks, _ := json.Marshal(map[string]any{"keys": []any{ours.jwk}})
	embedded, _ := json.Marshal(theirs.jwk)
	rules := token.Rules{
		Algorithms: []string{"ES256", "RS256"}, Claim: "/user/id", Issuer: "https://issuer", Audience: "mobile",
		Skew: time.Minute, Now: func() time.Time { return start },
	}
	set, err := rules.ParseKeys(jwks)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change string) string {
		c := map[string]any{
			"iss": "https://issuer", "aud": []string{"web", "mobile"}, "exp": start.Unix(), "nbf": start.Add(time.Minute).Unix(),
			"user": map[string]any{"id": json.Number("9007199254740993")},
		}
		if err := json.Unmarshal([]byte(change), &c); err != nil {
			t.Fatal(err)
		}
		out, _ := json.Marshal(c)
		return string(out)
	}
	plain := claims(`{}`)
	subject := func(id string) string { return strings.Replace(plain, "9007199254740993", id, 1) }
	for name, c := range map[string]struct {
		header, claims string
		by             *keyPair // default ours
		want           token.Reason
	}{
		"good":                  {},
		"with its kid":          {header: `{"alg":"ES256","kid":"k1"}`},
		"another kid":           {header: `{"alg":"ES256","kid":"k2"}`, want: token.UnknownKey},
		"kid is a path":         {header: `{"alg":"ES256","kid":"../../../dev/null"}`, want: token.UnknownKey},
		"kid is a query":        {header: `{"alg":"ES256","kid":"' OR 1=1 --"}`, want: token.UnknownKey},
		"kid is a list":         {header: `{"alg":"ES256","kid":["k1"]}`, want: token.Malformed},
		"kid is NUL":            {header: `{"alg":"ES256","kid":"k1\u0000"}`, want: token.UnknownKey},
		"no key for it":         {header: `{"alg":"RS256"}`, want: token.UnknownKey},
		"another curve":         {header: `{"alg":"ES384"}`, want: token.WrongAlgorithm},
		"its own key":           {header: `{"alg":"ES256","jwk":` + string(embedded) + `}`, by: &theirs, want: token.WrongSignature},
		"jku":                   {header: `{"alg":"ES256","jku":"http://127.0.0.1:1/keys"}`, by: &theirs, want: token.WrongSignature},
		"x5u":                   {header: `{"alg":"ES256","kid":"k1","x5u":"http://127.0.0.1:1/cert"}`, by: &theirs, want: token.WrongSignature},
		"crit":                  {header: `{"alg":"ES256","crit":["b64"],"b64":false}`, want: token.Malformed},
		"header is a list":      {header: `["ES256"]`, want: token.Malformed},
		"header is null":        {header: `null`, want: token.WrongAlgorithm},
		"other keys":            {by: &theirs, want: token.WrongSignature},
		"over, within the skew": {claims: claims(fmt.Sprintf(`{"exp":%d}`, start.Unix()-59))},
		"over":                  {claims: claims(fmt.Sprintf(`{"exp":%d}`, start.Unix()-60)), want: token.Expired},
		"over a fraction ago":   {claims: claims(fmt.Sprintf(`{"exp":%d.999}`, start.Unix()-61)), want: token.Expired},
		"exp 0":                 {claims: claims(`{"exp":0}`), want: token.Expired},
		"no exp":                {claims: claims(`{"exp":null}`), want: token.Malformed},
		"exp is a text":         {claims: claims(`{"exp":"never"}`), want: token.Malformed},
		"later":                 {claims: claims(fmt.Sprintf(`{"nbf":%d}`, start.Unix()+61)), want: token.NotYetValid},
		"other issuer":          {claims: claims(`{"iss":"https://issuer/"}`), want: token.WrongIssuer},
		"other audience":        {claims: claims(`{"aud":"web"}`), want: token.WrongAudience},
		"claim twice":           {claims: `{"user":{"id":"eve"},` + plain[1:], want: token.Malformed},
		"nested claim twice":    {claims: `{"a":{"b":1,"b":2},` + plain[1:], want: token.Malformed},
		"deep":                  {claims: `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `,` + plain[1:], want: token.Malformed},
		"very deep":             {claims: `{"a":` + strings.Repeat(`{"a":`, 1900) + `1` + strings.Repeat("}", 1900) + `,` + plain[1:], want: token.Malformed},
		"not closed":            {claims: plain[:len(plain)-1], want: token.Malformed},
		"two values":            {claims: plain + plain, want: token.Malformed},
		"huge":                  {claims: `{"a":"` + strings.Repeat("x", token.MaxSize) + `",` + plain[1:], want: token.Malformed},
		"a fraction":            {claims: subject("1.0"), want: token.NoSubject},
		"an exponent":           {claims: subject("1e3"), want: token.NoSubject},
		"a list":                {claims: subject(`["ada"]`), want: token.NoSubject},
		"a boolean":             {claims: subject("true"), want: token.NoSubject},
		"null":                  {claims: subject("null"), want: token.NoSubject},
		"a user without id":     {claims: claims(`{"user":"ada"}`), want: token.NoSubject},
		"empty":                 {claims: subject(`""`), want: token.UnusableSubject},
		"parent":                {claims: subject(`".."`), want: token.UnusableSubject},
		"self":                  {claims: subject(`"."`), want: token.UnusableSubject},
		"NUL":                   {claims: subject(`"ada\u0000"`), want: token.UnusableSubject},
		"line break":            {claims: subject(`"ada\r\nX-Admin: 1"`), want: token.UnusableSubject},
		"very long":             {claims: subject(`"` + strings.Repeat("a", token.MaxSubject+1) + `"`), want: token.UnusableSubject},
	} {
		if c.header == "" {
			c.header = header("ES256")
		}
		if c.claims == "" {
			c.claims = plain
		}
		if c.by == nil {
			c.by = &ours
		}
		v, err := verify(t, rules, signAs(t, "ES256", c.by.private, c.header, c.claims), set)
		refused, _ := errors.AsType[*token.RefusedError](err)
		switch {
		case c.want == "" && (err != nil || v.Subject != "9007199254740993" || c.claims == plain && !v.Expires.Equal(start.Add(time.Minute))):
			t.Errorf("%s: %+v, %v", name, v, err)
		case c.want != "" && (refused == nil || refused.Reason != c.want || !errors.Is(err, token.ErrInvalid)):
			t.Errorf("%s: %+v, %v, want %s", name, v, err, c.want)
		}
	}
}

// TestTokensOfPyJWT: tokens and JWK set of another implementation, of every algorithm.
func TestTokensOfPyJWT(t *testing.T) {
	raw, err := os.ReadFile("testdata/pyjwt.json")
	if err != nil {
		t.Fatal(err)
	}
	var theirs struct {
		Secret string
		JWKS   json.RawMessage
		Tokens map[string]string
	}
	if err := json.Unmarshal(raw, &theirs); err != nil {
		t.Fatal(err)
	}
	for _, alg := range token.Algorithms {
		rules, keys := token.Rules{Algorithms: []string{alg}, Now: func() time.Time { return start }}, []byte(theirs.JWKS)
		if rules.Symmetric() {
			keys = []byte(theirs.Secret)
		}
		set, err := rules.ParseKeys(keys)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := verify(t, rules, theirs.Tokens[alg], set); err != nil || v.Subject != "ada" {
			t.Errorf("%s: %+v, %v", alg, v, err)
		}
	}
}

// FuzzVerify: no text is a valid token but those that were signed, whatever it says.
func FuzzVerify(f *testing.F) {
	rules := token.Rules{Algorithms: []string{"HS256"}, Now: func() time.Time { return start }}
	set, err := rules.ParseKeys(secret)
	if err != nil {
		f.Fatal(err)
	}
	good := signAs(f, "HS256", secret, header("HS256"), fmt.Sprintf(`{"sub":"ada","exp":%d}`, start.Unix()+1))
	for _, seed := range []string{good, good + "=", strings.ReplaceAll(good, ".", ".."), "", "..", "e30.e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if v, err := verify(t, rules, raw, set); (err == nil) != (raw == good) {
			t.Errorf("%q: %+v, %v", raw, v, err)
		}
	})
}

// FuzzDecodeJSON: what it accepts is JSON, and read as encoding/json reads it.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.50,"x",null,true,{}],"b":{"c":"\u0000"}}`, `[1,]`, `{"a":1,}`, `{"a":1 "b":2}`, `[1 2]`, `{"a",1}`, `1 2`, `"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := token.DecodeJSON(raw)
		if err != nil {
			return
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&want); err != nil || !json.Valid(raw) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, want %#v, %v", raw, got, want, err)
		}
	})
}

// FuzzParseKeys: no text makes it panic, and what it accepts has keys.
func FuzzParseKeys(f *testing.F) {
	for _, kind := range []string{"RS256", "ES256", "EdDSA"} {
		pair := newPair(f, kind)
		one, _ := json.Marshal(pair.jwk)
		f.Add([]byte(pair.pem + pair.pem))
		f.Add([]byte(`{"keys":[` + string(one) + `]}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, alg := range []string{"HS256", "RS256"} {
			if set, err := (token.Rules{Algorithms: []string{alg}}).ParseKeys(text); (err == nil) == (len(set) == 0) {
				t.Errorf("%d keys, %v", len(set), err)
			}
		}
	})
}
