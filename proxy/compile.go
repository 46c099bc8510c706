package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Defaults of a route file.
const (
	defaultUpstreamTimeout = 30 * time.Second // for a whole response of the legacy side
	defaultForwardTimeout  = 2 * time.Second  // before a safe request falls back
)

// Compile makes a Table of a route file's bytes. name is used in errors;
// env resolves ${VAR} in upstream addresses and the names of secrets. All
// errors are reported at once, each as a FileError, joined.
func Compile(name string, src []byte, env func(string) (string, bool)) (*Table, error) {
	f, err := parseRouteFile(name, src)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(src)
	c := &compiler{name: name, env: env, table: &Table{
		File: name, Digest: hex.EncodeToString(sum[:8]), At: time.Now(), upstreams: map[string]*upstream{},
	}}
	c.header(f)
	for _, spec := range f.Routes {
		c.route(spec)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.table, nil
}

// LoadFile reads and compiles a route file with the process's environment.
func LoadFile(path string) (*Table, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read route file: %w", err)
	}
	return Compile(path, src, os.LookupEnv)
}

type compiler struct {
	name    string
	env     func(string) (string, bool)
	table   *Table
	key     []byte // of the cohorts
	errs    []error
	current at[routeSpec]
}

func (c *compiler) addError(line, col int, format string, args ...any) {
	c.errs = append(c.errs, &FileError{c.name, max(line, 1), max(col, 1), fmt.Sprintf(format, args...)})
}

func (c *compiler) header(f *routeFile) {
	if f.Version.value != 1 {
		c.addError(f.Version.line, f.Version.col, "unsupported version %d: it must be 1", f.Version.value)
	}
	for name, spec := range f.Upstreams {
		c.upstream(name, spec)
	}
	t := c.table
	if t.legacy = t.upstreams[f.Legacy.value]; t.legacy == nil {
		c.addError(f.Legacy.line, f.Legacy.col, "legacy: unknown upstream %q: use one of those under upstreams: %s",
			f.Legacy.value, names(t.upstreams))
		t.legacy = &upstream{}
	}
	if f.Subject != nil {
		s := f.Subject.SecretEnv
		secret, _ := c.env(s.value)
		var err error
		if t.subjects, err = newSubjects(secret); err != nil {
			c.addError(s.line, s.col, "environment variable %s: %v", s.value, err)
			t.subjects = &subjects{} // it is in the file: report its error only once
		}
	}
	if f.Cohorts != nil {
		k := f.Cohorts.KeyEnv
		v, _ := c.env(k.value)
		if c.key = []byte(v); len(v) < 16 {
			c.addError(k.line, k.col, "environment variable %s: the cohort key must have at least 16 bytes, not %d", k.value, len(v))
			c.key = []byte("given, though unusable")
		}
	}
	for _, p := range f.Trusted {
		prefix, err := netip.ParsePrefix(p.value)
		if err != nil {
			c.addError(p.line, p.col, "invalid network %q: it must be such as 10.0.0.0/8", p.value)
		}
		t.trusted = append(t.trusted, prefix)
	}
	t.errorBody = c.template(f.Error)
}

