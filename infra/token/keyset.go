package token

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Bounds of RSA keys: the minimum is of RFC 7518, 3.3; verification takes time that
// grows with the size.
const (
	minRSA = 2048
	maxRSA = 8192
)

// maxSet is the maximum number of keys in one text.
const maxSet = 64

// curves of ECDSA, by the names that they have in Go and in a JWK.
var curves = map[string]struct {
	curve     elliptic.Curve
	algorithm string
}{"P-256": {elliptic.P256(), "ES256"}, "P-384": {elliptic.P384(), "ES384"}, "P-521": {elliptic.P521(), "ES512"}}

// Key is one key that tokens are verified with.
type Key struct {
	ID        string // its "kid"; a key without one is tried for every token
	Algorithm string // the only one that it is for, "" for each that fits
	material  any    // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// KeySet is keys, which are not changed after they were parsed.
type KeySet []Key

// Secret is the key of a symmetric algorithm, nil for a public key. It must not be changed.
func (k Key) Secret() []byte {
	secret, _ := k.material.([]byte)
	return secret
}

// fits reports whether tokens of the algorithm can be verified with the key. A public
// key is never a secret, nor a key of one curve one of another.
func (k Key) fits(alg string) bool {
	if k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch m := k.material.(type) {
	case []byte:
		return strings.HasPrefix(alg, "HS")
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == curves[m.Params().Name].algorithm
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// ParseKeys reads keys of the kind that the algorithms need.
//
// Secrets stand one on each line; an error is an ErrSecret. Public keys are a JWK set
// (RFC 7517) or single JWK, or are in PEM, one below the other, as keys or as
// certificates, which count for their key alone. Keys of a set that are not for
// signatures, or of unknown kinds, are left out; an error says that none is left.
func (r Rules) ParseKeys(text []byte) (KeySet, error) {
	if r.Symmetric() {
		return r.parseSecrets(text)
	}
	return parsePublicKeys(text)
}

func (r Rules) parseSecrets(text []byte) (KeySet, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN ")) { // whoever has a public key could sign
		return nil, fmt.Errorf("%w: this is a key in PEM, which is not for HMAC", ErrSecret)
	}
	var set KeySet
	for line := range bytes.Lines(bytes.TrimRight(text, "\r\n")) {
		key := bytes.Clone(bytes.TrimRight(line, "\r\n"))
		if r.Base64Secrets {
			var err error
			if key, err = decodeBase64(string(key)); err != nil {
				return nil, fmt.Errorf("%w: a line is not base64", ErrSecret)
			}
		}
		switch least := cmp.Or(r.MinSecret, MinSecret); {
		case len(key) >= least:
		case least == MinSecret:
			return nil, fmt.Errorf("%w, not %d", ErrSecret, len(key))
		default:
			return nil, fmt.Errorf("%w, here %d as it was set, not %d", ErrSecret, least, len(key))
		}
		set = append(set, Key{material: key})
	}
	switch n := len(set); {
	case n == 0:
		return nil, fmt.Errorf("%w, not 0", ErrSecret)
	case n > MaxKeys:
		return nil, fmt.Errorf("%w, and at most %d lines, not %d", ErrSecret, MaxKeys, n)
	}
	return set, nil
}

// decodeBase64 reads either alphabet, with or without padding.
func decodeBase64(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "=")))
}

func parsePublicKeys(text []byte) (KeySet, error) {
	var set KeySet
	var err error
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("{")) {
		set, err = parseJWKs(text)
	} else {
		set, err = parsePEM(text)
	}
	if err == nil && len(set) > maxSet {
		err = fmt.Errorf("there are %d keys, more than %d", len(set), maxSet)
	}
	return set, err
}

func parsePEM(text []byte) (set KeySet, err error) {
	if !bytes.Contains(text, []byte("\n")) { // as environment variables often have it
		text = bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))
	}
	for len(text) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("expected a JWK set, or public keys in PEM (-----BEGIN PUBLIC KEY-----)")
		}
		var key any
		switch block.Type {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				key = c.PublicKey
			}
		default:
			err = errors.New("give the public key, or a certificate")
		}
		if err == nil {
			err = checkPublic(key)
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %q: %w", block.Type, err)
		}
		set, text = append(set, Key{material: key}), bytes.TrimSpace(rest)
	}
	if len(set) == 0 {
		return nil, errors.New("there are no public keys")
	}
	return set, nil
}

func checkPublic(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA || k.E < 3 || k.E > 1<<31-1 || k.E%2 == 0 {
			return fmt.Errorf("unsupported RSA key of %d bits: it must have %d to %d, and an odd exponent below 2^31", n, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		if _, ok := curves[k.Params().Name]; ok {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("unsupported key %T: use RSA, ECDSA (P-256, P-384, P-521) or Ed25519", key)
}

// jwk is one key of a set (RFC 7517, 7518 section 6, 8037 section 2).
type jwk struct {
	KeyType   string   `json:"kty"`
	ID        string   `json:"kid"`
	Use       string   `json:"use"`
	Ops       []string `json:"key_ops"`
	Algorithm string   `json:"alg"`
	Curve     string   `json:"crv"`
	N, E      string
	X, Y      string
}

func parseJWKs(text []byte) (KeySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("decode the JWK set: %w", err)
	}
	if doc.Keys == nil {
		doc.Keys = []json.RawMessage{text}
	}
	set, first := KeySet{}, error(nil)
	for i, raw := range doc.Keys {
		k, err := parseJWK(raw)
		if err == nil {
			set = append(set, k)
		} else if first == nil {
			first = fmt.Errorf("key %d: %w", i, err)
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("the JWK set has no key for signatures: %w", first)
	}
	return set, nil
}

func parseJWK(raw []byte) (Key, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return Key{}, err
	}
	if j.Use != "" && j.Use != "sig" || len(j.Ops) > 0 && !slices.Contains(j.Ops, "verify") {
		return Key{}, errors.New("it is not for signatures")
	}
	material, err := j.public()
	if err == nil {
		err = checkPublic(material)
	}
	return Key{ID: j.ID, Algorithm: j.Algorithm, material: material}, err
}

func (j jwk) public() (any, error) {
	var bad error
	decode := func(text string) []byte {
		b, err := decodeBase64(text)
		if err != nil || len(b) == 0 {
			bad = errors.New("a member is not base64url, or missing")
		}
		return b
	}
	switch j.KeyType {
	case "RSA":
		e := new(big.Int).SetBytes(decode(j.E))
		if !e.IsInt64() {
			return nil, errors.New("unsupported RSA exponent")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(decode(j.N)), E: int(e.Int64())}, bad
	case "EC":
		c, ok := curves[j.Curve]
		if x, y := decode(j.X), decode(j.Y); ok && bad == nil {
			return ecdsa.ParseUncompressedPublicKey(c.curve, slices.Concat([]byte{4}, x, y))
		}
	case "OKP":
		if x := decode(j.X); j.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x), bad
		}
	}
	return nil, errors.Join(bad, fmt.Errorf("unsupported kind %q, curve %q", j.KeyType, j.Curve))
}
