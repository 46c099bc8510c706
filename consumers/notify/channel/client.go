package channel

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Of NewClient: dialing and TLS, connections kept per host, and how much of an error's body is read.
const (
	dialTimeout     = 10 * time.Second
	idleConnections = 64
	maxBody         = 16 << 10
)

// NewClient makes a client that speaks HTTP/2 where the server does, follows no
// redirects, and is fit for [Observe]. tls and control may be nil; control is that of
// [net.Dialer].
func NewClient(config *tls.Config, control func(network, address string) error) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if control != nil {
		dialer.Control = func(network, address string, _ syscall.RawConn) error { return control(network, address) }
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: Transport{RoundTripper: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
			TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: time.Minute,
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: dialTimeout}, // finds dead connections
		}},
	}
}

// ReadBody reads the beginning of a response's body and closes it.
func ReadBody(r *http.Response) []byte {
	defer r.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody)) // what is missing is not understood, and that is the answer then
	return body
}
