package subject_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/goccy/go-yaml"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/proxy/subject"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "0123456789abcdef0123456789abcdef"

// clock is one that tests move on.
type clock struct{ since atomic.Int64 }

func (c *clock) advance(d time.Duration) { c.since.Add(int64(d)) }
func (c *clock) now() time.Time          { return start.Add(time.Duration(c.since.Load())) }

var start = time.Now()

// open makes a resolver of the YAML of a route file's subject.
func open(t testing.TB, text string, env map[string]string, trusted ...string) *subject.Resolver {
	t.Helper()
	return openAt(t, nil, text, env, trusted...)
}

func openAt(t testing.TB, now func() time.Time, text string, env map[string]string, trusted ...string) *subject.Resolver {
	t.Helper()
	cfg := subject.Config{Now: now}
	if err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	cfg.Env = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, p := range trusted {
		cfg.TrustedPeers = append(cfg.TrustedPeers, netip.MustParsePrefix(p))
	}
	configured := config.NewSettings()
	r, err := subject.Open(context.Background(), cfg, configured, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); configured.Close() })
	return r
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// expect compares with an id, or with "!reason".
func expect(t testing.TB, r *subject.Resolver, name, want string, headers ...string) {
	t.Helper()
	got, err := r.Resolve(request(headers...))
	id, reason := got.ID, ""
	if refused, ok := errors.AsType[*token.RefusedError](err); ok {
		id, reason = "!"+string(refused.Reason), string(refused.Reason)
	}
	if id != want || err != nil && (reason == "" || got != subject.Subject{}) || id != "" && err == nil && got.Why == "" {
		t.Errorf("%s: %+v, %v, want %q", name, got, err, want)
	}
}

