package upstream

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Protocols that an upstream may speak.
const (
	HTTP1 = "http1" // HTTP/1.1
	H2    = "h2"    // HTTP/2 over TLS
	H2C   = "h2c"   // HTTP/2 without TLS, by prior knowledge
)

// maxAddresses bounds the addresses of one upstream.
const maxAddresses = 64

// Config is one upstream. Name and URL are required.
type Config struct {
	Name string
	// URL is scheme, host and the path that is put before the request's.
	URL *url.URL
	// Addresses are the host:port of the instances. Default: the URL's host alone. Requests
	// name the URL's host, to TLS and as Host, whichever instance gets them.
	Addresses []string
	// Protocol is HTTP1, H2 or H2C. Default HTTP1.
	Protocol string
	// Connect bounds the time for a connection, TLS included. Default 2 s.
	Connect time.Duration
	// KeepAlive is how long a connection may rest. Default 4 s, below the 5 s of Node.js; with
	// HTTP/2, 30 s.
	KeepAlive time.Duration
	// MaxConns is how many requests an address has at once with HTTP/1.1; others wait.
	// Default 0: no limit.
	MaxConns int
	// TLS is for https.
	TLS TLS
	// Sign signs requests for AWS. Nil: not.
	Sign *Sign
	// BreakAfter is how many requests in a row have to go without an answer (no connection,
	// or no first byte in the caller's time) for an address to get none for BreakFor; then
	// one request finds out. Defaults 10 and 1 s. A negative BreakAfter: never.
	BreakAfter int
	BreakFor   time.Duration
	// Health is a path that is asked for, at each address, every HealthEvery. An address that
	// did not answer within 2 s with a status below 400, twice in a row, gets requests only when no other
	// is better. Default: none is asked for, and 5 s.
	Health      string
	HealthEvery time.Duration
}

// TLS names files in PEM, which are read when the configuration is used, and anew when it is
// used again.
type TLS struct {
	// The roots that its certificate is checked against. Default: the system's.
	// Example: /etc/banyan/ca.pem
	CAFile string `yaml:"caFile"`
	// The certificate that the proxy shows. Default: none.
	// Example: /etc/banyan/proxy.pem
	CertFile string `yaml:"certFile"`
	// The key of certFile.
	// Example: /etc/banyan/proxy.key
	KeyFile string `yaml:"keyFile"`
	// The name that its certificate must have. Default: the url's host.
	// Example: orders.internal
	ServerName string `yaml:"serverName"`
}

func (c Config) connect() time.Duration     { return cmp.Or(c.Connect, 2*time.Second) }
func (c Config) breakFor() time.Duration    { return cmp.Or(c.BreakFor, time.Second) }
func (c Config) healthEvery() time.Duration { return cmp.Or(c.HealthEvery, 5*time.Second) }
func (c Config) breakAfter() int            { return cmp.Or(c.BreakAfter, 10) }

func (c Config) addresses() []string {
	if len(c.Addresses) > 0 {
		return c.Addresses
	}
	return []string{c.URL.Host}
}

// Validate reports the first mistake, files that cannot be read included.
func (c Config) Validate() error {
	if c.URL == nil || c.URL.Scheme != "http" && c.URL.Scheme != "https" || c.URL.Host == "" {
		return errors.New("url must be such as http://127.0.0.1:8080")
	}
	if len(c.Addresses) > maxAddresses {
		return fmt.Errorf("%d addresses: at most %d are allowed", len(c.Addresses), maxAddresses)
	}
	for _, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return fmt.Errorf("invalid address %q: it must be host:port", a)
		}
	}
	secure := c.URL.Scheme == "https"
	switch c.Protocol {
	case "", HTTP1:
	case H2, H2C:
		if secure != (c.Protocol == H2) {
			return fmt.Errorf("protocol %s does not go with %s: h2 needs https, h2c needs http", c.Protocol, c.URL.Scheme)
		}
	default:
		return fmt.Errorf("unsupported protocol %q: use http1, h2 or h2c", c.Protocol)
	}
	if !secure && c.TLS != (TLS{}) {
		return errors.New("tls needs a url with https")
	}
	if c.Health != "" && !strings.HasPrefix(c.Health, "/") {
		return fmt.Errorf("invalid health path %q: it must begin with a slash", c.Health)
	}
	if c.Connect < 0 || c.KeepAlive < 0 || c.MaxConns < 0 || c.BreakFor < 0 || c.HealthEvery < 0 {
		return errors.New("durations and limits must not be negative")
	}
	if _, err := c.resolve(); err != nil {
		return err
	}
	_, _, err := c.Sign.scope(c.URL.Hostname())
	return err
}

// resolved is a configuration with the content of its files: what stays the same as long as
// they do.
type resolved struct {
	Config
	ca, cert, key []byte
}

func (c Config) resolve() (resolved, error) {
	r := resolved{Config: c}
	for _, f := range []struct {
		name string
		to   *[]byte
	}{{c.TLS.CAFile, &r.ca}, {c.TLS.CertFile, &r.cert}, {c.TLS.KeyFile, &r.key}} {
		if f.name == "" {
			continue
		}
		var err error
		if *f.to, err = os.ReadFile(f.name); err != nil {
			return r, fmt.Errorf("tls: %w", err)
		}
	}
	_, err := r.tls()
	return r, err
}

// tls is the configuration of connections, nil where there is no TLS.
func (r resolved) tls() (*tls.Config, error) {
	if r.URL.Scheme != "https" {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: cmp.Or(r.TLS.ServerName, r.URL.Hostname()), ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if r.ca != nil {
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(r.ca) {
			return nil, fmt.Errorf("tls: %s has no certificate in PEM", r.TLS.CAFile)
		}
	}
	if r.cert != nil || r.key != nil {
		pair, err := tls.X509KeyPair(r.cert, r.key)
		if err != nil {
			return nil, fmt.Errorf("tls: certificate %s with key %s: %w", r.TLS.CertFile, r.TLS.KeyFile, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
