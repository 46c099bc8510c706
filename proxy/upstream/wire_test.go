package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/banyan-fig/banyan/proxy/http1"
	"github.com/banyan-fig/banyan/proxy/upstream"
)

// pemFiles writes a certificate for names, its own authority, and its key.
func pemFiles(t *testing.T, dir string, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// secure is a server with a certificate for api.test, which wants one of its clients.
func secure(t *testing.T, h http.HandlerFunc, h2 bool, clientCA string) (s *httptest.Server, ca string) {
	t.Helper()
	cert, key := pemFiles(t, t.TempDir(), "api.test")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s = httptest.NewUnstartedServer(h)
	s.EnableHTTP2, s.Config.ErrorLog = h2, log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if clientCA != "" {
		pool := x509.NewCertPool()
		b, _ := os.ReadFile(clientCA)
		pool.AppendCertsFromPEM(b)
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, cert
}

var apiTest = &url.URL{Scheme: "https", Host: "api.test"}

// TestTLS: the authority, the client's certificate and the server's name are those of the
// configuration, for each protocol; a new content of the files is used at the next reload.
func TestTLS(t *testing.T) {
	for _, protocol := range []string{upstream.HTTP1, upstream.H2} {
		t.Run(protocol, func(t *testing.T) {
			dir := t.TempDir()
			clientCert, clientKey := pemFiles(t, dir, "client")
			srv, ca := secure(t, func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto, " ", r.Host, " ", r.TLS.PeerCertificates[0].DNSNames)
			}, protocol == upstream.H2, clientCert)
			cfg := upstream.Config{Name: "up", URL: apiTest, Addresses: []string{srv.Listener.Addr().String()}, Protocol: protocol}
			cfg.TLS = upstream.TLS{CAFile: ca, CertFile: clientCert, KeyFile: clientKey}
			s := upstream.NewSet()
			defer s.Close()
			u := s.Use([]upstream.Config{cfg})["up"]
			proto := map[string]string{upstream.HTTP1: "HTTP/1.1", upstream.H2: "HTTP/2.0"}[protocol]
			if got, err := do(u, request(t, "GET", "")); got != "200 "+proto+" ignored [client]" || err != nil {
				t.Error(got, err)
			}
			other, _ := pemFiles(t, t.TempDir(), "api.test")
			for name, tls := range map[string]upstream.TLS{
				"another authority": {CAFile: other, CertFile: clientCert, KeyFile: clientKey},
				"another name":      {CAFile: ca, CertFile: clientCert, KeyFile: clientKey, ServerName: "other.test"},
			} {
				bad := cfg
				bad.Name, bad.TLS = name, tls
				_, err := do(s.Use([]upstream.Config{cfg, bad})[name], request(t, "GET", ""))
				if !errors.As(err, new(*http1.ConnectError)) || !errors.Is(err, http1.ErrUnsent) {
					t.Errorf("%s: %v", name, err)
				}
			}
			pemFiles(t, dir, "client of another authority")
			if s.Use([]upstream.Config{cfg})["up"] == u {
				t.Error("a new content of the files is not used")
			}
			u = s.Use([]upstream.Config{cfg})["up"]
			if err := os.Remove(clientKey); err != nil {
				t.Fatal(err)
			}
			if s.Use([]upstream.Config{cfg})["up"] != u {
				t.Error("what cannot be read any more is not kept")
			}
		})
	}
}

// TestHTTP2: both ways at once, with trailers, as gRPC needs them; nothing is invented.
func TestHTTP2(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.UserAgent() != "" || r.Header.Get("Accept-Encoding") != "" || r.RequestURI != "/a?b=1;c" {
			t.Errorf("%s %s %v", r.Proto, r.RequestURI, r.Header)
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				break
			}
			_, _ = w.Write(buf)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "0 "+r.Trailer.Get("Sum"))
	}
	tlsServer, ca := secure(t, handler, true, "")
	plain := httptest.NewUnstartedServer(http.HandlerFunc(handler))
	plain.Config.Protocols = &http.Protocols{}
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()
	for name, u := range map[string]*upstream.Upstream{
		"h2":  use(t, upstream.Config{URL: apiTest, Protocol: upstream.H2, TLS: upstream.TLS{CAFile: ca}}, tlsServer.Listener.Addr().String()),
		"h2c": use(t, upstream.Config{Protocol: upstream.H2C}, plain.Listener.Addr().String()),
	} {
		t.Run(name, func(t *testing.T) {
			in, body := io.Pipe()
			r := request(t, "POST", "")
			r.Body, r.ContentLength, r.Trailer = in, -1, http.Header{"Sum": nil}
			resp, err := u.RoundTrip(r)
			if err == nil {
				defer resp.Body.Close()
				for range 3 {
					fmt.Fprint(body, "ping")
					if n, err := io.ReadFull(resp.Body, make([]byte, 4)); n != 4 || err != nil {
						t.Fatal(n, err)
					}
				}
			}
			r.Trailer.Set("Sum", "7")
			body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil || resp.Trailer.Get("Grpc-Status") != "0 7" {
				t.Error(rest, err, resp.Trailer)
			}
		})
	}
}