func hs(t testing.TB, key string, claims jwt.MapClaims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var later = time.Now().Add(time.Hour).Unix()

// TestSeveralKeysALine: the documented rotation of the services is the proxy's too, in
// the short form of the configuration.
func TestSeveralKeysALine(t *testing.T) {
	newKey := strings.Repeat("n", 32)
	r := open(t, "jwtSecretEnv: SECRET", map[string]string{"SECRET": newKey + "\n" + secret})
	for i, key := range []string{newKey, secret} {
		expect(t, r, key, fmt.Sprint("user", i), "Authorization", "Bearer "+hs(t, key, jwt.MapClaims{"sub": fmt.Sprint("user", i), "exp": later}))
	}
	expect(t, r, "a third key", "!wrong-signature", "Authorization", "Bearer "+hs(t, strings.Repeat("x", 32), jwt.MapClaims{"sub": "eve", "exp": later}))
	expect(t, r, "no token", "")
	expect(t, r, "another scheme", "", "Authorization", "Basic YTpi")
	ada := "Bearer " + hs(t, secret, jwt.MapClaims{"sub": "ada", "exp": later})
	expect(t, r, "two tokens", "!ambiguous-token", "Authorization", ada, "Authorization", ada)
	if got := r.Reasons(); len(got) != 2 || got["wrong-signature"] != 1 || got["ambiguous-token"] != 1 {
		t.Errorf("reasons %v", got)
	}
}

// TestReferenceIsNotAKey: a reference is read, never taken for the key, which anybody
// could guess; and the parameter's rotation is followed while requests come.
func TestReferenceIsNotAKey(t *testing.T) {
	const reference = "ssm:/banyan/prod/jwt-secret-of-tokens"
	server := httptest.NewServer(settings.NewParameters(settings.Config{}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	store := ssm.New(ssm.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	put := func(value string) {
		name := strings.TrimPrefix(reference, "ssm:")
		in := &ssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)}
		if _, err := store.PutParameter(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	put(secret)
	client, err := config.New(config.Config{Parameters: store, Secrets: noSecrets{}, TTL: 5 * time.Millisecond, Gap: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	configured := config.WithClient(client)
	defer configured.Close()
	cfg := subject.Config{SecretEnv: "SECRET", Env: func(string) (string, bool) { return reference, true }}
	r, err := subject.Open(t.Context(), cfg, configured, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	token := func(key string) string { return "Bearer " + hs(t, key, jwt.MapClaims{"sub": "ada", "exp": later}) }
	expect(t, r, "the key", "ada", "Authorization", token(secret))
	expect(t, r, "the reference as the key", "!wrong-signature", "Authorization", token(reference))
	newKey := strings.Repeat("n", 32)
	put(secret + "\n" + newKey)
	eventually.True(t, "the new key", func() bool {
		expect(t, r, "the old key", "ada", "Authorization", token(secret))
		s, _ := r.Resolve(request("Authorization", token(newKey)))
		return s.ID == "ada"
	})
	put(newKey)
	eventually.True(t, "the end of the old key", func() bool {
		expect(t, r, "the new key", "ada", "Authorization", token(newKey))
		s, _ := r.Resolve(request("Authorization", token(secret)))
		return s.ID == ""
	})
}

type noSecrets struct{ config.Secrets }

// TestPlaces: header, scheme and cookie.
func TestPlaces(t *testing.T) {
	r := open(t, `
sources:
  - {header: Authorization, scheme: Token, cookie: session, jwt: {algorithms: [HS256], keys: [{env: SECRET}], claim: /user/id, expiryOptional: true}}
  - {header: X-Access-Token, jwt: {algorithms: [HS512], keys: [{env: ENCODED}], base64Secrets: true}}
  - {header: X-User, trusted: true}
`, map[string]string{"SECRET": secret, "ENCODED": base64.StdEncoding.EncodeToString([]byte(secret))}, "192.0.2.0/24")
	nested := func(id any) string { return hs(t, secret, jwt.MapClaims{"user": map[string]any{"id": id}}) }
	other, err := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims{"sub": "bob", "exp": later}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, r, "scheme", "7", "Authorization", "Token "+nested(7))
	expect(t, r, "scheme in capitals", "ada", "Authorization", "TOKEN "+nested("ada"))
	expect(t, r, "cookie", "ada", "Cookie", "a=b; session="+nested("ada")+"; c=d")
	expect(t, r, "the same cookie twice", "ada", "Cookie", "session="+nested("ada")+"; session="+nested("ada"))
	expect(t, r, "two cookies", "!ambiguous-token", "Cookie", "session="+nested("ada")+"; session="+nested("eve"))
	expect(t, r, "header before cookie", "ada", "Authorization", "Token "+nested("ada"), "Cookie", "session="+nested("eve"))
	expect(t, r, "header with nothing else", "bob", "X-Access-Token", other)
	expect(t, r, "trusted front", "eve", "X-User", "eve")
	expect(t, r, "a path from the front", "!unusable-subject", "X-User", "..")
	expect(t, r, "two users", "!ambiguous-token", "X-User", "eve", "X-User", "ada")
	expect(t, r, "a slash is data", "a/../b", "X-User", "a/../b")
	stranger := request("X-User", "eve")
	stranger.RemoteAddr = "198.51.100.1:4711"
	if got, err := r.Resolve(stranger); got.ID != "" || err == nil {
		t.Errorf("a stranger's header: %+v, %v", got, err)
	}
}

// issuer signs with ES256 and publishes its keys.
type issuer struct {
	*httptest.Server
	t     testing.TB
	keys  map[string]*ecdsa.PrivateKey
	set   atomic.Pointer[string]
	down  atomic.Bool
	calls atomic.Int64
}

func newIssuer(t testing.TB, kids ...string) *issuer {
	i := &issuer{t: t, keys: map[string]*ecdsa.PrivateKey{}}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.calls.Add(1)
		if i.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(*i.set.Load()))
	}))
	t.Cleanup(i.Close)
	for _, kid := range kids {
		i.make(kid)
	}
	i.publish(kids...)
	return i
}

func (i *issuer) make(kid string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.keys[kid] = k
}

func (i *issuer) publish(kids ...string) {
	set := []any{}
	for _, kid := range kids {
		raw, err := i.keys[kid].PublicKey.Bytes()
		if err != nil {
			i.t.Fatal(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		set = append(set, map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(raw[1:33]), "y": b64(raw[33:])})
	}
	raw, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		i.t.Fatal(err)
	}
	text := string(raw)
	i.set.Store(&text)
}

func (i *issuer) sign(kid, sub string) string {
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": sub, "exp": later})
	tok.Header["kid"] = kid
	s, err := tok.SignedString(i.keys[kid])
	if err != nil {
		i.t.Fatal(err)
	}
	return "Bearer " + s
}

// TestJWKS over the wire: keys are read once, and unknown ones do not make it ask all
// the time.
func TestJWKS(t *testing.T) {
	i := newIssuer(t, "k1")
	r := openAt(t, new(clock).now, `sources: [{jwt: {algorithms: [ES256], keys: [{jwks: "${ISSUER}/keys"}]}}]`, map[string]string{"ISSUER": i.URL})
	expect(t, r, "known", "ada", "Authorization", i.sign("k1", "ada"))
	i.make("invented")
	for n := range 50 {
		expect(t, r, "unknown", "!unknown-key", "Authorization", i.sign("invented", fmt.Sprint("eve", n)))
	}
	if n := i.calls.Load(); n != 1 {
		t.Errorf("%d calls of the issuer", n)
	}
}

// TestRotationUnderTraffic: while keys come and go, no token of a published key is refused,
// but for one whose key could not be read in time; and those of a key that is gone are,
// also those that were verified before.
func TestRotationUnderTraffic(t *testing.T) {
	var c clock
	i := newIssuer(t, "k1")
	i.make("k2")
	i.make("k3")
	r := openAt(t, c.now, `sources: [{jwt: {algorithms: [ES256], keys: [{jwks: "${ISSUER}"}]}}]`, map[string]string{"ISSUER": i.URL})
	var current atomic.Pointer[string]
	k1, k2 := i.sign("k1", "ada"), i.sign("k2", "ada")
	current.Store(&k1)
	ctx, stop := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	defer traffic.Wait()
	defer stop()
	var served atomic.Int64
	for range 4 {
		traffic.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				if s, err := r.Resolve(request("Authorization", *current.Load())); s.ID != "ada" && time.Since(began) < time.Second {
					t.Errorf("refused: %v", err)
				}
				served.Add(1)
			}
		})
	}
	more := func() {
		n := served.Load()
		eventually.True(t, "traffic", func() bool { return served.Load() > n+20 })
	}
	more()
	i.publish("k1", "k2")
	c.advance(10 * time.Second)
	current.Store(&k2) // the first of these makes it read the keys anew
	more()
	eventually.True(t, "the new key", func() bool { s, _ := r.Resolve(request("Authorization", k2)); return s.ID == "ada" })
	expect(t, r, "the old key", "ada", "Authorization", k1)
	i.down.Store(true)
	c.advance(10 * time.Second)
	eventually.True(t, "an unknown key that may be one of the issuer's", func() bool { // unless the reading took long
		c.advance(10 * time.Second)
		_, err := r.Resolve(request("Authorization", i.sign("k3", "ada")))
		return errors.Is(err, subject.ErrUndecided)
	})
	expect(t, r, "the old key while the issuer is down", "ada", "Authorization", k1)
	more()
	i.publish("k2")
	i.down.Store(false)
	eventually.True(t, "the end of the old key", func() bool {
		c.advance(10 * time.Second)
		if s, err := r.Resolve(request("Authorization", i.sign("k3", "ada"))); err == nil {
			t.Errorf("an unknown key: %+v", s)
		}
		s, _ := r.Resolve(request("Authorization", k1))
		return s.ID == ""
	})
	more()
}