func (c *compiler) upstream(name string, spec at[upstreamSpec]) {
	raw := spec.value.URL
	c.table.upstreams[name] = &upstream{name: name} // also when its address is invalid: that is reported once
	if !raw.isSet() {
		c.addError(spec.line, spec.col, "upstream %q needs a url", name)
		return
	}
	address, missing := c.expand(raw.value)
	if missing != "" {
		c.addError(raw.line, raw.col, "environment variable %s is not set", missing)
		return
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		c.addError(raw.line, raw.col, "invalid address %q: it must be such as http://127.0.0.1:8080", address)
		return
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	timeout := time.Duration(spec.value.Timeout.value)
	if timeout == 0 {
		timeout = defaultUpstreamTimeout
	}
	c.table.upstreams[name] = &upstream{name: name, url: u, timeout: timeout}
}

// expand replaces ${NAME}; missing is the first name that is not set.
func (c *compiler) expand(s string) (out, missing string) {
	out = os.Expand(s, func(name string) string {
		v, ok := c.env(name)
		if !ok && missing == "" {
			missing = name
		}
		return v
	})
	return out, missing
}

func (c *compiler) route(spec at[routeSpec]) {
	c.current = spec
	s := spec.value
	r := &route{
		name: s.Name.value, method: strings.ToUpper(s.Method.value), mode: mode(s.Mode.value), percent: s.Percent.value,
		timeout: time.Duration(s.Timeout.value), follows: s.ReadsFollowWrites, public: s.Public,
		newMethod: strings.ToUpper(s.Request.Method.value),
	}
	if r.name == "" {
		c.addError(spec.line, spec.col, "the route needs a name")
	}
	if slices.ContainsFunc(c.table.routes, func(o *route) bool { return o.name == r.name }) {
		c.addError(s.Name.line, s.Name.col, "duplicate route name %q", r.name)
	}
	r.pattern = c.pattern(s.Path)
	c.checkReachable(r)
	c.target(r, s)
	c.fallback(r, s)
	c.mapping(r, s)
	c.table.routes = append(c.table.routes, r)
}

func (c *compiler) target(r *route, s routeSpec) {
	if r.timeout == 0 {
		r.timeout = defaultForwardTimeout
	}
	switch r.mode {
	case modeLegacy:
		return
	case modeForward, modeSplit:
	default:
		c.addError(s.Mode.line, s.Mode.col, "unknown mode %q: use legacy, forward or split", r.mode)
		return
	}
	if c.table.subjects == nil && r.needsSubject() {
		c.addError(s.Mode.line, s.Mode.col, "mode %s needs the subject: set subject.jwtSecretEnv at the top of the file, or public: true", r.mode)
	}
	if r.to = c.table.upstreams[s.Upstream.value]; r.to == nil {
		line, col := s.Upstream.line, s.Upstream.col
		if !s.Upstream.isSet() {
			line, col = c.current.line, c.current.col
		}
		c.addError(line, col, "unknown upstream %q: use one of those under upstreams: %s", s.Upstream.value, names(c.table.upstreams))
	}
	if r.mode != modeSplit {
		if s.Percent.isSet() {
			c.addError(s.Percent.line, s.Percent.col, "percent is for mode split only")
		}
		return
	}
	if !s.Percent.isSet() || r.percent < 0 || r.percent > 100 {
		c.addError(max(s.Percent.line, s.Mode.line), max(s.Percent.col, 1), "mode split needs a percent from 0 to 100")
	}
	if len(c.key) == 0 {
		c.addError(s.Mode.line, s.Mode.col, "mode split needs a key: set cohorts.keyEnv at the top of the file")
	}
	r.cohort = cohort{key: c.key, name: s.Cohort.value}
	if r.cohort.name == "" {
		r.cohort.name = r.name
	}
}

func (c *compiler) fallback(r *route, s routeSpec) {
	switch f := s.Fallback; f.value {
	case "":
		r.fallback = isSafe(r.method)
	case "none":
	case "legacy":
		if r.fallback = isSafe(r.method); !r.fallback {
			c.addError(f.line, f.col, "only GET and HEAD can fall back: a %s may have had its effect already", orAny(r.method))
		}
	default:
		c.addError(f.line, f.col, "unknown fallback %q: use legacy or none", f.value)
	}
	if r.follows && !r.fallback {
		c.addError(c.current.line, c.current.col, "readsFollowWrites needs fallback: legacy, which has the write")
	}
}

func (c *compiler) mapping(r *route, s routeSpec) {
	if p := s.Request.Path; p.isSet() {
		r.newPath = c.newPath(p, r.pattern)
	}
	if r.newMethod != "" && isSafe(r.method) != isSafe(r.newMethod) {
		c.addError(s.Request.Method.line, s.Request.Method.col, "a %s cannot become a %s: one of them may have effects", orAny(r.method), r.newMethod)
	}
	if q := s.Request.Query; q != nil {
		t, ok := c.template(q).(object)
		if !ok {
			line, col := lineAndColumn(q)
			c.addError(line, col, "query must be a mapping of parameter names to templates")
		}
		for _, m := range t {
			r.query = append(r.query, queryRule{name: strings.Trim(string(m.key), `"`), value: m.value})
		}
	}
	r.body = c.template(s.Request.Body)
	r.answer = c.template(s.Response.Body)
	r.failure = c.template(s.Response.Error)
}

func (c *compiler) template(n ast.Node) template {
	if n == nil {
		return nil
	}
	t, err := compileTemplate(n)
	if err != nil {
		c.errs = append(c.errs, fileError(c.name, err))
		return nil
	}
	return t
}

func (c *compiler) pattern(p at[string]) pattern {
	if !strings.HasPrefix(p.value, "/") {
		c.addError(max(p.line, c.current.line), max(p.col, c.current.col), "path %q must begin with a slash", p.value)
		return nil
	}
	var out pattern
	seen := map[string]bool{}
	parts := strings.Split(p.value[1:], "/")
	if p.value == "/" {
		parts = nil
	}
	for i, part := range parts {
		seg := segment{literal: part}
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") {
			seg = segment{param: part[1 : len(part)-1]}
			seg.param, seg.rest = strings.CutSuffix(seg.param, "...")
		}
		switch {
		case seg.literal == "" && seg.param == "", seg.literal == ".", seg.literal == "..", strings.ContainsAny(seg.literal+seg.param, "{}"):
			c.addError(p.line, p.col, "path %q: invalid segment %q: use text, {name} or, at the end, {name...}", p.value, part)
		case seg.rest && i != len(parts)-1:
			c.addError(p.line, p.col, "path %q: {%s...} must be the last segment", p.value, seg.param)
		case seg.param != "" && seen[seg.param], seg.param == "subject":
			c.addError(p.line, p.col, "path %q: the name %q is used already", p.value, seg.param)
		}
		seen[seg.param] = true
		out = append(out, seg)
	}
	return out
}

