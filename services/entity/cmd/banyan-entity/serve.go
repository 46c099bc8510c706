package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/entity/gateway"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// minToken is the least length of a bearer token, in bytes.
const minToken = 32

type serveCommand struct {
	backbone.Flags
	Tokens    string        `help:"Bearer tokens of clients, one on each line, of at least 32 bytes: the text, ssm:/name or secret:name." env:"ENTITY_TOKENS"`
	TokenFile string        `help:"File with them, instead, which is read with each request." env:"ENTITY_TOKEN_FILE" type:"existingfile" placeholder:"FILE"`
	TLSCert   string        `help:"Certificate of the server, PEM; serves TLS." name:"tls-cert" env:"ENTITY_TLS_CERT" type:"existingfile" placeholder:"FILE"`
	TLSKey    string        `help:"Its key, PEM." name:"tls-key" env:"ENTITY_TLS_KEY" type:"existingfile" placeholder:"FILE"`
	ClientCA  string        `help:"Authorities of the certificates that clients must have, PEM." name:"client-ca" env:"ENTITY_CLIENT_CA" type:"existingfile" placeholder:"FILE"`
	MaxBody   int64         `help:"Maximum size of a request's body, in bytes." default:"4194304" env:"ENTITY_MAX_BODY"`
	Timeout   time.Duration `help:"How long a request may take, waiting for a change of owner included." default:"8s" env:"ENTITY_TIMEOUT"`
}

// Validate is called by kong.
func (c *serveCommand) Validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	_, isSocket := strings.CutPrefix(c.Listen, "unix:")
	switch {
	case c.Plan == "":
		return errors.New("--plan is required: the entity plan, a file or ssm:/name")
	case (c.TLSCert == "") != (c.TLSKey == ""), c.ClientCA != "" && c.TLSCert == "":
		return errors.New("--tls-cert and --tls-key go together, and --client-ca needs both")
	case c.Tokens != "" && c.TokenFile != "":
		return errors.New("--tokens and --token-file exclude each other")
	case c.MaxBody < 1<<10 || c.MaxBody > 64<<20 || c.Timeout < 100*time.Millisecond || c.Timeout > 50*time.Second:
		return errors.New("--max-body must be 1024 to 67108864 bytes, and --timeout 100ms to 50s")
	case isSocket || c.Tokens != "" || c.TokenFile != "" || c.ClientCA != "":
	case err != nil:
		return fmt.Errorf("--listen must be host:port or unix:/path, not %s", c.Listen)
	case host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("--listen %s would let everybody in who reaches it: give --tokens, --token-file or --client-ca, "+
			"or listen on loopback, such as 127.0.0.1:8084, or on unix:/path", c.Listen)
	}
	return c.Flags.Validate()
}

// Run is called by kong.
func (c *serveCommand) Run(ctx context.Context, log *slog.Logger) error {
	settings := config.NewSettings()
	defer settings.Close()
	tokens, err := c.tokens(ctx, settings)
	if err != nil {
		return err
	}
	c.Bind = c.bind
	return c.Serve(ctx, log, "banyan-entity", nil, func(b *backbone.Backbone) (http.Handler, error) {
		mux, err := gateway.New(gateway.Config{Store: b.Store, Timeout: c.Timeout, MaxBody: c.MaxBody, Log: log})
		if err != nil || tokens == nil {
			return mux, err
		}
		return guarded{mux, tokens}, nil
	})
}

// bind makes the API's server.
func (c *serveCommand) bind(api http.Handler) (*serving.Server, error) {
	if path, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		return serving.ListenUnix("--listen", path, 0o600, api)
	}
	server, err := serving.Listen("--listen", c.Listen, api)
	if err != nil || c.TLSCert == "" {
		return server, err
	}
	cfg, err := c.tls()
	if err != nil {
		server.Close()
		return nil, err
	}
	server.TLS(cfg)
	return server, nil
}

func (c *serveCommand) tls() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("read --tls-cert %s with --tls-key %s: %w", c.TLSCert, c.TLSKey, err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if c.ClientCA == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, err
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--client-ca %s has no certificate in PEM", c.ClientCA)
	}
	return cfg, nil
}

// tokens returns what gives the tokens in force, nil where clients need none.
func (c *serveCommand) tokens(ctx context.Context, settings *config.Settings) (func(context.Context) (string, error), error) {
	if c.Tokens == "" && c.TokenFile == "" {
		return nil, nil
	}
	get := func(context.Context) (string, error) {
		text, err := os.ReadFile(c.TokenFile)
		return string(text), err
	}
	if c.Tokens != "" {
		setting, err := settings.Secret(ctx, "--tokens", c.Tokens)
		if err != nil {
			return nil, err
		}
		get = func(ctx context.Context) (string, error) {
			secret, err := setting.Get(ctx)
			return secret.Reveal(), err
		}
	}
	text, err := get(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the bearer tokens: %w", err)
	}
	all := strings.Fields(text)
	for _, token := range all {
		if len(token) < minToken {
			return nil, fmt.Errorf("a bearer token has %d bytes, and must have at least %d", len(token), minToken)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no bearer token", cmp.Or(c.TokenFile, "--tokens"))
	}
	return get, nil
}

// guarded is an API for clients that have a token.
type guarded struct {
	*httpjson.Mux
	tokens func(context.Context) (string, error)
}

var errToken = errors.New("a valid bearer token is required")

var problems = httpjson.Problems{httpjson.WithDetail(errToken, "unauthorized", "Unauthorized", http.StatusUnauthorized)}

// ServeHTTP implements http.Handler.
func (g guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := g.admit(r); err != nil {
		httpjson.WriteProblem(w, problems.Of(err))
		return
	}
	g.Mux.ServeHTTP(w, r)
}

func (g guarded) admit(r *http.Request) error {
	text, err := g.tokens(r.Context())
	if err != nil {
		return err
	}
	kind, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return errToken
	}
	hash := sha256.Sum256([]byte(given))
	found := 0
	for token := range strings.FieldsSeq(text) {
		if known := sha256.Sum256([]byte(token)); len(token) >= minToken {
			found |= subtle.ConstantTimeCompare(hash[:], known[:])
		}
	}
	if found == 0 {
		return errToken
	}
	return nil
}