// TestVerifiedTokenExpires: a token is verified once, and what is remembered does not
// outlive it.
func TestVerifiedTokenExpires(t *testing.T) {
	var c clock
	r := openAt(t, c.now, "sources: [{jwt: {algorithms: [HS256], keys: [{env: SECRET}], skew: 5s}}]", map[string]string{"SECRET": secret})
	ada := "Bearer " + hs(t, secret, jwt.MapClaims{"sub": "ada", "exp": start.Add(10 * time.Second).Unix()})
	for range 2 {
		expect(t, r, "fresh", "ada", "Authorization", ada)
	}
	again := request("Authorization", ada)
	if n := testing.AllocsPerRun(20, func() { _, _ = r.Resolve(again) }); n > 10 { // decoding it takes more than 100
		t.Errorf("%v allocations for a token that was verified", n)
	}
	c.advance(13 * time.Second)
	expect(t, r, "within the skew", "ada", "Authorization", ada)
	c.advance(3 * time.Second)
	expect(t, r, "over", "!expired", "Authorization", ada)
}

// TestSourcesInOrder: a token is decided by the source whose it is, and the reason is
// that one's.
func TestSourcesInOrder(t *testing.T) {
	i := newIssuer(t, "k1")
	r := openAt(t, new(clock).now, `
sources:
  - jwt: {algorithms: [HS256], keys: [{env: OLD}], claim: uid}
  - jwt: {algorithms: [ES256], keys: [{jwks: "${ISSUER}"}]}
`, map[string]string{"OLD": secret, "ISSUER": i.URL})
	expect(t, r, "the old one's", "1", "Authorization", "Bearer "+hs(t, secret, jwt.MapClaims{"uid": 1, "exp": later}))
	expect(t, r, "the new one's", "ada", "Authorization", i.sign("k1", "ada"))
	expect(t, r, "the old one's, over", "!expired", "Authorization", "Bearer "+hs(t, secret, jwt.MapClaims{"uid": 1, "exp": 1}))
	expect(t, r, "the old one's, for the new claim", "!no-subject", "Authorization", "Bearer "+hs(t, secret, jwt.MapClaims{"sub": "ada", "exp": later}))
	expect(t, r, "a forged one of the old one's", "!wrong-signature", "Authorization", "Bearer "+hs(t, secret+"x", jwt.MapClaims{"uid": 1, "exp": later}))
	expect(t, r, "nobody's", "!malformed", "Authorization", "Bearer opaque")
	if n := i.calls.Load(); n != 1 {
		t.Errorf("%d calls of the new one", n)
	}
}

