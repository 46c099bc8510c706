package subject

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/token"
)

// Config says how the subject of a request is found: by jwtSecretEnv, or by sources.
// ${NAME} in addresses, files, references, issuers and audiences is replaced by the environment
// variable.
type Config struct {
	// Short for one source with jwt: {algorithms: [HS256], keys: [{env: NAME}]}: the
	// environment variable with the secret of the tokens, at least 32 bytes, or several
	// keys of at least 32 bytes, one a line, or a reference to them such as
	// ssm:/banyan/prod/jwt. Default: none.
	// Example: BANYAN_JWT_SECRET
	SecretEnv string `yaml:"jwtSecretEnv"`
	// Where the subject comes from. They are tried in order until one knows the
	// request's token. Default: none.
	Sources []Source `yaml:"sources"`

	// TrustedPeers are the networks whose headers are believed.
	TrustedPeers []netip.Prefix `yaml:"-"`
	// Env reads environment variables. Default os.LookupEnv.
	Env func(string) (string, bool) `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
}

// Source is one kind of token: where it is in a request, and one of jwt, lookup and
// trusted, which say what it means.
type Source struct {
	// The header with the token. Default: Authorization, unless there is a cookie.
	// Example: X-Access-Token
	Header string `yaml:"header"`
	// The scheme before the token, or none. Default: Bearer in Authorization, none in
	// other headers.
	// Example: Token
	Scheme string `yaml:"scheme"`
	// The cookie with the token, where the header has none. Default: no cookie.
	// Example: session
	Cookie string `yaml:"cookie"`
	// The token is a JWT. Default: it is not.
	JWT *JWT `yaml:"jwt"`
	// The token is opaque, and a call says whose it is. Default: it is not.
	Lookup *Lookup `yaml:"lookup"`
	// The header is the subject itself, set by a front among trustedPeers; others'
	// are refused. Default: false.
	// Example: true
	Trusted bool `yaml:"trusted"`
	// What becomes of a write (all but GET, HEAD, OPTIONS and TRACE) on a route that goes by the
	// subject, while the look-up fails, or no key fits and some cannot be read: refuse (503
	// with Retry-After, since either side may own what is written), or legacy, as without a
	// token. Reads go to the legacy app. Default: refuse. One of: refuse, legacy.
	// Example: legacy
	WritesWhenDown string `yaml:"writesWhenDown"`
}

// What may become of writes while a source is down.
const (
	refuse = "refuse"
	legacy = "legacy"
)

// JWT verifies signed tokens.
type JWT struct {
	// The algorithms of the tokens; all HS, with secrets, or none, with public keys.
	// Required.
	// Example: [RS256]
	Algorithms []string `yaml:"algorithms"`
	// The keys. A token that names its key (kid) is verified with that one, others with
	// each that fits. Required.
	// Example: [{jwks: "https://issuer.example/.well-known/jwks.json"}]
	Keys []Key `yaml:"keys"`
	// The claim that is the subject: a name, or a JSON pointer to a nested one. A text or
	// an integer. Default: sub.
	// Example: /user/id
	Claim string `yaml:"claim"`
	// The issuer (iss) that tokens must have. Default: any.
	// Example: https://issuer.example/
	Issuer string `yaml:"issuer"`
	// The audience (aud) that tokens must have. Default: any.
	// Example: mobile
	Audience string `yaml:"audience"`
	// Whether tokens without exp are valid, for ever. Default: false.
	// Example: true
	ExpiryOptional bool `yaml:"expiryOptional"`
	// How far the issuer's clock may be off. Default: 0s.
	// Example: 30s
	Skew Duration `yaml:"skew"`
	// Whether the secrets are written in base64. Default: false.
	// Example: true
	Base64Secrets bool `yaml:"base64Secrets"`
	// The bytes that a secret must have at least. A lower number lets a weak secret of
	// the legacy app pass, whose tokens can be forged. Default: 32.
	// Example: 24
	MinSecret int `yaml:"minSecretBytes"`
}

// Key is where one or more keys are: one of env, reference, file and jwks. Changes are
// followed; a variable that has the keys themselves has none.
type Key struct {
	// The environment variable with secrets, one a line, with public keys in PEM or a
	// JWK set, or with a reference. Default: none.
	// Example: BANYAN_JWT_SECRET
	Env string `yaml:"env"`
	// The parameter or secret of AWS with the same. Default: none.
	// Example: ssm:/banyan/prod/jwt
	Reference string `yaml:"reference"`
	// The file with the same. Default: none.
	// Example: /etc/banyan/jwt.pem
	File string `yaml:"file"`
	// The address of a JWK set. It is read every 5 minutes, and for an unknown kid, at
	// most every 10 s; while it is down, the keys read last count. Default: none.
	// Example: https://issuer.example/.well-known/jwks.json
	JWKS string `yaml:"jwks"`
}

// Lookup asks the legacy app, or whoever issues the tokens, whose a token is. An answer
// of 200 to 299 has the subject; one of 500 and above, 408 or 429, and none in time is a
// failure; any other says that the token is nobody's.
type Lookup struct {
	// The address to call. Required.
	// Example: ${LEGACY_URL}/api/v1/me
	URL string `yaml:"url"`
	// The Host of the call. Default: that of url.
	// Example: api.example.com
	Host string `yaml:"host"`
	// The method. Default: GET, or POST with a parameter. One of: GET, POST.
	// Example: POST
	Method string `yaml:"method"`
	// The name under which the token is sent in a form, as OAuth's introspection wants it
	// (RFC 7662). Default: the token is sent in the header or cookie that it came in.
	// Example: token
	Parameter string `yaml:"parameter"`
	// The environment variable with the Authorization of the call, or with a reference to
	// it. Needs a parameter. Default: none.
	// Example: INTROSPECTION_AUTHORIZATION
	AuthorizationEnv string `yaml:"authorizationEnv"`
	// What of the answer's JSON is the subject: a name, or a JSON pointer. Default: sub.
	// Example: /user/id
	Subject string `yaml:"subject"`
	// How long an answer counts. Default: 1m.
	// Example: 5m
	TTL Duration `yaml:"ttl"`
	// How long it counts that a token is nobody's. Default: 5s.
	// Example: 30s
	NegativeTTL Duration `yaml:"negativeTTL"`
	// How long a call may take; then the request has no subject. After 5 failures in a
	// row there are no calls for 5 s. Default: 1s.
	// Example: 300ms
	Timeout Duration `yaml:"timeout"`
	// How many calls there may be at a time; requests above have no subject. Default: 64.
	// Example: 200
	MaxCalls int `yaml:"maxCalls"`
}

// Duration is read as time.ParseDuration does, such as 30s, and not negative.
type Duration time.Duration

// UnmarshalYAML tells a mistake at its place.
func (d *Duration) UnmarshalYAML(n ast.Node) error {
	var s string
	if err := yaml.NodeToValue(n, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return &yaml.SyntaxError{Message: fmt.Sprintf("invalid duration %q: it must be such as 500ms or 30s", s), Token: n.GetToken()}
	}
	*d = Duration(v)
	return nil
}

// FieldError is a mistake in a Config. Path is where: "$.sources[0].jwt.keys".
type FieldError struct {
	Path string
	Err  error
}

// Error says where and what.
func (e *FieldError) Error() string {
	return fmt.Sprintf("subject%s: %v", strings.TrimPrefix(e.Path, "$"), e.Err)
}

// Unwrap returns what was wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// fieldError makes a FieldError of an error, nil of nil.
func fieldError(path string, err error) error {
	if err == nil || errors.As(err, new(*FieldError)) {
		return err
	}
	return &FieldError{path, err}
}

// UnmarshalYAML reads a Config strictly. A mistake is told at its place.
func (c *Config) UnmarshalYAML(n ast.Node) error {
	type plain Config
	if err := yaml.NodeToValue(n, (*plain)(c), yaml.Strict()); err != nil {
		return err
	}
	err := c.Validate()
	if field, ok := errors.AsType[*FieldError](err); ok {
		return &yaml.SyntaxError{Message: err.Error(), Token: field.NodeIn(n).GetToken()}
	}
	return err
}

// NodeIn finds what is at Path in the node of the Config, or what is around it.
func (e *FieldError) NodeIn(n ast.Node) ast.Node {
	for path := e.Path; len(path) > 1; path = path[:max(strings.LastIndexAny(path, ".["), 1)] {
		p, err := yaml.PathString(path)
		if err != nil {
			continue
		}
		if found, err := p.FilterNode(n); err == nil && found != nil {
			return found
		}
	}
	return n
}

// Validate returns a *FieldError for what is wrong whatever the environment is.
func (c Config) Validate() error {
	switch {
	case c.SecretEnv == "" && len(c.Sources) == 0:
		return fieldError("$", errors.New("it needs jwtSecretEnv or sources"))
	case c.SecretEnv != "" && len(c.Sources) > 0:
		return fieldError("$.jwtSecretEnv", errors.New("jwtSecretEnv is short for one of the sources: use either"))
	}
	for i, s := range c.Sources {
		if err := s.validate(fmt.Sprintf("$.sources[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (s Source) validate(path string) error {
	kinds := slices.DeleteFunc([]bool{s.JWT != nil, s.Lookup != nil, s.Trusted}, func(has bool) bool { return !has })
	switch {
	case len(kinds) != 1:
		return fieldError(path, errors.New("a source needs one of jwt, lookup and trusted"))
	case s.Trusted && (s.Header == "" || s.Cookie != ""):
		return fieldError(path+".trusted", errors.New("it needs a header, and no cookie"))
	case s.Scheme != "" && s.Header == "" && s.Cookie != "":
		return fieldError(path+".scheme", errors.New("a cookie has no scheme: set a header too, or leave it out"))
	case !slices.Contains([]string{"", refuse, legacy}, s.WritesWhenDown):
		return fieldError(path+".writesWhenDown", fmt.Errorf("unknown value %q: use refuse or legacy", s.WritesWhenDown))
	case s.JWT != nil:
		return s.JWT.validate(path + ".jwt")
	case s.Lookup != nil:
		return s.Lookup.validate(path + ".lookup")
	}
	return nil
}

func (j JWT) rules() token.Rules {
	return token.Rules{
		Algorithms: j.Algorithms, Claim: j.Claim, Issuer: j.Issuer, Audience: j.Audience, ExpiryOptional: j.ExpiryOptional,
		Skew: time.Duration(j.Skew), Base64Secrets: j.Base64Secrets, MinSecret: j.MinSecret,
	}
}

func (j JWT) validate(path string) error {
	if err := j.rules().Validate(); err != nil {
		return fieldError(path+".algorithms", err)
	}
	if len(j.Keys) == 0 {
		return fieldError(path+".keys", errors.New("it needs keys"))
	}
	for i, k := range j.Keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		given := slices.DeleteFunc([]string{k.Env, k.Reference, k.File, k.JWKS}, func(s string) bool { return s == "" })
		switch {
		case len(given) != 1:
			return fieldError(at, errors.New("a key needs one of env, reference, file and jwks"))
		case k.JWKS != "" && j.rules().Symmetric():
			return fieldError(at+".jwks", errors.New("secrets cannot come from a JWK set, only public keys"))
		}
	}
	return nil
}

func (l Lookup) validate(path string) error {
	_, err := token.ParsePointer(l.Subject)
	switch {
	case l.URL == "":
		return fieldError(path+".url", errors.New("it needs a url"))
	case err != nil:
		return fieldError(path+".subject", err)
	case !slices.Contains([]string{"", http.MethodGet, http.MethodPost}, l.Method):
		return fieldError(path+".method", fmt.Errorf("unknown method %q: use GET or POST", l.Method))
	case l.Method == http.MethodGet && l.Parameter != "":
		return fieldError(path+".parameter", errors.New("it needs the method POST: a token does not belong into an address"))
	case l.AuthorizationEnv != "" && l.Parameter == "":
		return fieldError(path+".authorizationEnv", errors.New("it needs a parameter: the token itself is sent as it came"))
	case l.MaxCalls < 0:
		return fieldError(path+".maxCalls", errors.New("maxCalls must not be negative"))
	}
	return nil
}

// CheckEnvironment is Validate, and returns a *FieldError too for variables that are
// missing or have no valid keys, and for addresses that are none. It reads neither
// files nor references nor the network.
func (c Config) CheckEnvironment() error {
	_, err := c.resolve()
	return err
}

func (c Config) getenv(name string) string {
	if c.Env == nil {
		return os.Getenv(name)
	}
	v, _ := c.Env(name)
	return v
}

// resolve is the sources with the environment put in.
func (c Config) resolve() ([]Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	e := environment{lookup: c.getenv}
	if c.SecretEnv != "" {
		j := JWT{Algorithms: []string{"HS256"}, Keys: []Key{{Env: c.SecretEnv}}}
		return []Source{{JWT: &j}}, fieldError("$.jwtSecretEnv", e.checkKey(j, j.Keys[0]))
	}
	out := slices.Clone(c.Sources)
	for i := range out {
		s, path := &out[i], fmt.Sprintf("$.sources[%d]", i)
		if s.Trusted && len(c.TrustedPeers) == 0 {
			return nil, fieldError(path+".trusted", errors.New("no peer is trusted: set trustedPeers at the top of the file"))
		}
		if s.JWT != nil {
			j := *s.JWT
			j.Keys = slices.Clone(j.Keys)
			j.Issuer, j.Audience = e.expand(j.Issuer), e.expand(j.Audience)
			for n := range j.Keys {
				k := &j.Keys[n]
				k.Reference, k.File, k.JWKS = e.expand(k.Reference), e.expand(k.File), e.address(k.JWKS)
				if err := cmp.Or(e.err, e.checkKey(j, *k)); err != nil {
					return nil, fieldError(fmt.Sprintf("%s.jwt.keys[%d]", path, n), err)
				}
			}
			s.JWT = &j
		}
		if s.Lookup != nil {
			l := *s.Lookup
			l.URL = e.address(l.URL)
			if l.AuthorizationEnv != "" {
				e.variable(l.AuthorizationEnv)
			}
			s.Lookup = &l
		}
		if e.err != nil {
			return nil, fieldError(path, e.err)
		}
	}
	return out, nil
}

// environment replaces ${NAME}; err is the first failure.
type environment struct {
	lookup func(string) string
	err    error
}

func (e *environment) variable(name string) string {
	v := e.lookup(name)
	if v == "" {
		e.err = cmp.Or(e.err, fmt.Errorf("environment variable %s is not set", name))
	}
	return v
}

func (e *environment) expand(s string) string { return os.Expand(s, e.variable) }

func (e *environment) address(s string) string {
	if s == "" {
		return ""
	}
	out := e.expand(s)
	if u, err := url.Parse(out); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		e.err = cmp.Or(e.err, fmt.Errorf("invalid address %q: it must be such as https://issuer.example/keys", out))
	}
	return out
}

// checkKey refuses an invalid reference, and a variable without valid keys.
func (e *environment) checkKey(j JWT, k Key) error {
	if k.Reference != "" {
		_, err := config.ParseReference(k.Reference)
		return err
	}
	if k.Env == "" {
		return nil
	}
	value := e.variable(k.Env)
	if e.err != nil {
		return e.err
	}
	var err error
	if config.IsReference(value) {
		_, err = config.ParseReference(value)
	} else {
		_, err = j.rules().ParseKeys([]byte(value))
	}
	if err != nil {
		return fmt.Errorf("environment variable %s: %w", k.Env, err)
	}
	return nil
}