// TestHTTP2Errors: they are told as http1's are.
func TestHTTP2Errors(t *testing.T) {
	old, ca := secure(t, nil, false, "")
	cut, cutCA := secure(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true, "")
	lost := errors.New("the client is gone")
	h2 := func(s *httptest.Server, ca string) *upstream.Upstream {
		return use(t, upstream.Config{URL: apiTest, Protocol: upstream.H2, TLS: upstream.TLS{CAFile: ca}}, s.Listener.Addr().String())
	}
	if _, err := do(h2(old, ca), request(t, "GET", "")); !errors.As(err, new(*http1.ConnectError)) || !strings.Contains(err.Error(), "HTTP/2") &&
		!strings.Contains(err.Error(), "protocol") {
		t.Errorf("a server without HTTP/2: %v", err)
	}
	if _, err := do(h2(cut, cutCA), request(t, "POST", "a")); !errors.As(err, new(*http1.CutError)) || errors.Is(err, http1.ErrUnsent) {
		t.Errorf("a stream that is reset: %v", err)
	}
	hang, hangCA := secure(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(errTooSlow) })
	if _, err := do(h2(hang, hangCA), request(t, "POST", "a").WithContext(ctx)); !errors.Is(err, errTooSlow) {
		t.Errorf("an ended context: %v", err)
	}
	r := request(t, "POST", "")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("a"), failing{lost})), -1
	if _, err := do(h2(hang, hangCA), r); !errors.As(err, new(*http1.RequestError)) || !errors.Is(err, lost) {
		t.Errorf("a body that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestSigned: what arrives has the signature that AWS computes for it (by its document, not
// by the SDK), whatever the query; the client's own headers cannot take part.
func TestSigned(t *testing.T) {
	var got, wrong atomic.Value
	i := newInstance(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(r.RequestURI + " " + string(body) + " " + r.Header.Get(upstream.HeaderClientAuthorization) + r.Header.Get("Expect"))
		wrong.Store(signatureError(r, body))
	})
	s := &upstream.Set{Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "session")}
	defer s.Close()
	u := s.Use([]upstream.Config{{
		Name: "up", URL: &url.URL{Scheme: "http", Host: "abc.execute-api.eu-west-1.amazonaws.com", Path: "/stage"},
		Addresses: []string{i.address()}, Sign: &upstream.Sign{},
	}})["up"]
	for target, want := range map[string]string{
		"/orders/a%20b%2Fc":                "/stage/orders/a%20b%2Fc",
		"/orders?ids=1;2&b=100%&a=%zz":     "/stage/orders?ids=1%3B2&b=100%25&a=%25zz",
		"/x?q=a+b&q=%C3%A9&e=&f&q=A~":      "/stage/x?q=a%20b&q=%C3%A9&e=&f=&q=A~",
		"//x/?" + strings.Repeat("%", 500): "/stage//x/?" + strings.Repeat("%25", 500) + "=",
	} {
		for _, body := range []string{"", "a body"} {
			r := request(t, "POST", body)
			r.URL.Opaque, r.Host = target, "client.test"
			r.Header = http.Header{"Authorization": {"Bearer client"}, "X-Amz-Date": {"never"}, "X-Amz-Security-Token": {"mine"},
				"Content-Type": {"text/plain"}, "Expect": {"100-continue"}, "X-Forwarded-Authorization": {"spoofed"}}
			if _, err := do(u, r); err != nil || got.Load() != want+" "+body+" Bearer client" || wrong.Load() != "" {
				t.Errorf("%s: %v\ngot  %v\nwant %v\n%v", target, err, got.Load(), want, wrong.Load())
			}
		}
	}
	for _, length := range []int64{-1, 11 << 20} {
		r := request(t, "POST", "")
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(endless{}, 11<<20)), length
		if _, err := do(u, r); !errors.Is(err, upstream.ErrTooLarge) || !errors.As(err, new(*http1.RequestError)) || !errors.Is(err, http1.ErrUnsent) {
			t.Error(err)
		}
	}
	s.Credentials = aws.AnonymousCredentials{}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// signatureError checks a request as "Create a signed AWS API request" says; "" when right.
func signatureError(r *http.Request, body []byte) string {
	const scope = "/eu-west-1/execute-api/aws4_request"
	date := r.Header.Get("X-Amz-Date")
	if at, err := time.Parse("20060102T150405Z", date); err != nil || time.Since(at).Abs() > time.Hour || r.Header.Get("X-Amz-Security-Token") != "session" {
		return "date or session"
	}
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, signature, _ := strings.Cut(list, ", Signature=")
	path, query, _ := strings.Cut(r.RequestURI, "?")
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		pairs = append(pairs, pair)
	}
	slices.Sort(pairs)
	digest := func(b string) string { sum := sha256.Sum256([]byte(b)); return hex.EncodeToString(sum[:]) }
	canonical := r.Method + "\n" + strings.ReplaceAll(path, "%", "%25") + "\n" + strings.Join(pairs, "&") + "\n"
	for name := range strings.SplitSeq(list, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + value + "\n"
	}
	canonical += "\n" + list + "\n" + digest(string(body))
	key := []byte("AWS4secret")
	for _, part := range []string{date[:8], "eu-west-1", "execute-api", "aws4_request",
		"AWS4-HMAC-SHA256\n" + date + "\n" + date[:8] + scope + "\n" + digest(canonical)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if want := hex.EncodeToString(key); want != signature {
		return "signature of\n" + canonical
	}
	return ""
}
