package keys_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/infra/token/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set1 and set2 are the public keys of RFC 7517, A.1 and RFC 8037, A.2.
const (
	set1 = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1"}]}`
	set2 = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"2"}]}`
)

var rules = token.Rules{Algorithms: []string{"ES256", "EdDSA"}}

// kids are the ids of the keys in force, one after the other.
func kids(s *keys.Set) string {
	out := ""
	for _, k := range *s.Keys() {
		out += k.ID
	}
	return out
}

func openSet(t *testing.T, cfg keys.SetConfig) (*keys.Set, error) {
	t.Helper()
	cfg.Parse = rules.ParseKeys
	cfg.FileEvery, cfg.URLEvery, cfg.Retry = time.Millisecond, time.Millisecond, time.Millisecond
	s, err := keys.OpenSet(t.Context(), cfg)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

// TestFilesAreFollowed: a change is seen; what is not valid leaves the previous keys in
// force and is logged.
func TestFilesAreFollowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(set1)
	var log buffer
	s, err := openSet(t, keys.SetConfig{
		Sources: []keys.Source{{File: file}, {Name: "GIVEN", Value: set2}}, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil || kids(s) != "12" {
		t.Fatalf("%v, keys %q", err, kids(s))
	}
	write("{")
	eventually.True(t, "a log line", func() bool { return strings.Contains(log.String(), "cannot be read") })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "another log line", func() bool { return strings.Contains(log.String(), "no such file") })
	write(set2)
	eventually.True(t, "the new keys", func() bool { return kids(s) == "22" })
}

// TestURLIsDown: a program starts while the issuer is down, has its keys as soon as it
// is back, and keeps them when it goes down again, answers rubbish, or too much, which is
// logged once.
func TestURLIsDown(t *testing.T) {
	var mu sync.Mutex
	var answer http.HandlerFunc
	served := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		served++
		answer(w, r)
	}))
	defer server.Close()
	serve := func(h http.HandlerFunc) (from int) {
		mu.Lock()
		defer mu.Unlock()
		answer = h
		return served
	}
	reads := func(n int) {
		t.Helper()
		eventually.True(t, "readings", func() bool { mu.Lock(); defer mu.Unlock(); return served >= n })
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	var log buffer
	s, err := openSet(t, keys.SetConfig{Sources: []keys.Source{{URL: server.URL}}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil || kids(s) != "" {
		t.Fatalf("%v, keys %q", err, kids(s))
	}
	serve(text(set1))
	eventually.True(t, "the keys", func() bool { return kids(s) == "1" })
	before := s.Keys()
	if reads(serve(text(" "+set1)) + 2); s.Keys() != before {
		t.Error("the keys changed though they are the same")
	}
	for name, bad := range map[string]http.HandlerFunc{
		"cut":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"500":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); text(set2)(w, nil) },
		"redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"HTML":       text("<html>"),
		"no keys":    text(`{"keys":[]}`),
		"other keys": text(`{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"EC","use":"enc","crv":"P-256","x":"AA","y":"AA"}]}`),
		"off curve":  text(strings.Replace(set1, "MKBC", "MKBD", 1)),
		"too much":   text(set2 + strings.Repeat(" ", 1<<20)),
	} {
		reads(serve(bad) + 2)
		if kids(s) != "1" {
			t.Errorf("%s: keys %q", name, kids(s))
		}
	}
	if n := strings.Count(log.String(), "500 Internal"); n != 1 {
		t.Errorf("%d log lines about one failure:\n%s", n, log.String())
	}
	serve(text(set2))
	eventually.True(t, "the new keys", func() bool { return kids(s) == "2" })
}

// TestRefresh waits for a reading that hangs no longer than its context, and for one that
// does not until its keys are in force.
func TestRefresh(t *testing.T) {
	calls, hold := make(chan struct{}, 1), make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls <- struct{}{}
		text, ok := <-hold
		if !ok {
			text = set2
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	hold <- set1
	s, err := keys.OpenSet(t.Context(), keys.SetConfig{
		Sources: []keys.Source{{URL: server.URL}}, Parse: rules.ParseKeys, Retry: time.Nanosecond, Timeout: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	<-calls
	impatient, cancel := context.WithCancel(t.Context())
	go func() { <-calls; cancel() }()
	s.Refresh(impatient)
	close(hold)
	s.Refresh(t.Context()) // the same reading, or another one if it has ended meanwhile
	if kids(s) != "2" {
		t.Errorf("keys %q", kids(s))
	}
}

// TestChecker with the token of RFC 7515, A.3, whose key is published only after it came.
func TestChecker(t *testing.T) {
	const issued = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	const published = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	var text atomic.Value
	text.Store(set1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text.Load().(string))) }))
	defer server.Close()
	c, err := keys.OpenChecker(t.Context(),
		token.Rules{Algorithms: []string{"ES256"}, Claim: "iss", Now: func() time.Time { return time.Unix(1300819379, 0) }},
		token.Place{Cookie: "auth"}, keys.SetConfig{Sources: []keys.Source{{URL: server.URL}}, Retry: time.Nanosecond, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := httptest.NewRequest("GET", "/", nil)
	check := func() string {
		user, err := c.Subject(r)
		if (err == nil) != (user != "") || err != nil && err != token.ErrInvalid {
			t.Errorf("%q, %v", user, err)
		}
		return user
	}
	if user := check(); user != "" {
		t.Errorf("without a token: %q", user)
	}
	r.AddCookie(&http.Cookie{Name: "auth", Value: issued})
	if user := check(); user != "" {
		t.Errorf("with an unknown key: %q", user)
	}
	text.Store(published)
	eventually.True(t, "the key", func() bool { return check() == "joe" })
}

// TestBadSourcesAreRefused at the start, which whoever starts logs.
func TestBadSourcesAreRefused(t *testing.T) {
	var log buffer
	for text, want := range map[string]string{
		"":                                    "no public keys",
		"rubbish":                             "JWK set, or public keys in PEM",
		set1 + "x":                            "JWK set",
		"-----BEGIN PUBLIC KEY-----\n":        "in PEM",
		pem("PRIVATE KEY", "AAAA"):            "give the public key",
		pem("PUBLIC KEY", "AAAA"):             "PEM block",
		pem("CERTIFICATE", "AAAA"):            "PEM block",
		pem("EC PARAMETERS", "AAAA"):          "give the public key",
		`{"kty":"RSA","n":"AQAB","e":"AQAB"}`: "RSA key of 17 bits",
		`{"kty":"RSA","n":"AQAB"}`:            "missing",
		`{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`: `curve "secp256k1"`,
		`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`:         "unsupported",
	} {
		if _, err := openSet(t, keys.SetConfig{
			Sources: []keys.Source{{Name: "KEYS", Value: text}}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if log.String() != "" {
		t.Errorf("logged:\n%s", log.String())
	}
	hmac := token.Rules{Algorithms: []string{"HS256"}, MinSecret: 8}
	for text, want := range map[string]string{pem("PUBLIC KEY", "AAAAAAAA"): "PEM", "short": "not 5", "": "not 0"} {
		if _, err := hmac.ParseKeys([]byte(text)); !errors.Is(err, token.ErrSecret) || !strings.Contains(err.Error(), want) {
			t.Errorf("secret %q: %v", text, err)
		}
	}
}

func pem(kind, body string) string {
	return "-----BEGIN " + kind + "-----\n" + body + "\n-----END " + kind + "-----\n"
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