// TestReopen: an unchanged configuration keeps all that is known, and a changed one the
// counters.
func TestReopen(t *testing.T) {
	cfg := subject.Config{SecretEnv: "SECRET", Env: func(string) (string, bool) { return secret, true }}
	configured := config.NewSettings()
	r, err := subject.Open(t.Context(), cfg, configured, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	expect(t, r, "rubbish", "!malformed", "Authorization", "Bearer rubbish")
	if same, err := r.Reopen(t.Context(), cfg); same != r || err != nil {
		t.Errorf("another resolver, %v", err)
	}
	cfg.SecretEnv = "OTHER"
	other, err := r.Reopen(t.Context(), cfg)
	if err != nil || other == r {
		t.Fatalf("the same resolver, %v", err)
	}
	defer other.Close()
	expect(t, other, "rubbish", "!malformed", "Authorization", "Bearer rubbish")
	if n := other.Reasons()["malformed"]; n != 2 {
		t.Errorf("counted %d", n)
	}
}

// TestReopenWhileTheIssuerIsDown: a changed configuration has the keys that the one before had.
func TestReopenWhileTheIssuerIsDown(t *testing.T) {
	i := newIssuer(t, "k1")
	var r *subject.Resolver
	for _, scheme := range []string{"", "Token", "Access"} {
		cfg := subject.Config{Sources: []subject.Source{{Scheme: scheme, JWT: &subject.JWT{
			Algorithms: []string{"ES256"}, Keys: []subject.Key{{JWKS: i.URL}},
		}}}}
		var err error
		if r == nil {
			r, err = subject.Open(t.Context(), cfg, nil, nil)
			i.Close()
		} else {
			r, err = r.Reopen(t.Context(), cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		_, signed, _ := strings.Cut(i.sign("k1", "ada"), " ")
		expect(t, r, scheme, "ada", "Authorization", cmp.Or(scheme, "Bearer")+" "+signed)
	}
}

// TestKeyFile: a file with a certificate or key in PEM, and who must not be there.
func TestKeyFile(t *testing.T) {
	i := newIssuer(t, "k1")
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(*i.set.Load()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, `sources: [{jwt: {algorithms: [ES256], keys: [{file: "${FILE}"}]}}]`, map[string]string{"FILE": file})
	expect(t, r, "known", "ada", "Authorization", i.sign("k1", "ada"))
	if _, err := subject.Open(t.Context(), subject.Config{Sources: []subject.Source{{JWT: &subject.JWT{
		Algorithms: []string{"ES256"}, Keys: []subject.Key{{File: file + "x"}},
	}}}}, nil, nil); err == nil || !strings.Contains(err.Error(), "subject.sources[0]: ") {
		t.Errorf("a missing file: %v", err)
	}
}
