package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/http1"
)

// Of connections by HTTP/2: how long one may be silent before it is asked whether it lives,
// how long that may take, and how long it may rest.
const (
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
	h2Rest      = 30 * time.Second
)

func newTransport(r resolved) transport {
	secure, _ := r.tls() // resolve has reported an error
	if r.Protocol == "" || r.Protocol == HTTP1 {
		return &http1.Transport{TLS: secure, ConnectTimeout: r.connect(), IdleTimeout: r.KeepAlive, MaxConns: r.MaxConns}
	}
	t := &h2{}
	t.Protocols = &http.Protocols{}
	t.Protocols.SetHTTP2(secure != nil)
	t.Protocols.SetUnencryptedHTTP2(secure == nil)
	t.DisableCompression = true // bytes pass as they are
	t.IdleConnTimeout = cmp.Or(r.KeepAlive, h2Rest)
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	t.MaxResponseHeaderBytes = 64 << 10
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, address, r.connect(), nil)
	}
	if secure != nil {
		secure.NextProtos = []string{"h2"}
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, address, r.connect(), secure)
		}
	}
	return t
}

// dial makes a connection whose failure is told as http1 tells it.
func dial(ctx context.Context, address string, within time.Duration, secure *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || secure == nil {
		return c, connectError(address, err)
	}
	t := tls.Client(c, secure)
	if err = t.HandshakeContext(ctx); err == nil && t.ConnectionState().NegotiatedProtocol != "h2" {
		err = errors.New("the server does not speak HTTP/2 (ALPN h2)")
	}
	if err != nil {
		c.Close()
		return nil, connectError(address, err)
	}
	return t, nil
}

func connectError(address string, err error) error {
	if err == nil {
		return nil
	}
	return &http1.ConnectError{Address: address, Err: err}
}

// h2 is net/http's client for HTTP/2, which sends again only what the protocol says was not
// processed, with http1's errors.
type h2 struct{ http.Transport }

// RoundTrip implements http.RoundTripper.
func (t *h2) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &watchedBody{ReadCloser: r.Body}
	out := r.WithContext(r.Context())
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = body
	}
	if _, given := r.Header["User-Agent"]; !given {
		out.Header = maps.Clone(r.Header)
		if out.Header == nil {
			out.Header = http.Header{}
		}
		out.Header["User-Agent"] = nil // or net/http invents one
	}
	resp, err := t.Transport.RoundTrip(out)
	switch {
	case err == nil:
		return resp, nil
	case errors.As(err, new(*http1.ConnectError)):
		return nil, err
	case r.Context().Err() != nil:
		return nil, context.Cause(r.Context())
	}
	if failed := body.failed.Load(); failed != nil {
		return nil, &http1.RequestError{Err: *failed}
	}
	return nil, &http1.CutError{Address: r.URL.Host, Err: err}
}

// Close closes the connections without a request. Others end after h2Rest without one.
func (t *h2) Close() { t.CloseIdleConnections() }

// watchedBody keeps why it could not be read.
type watchedBody struct {
	io.ReadCloser
	failed atomic.Pointer[error]
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}