// newPath reads /v1/users/{id}: names come from the old path, and {subject}.
func (c *compiler) newPath(p at[string], old pattern) []pathPart {
	known := map[string]bool{"subject": true}
	for _, s := range old {
		known[s.param] = true
	}
	var out []pathPart
	rest := p.value
	if !strings.HasPrefix(rest, "/") {
		c.addError(p.line, p.col, "path %q must begin with a slash", p.value)
	}
	for rest != "" {
		literal, after, found := strings.Cut(rest, "{")
		out = append(out, pathPart{literal: literal})
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || name == "" || !known[name] {
			c.addError(p.line, p.col, "path %q: unknown {%s}: use a name of the old path, or {subject}", p.value, name)
			break
		}
		out = append(out, pathPart{param: name})
		rest = tail
	}
	return out
}

// checkReachable reports a route that an earlier one hides completely.
func (c *compiler) checkReachable(r *route) {
	for _, o := range c.table.routes {
		if (o.method == "" || o.method == r.method) && o.pattern.covers(r.pattern) {
			c.addError(c.current.line, c.current.col, "route %q is never reached: %q above matches everything that it matches", r.name, o.name)
			return
		}
	}
}

func (p pattern) covers(q pattern) bool {
	for i, s := range p {
		if s.rest {
			return true
		}
		if i >= len(q) || q[i].rest || (s.param == "" && (q[i].param != "" || q[i].literal != s.literal)) {
			return false
		}
	}
	return len(p) == len(q)
}

func orAny(method string) string {
	if method == "" {
		return "request of any method"
	}
	return method
}

func names[V any](m map[string]V) string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
