package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/mapping"
	"github.com/banyan-fig/banyan/proxy/shadow"
	"github.com/banyan-fig/banyan/proxy/upstream"
	"github.com/banyan-fig/banyan/proxy/written"
)

// Defaults of a route file.
const (
	defaultFirstByte    = 30 * time.Second
	defaultSafeForward  = 2 * time.Second // before a safe request falls back
	defaultIdle         = time.Minute
	defaultMaxMapped    = 1 << 20
	defaultMaxAge       = 10 * time.Minute // of a position
	largestMaxMapped    = 64 << 20
	minCohortKey        = 16
	maxProblemsReported = 50
)

// Compile makes a Table of a route file's bytes. name is used in errors;
// env resolves ${VAR} in upstream addresses and the names of secrets. All
// errors are reported at once, each as a FileError, joined.
func Compile(name string, src []byte, env func(string) (string, bool)) (*Table, error) {
	f, err := parseRouteFile(name, src)
	if err != nil {
		return nil, err
	}
	c := &compiler{name: name, env: env, table: &Table{
		File: name, Digest: Digest(src), At: time.Now(), Upstreams: map[string]*Upstream{}, MaxMapped: defaultMaxMapped,
		hosts: map[string]*tree{}, anyHost: newTree(), byName: map[string]*Route{},
	}}
	c.header(f)
	for _, spec := range f.Routes {
		c.route(spec)
	}
	if len(c.errs) > maxProblemsReported {
		c.errs = append(c.errs[:maxProblemsReported], fmt.Errorf("and %d more", len(c.errs)-maxProblemsReported))
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.table, nil
}

// Digest identifies the bytes of a route file; a Table has that of its own.
func Digest(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:8])
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
	current place // of the route
}

func (c *compiler) addError(p place, format string, args ...any) {
	c.errs = append(c.errs, &FileError{c.name, max(p.line, 1), max(p.col, 1), fmt.Sprintf(format, args...)})
}

func (c *compiler) header(f *routeFile) {
	if f.Version.value != 1 {
		c.addError(f.Version.place, "unsupported version %d: it must be 1", f.Version.value)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Upstreams)) {
		c.upstream(name, f.Upstreams[name])
	}
	t := c.table
	if t.Legacy = t.Upstreams[f.Legacy.value]; t.Legacy == nil {
		c.addError(f.Legacy.place, "legacy: unknown upstream %q: use one of those under upstreams: %s",
			f.Legacy.value, names(t.Upstreams))
		t.Legacy = &Upstream{}
	}
	if f.Cohorts != nil {
		k := f.Cohorts.KeyEnv
		v, _ := c.env(k.value)
		if c.key = []byte(v); len(v) < minCohortKey {
			c.addError(k.place, "environment variable %s: the cohort key must have at least %d bytes, not %d", k.value, minCohortKey, len(v))
			c.key = []byte("given, though unusable")
		}
	}
	if f.Client != nil {
		c.client(f.Client)
	}
	if m := f.MaxMapped; m.isSet() {
		if t.MaxMapped = int64(m.value); m.value < 1 || m.value > largestMaxMapped {
			c.addError(m.place, "invalid maxMappedBytes %d: it must be 1 to %d", m.value, largestMaxMapped)
		}
	}
	for _, p := range f.Trusted {
		prefix, err := netip.ParsePrefix(p.value)
		if err != nil {
			c.addError(p.place, "invalid network %q: it must be such as 10.0.0.0/8", p.value)
		}
		t.Trusted = append(t.Trusted, prefix)
	}
	if f.Subject != nil {
		t.Subject = &f.Subject.value
		t.Subject.TrustedPeers, t.Subject.Env = t.Trusted, c.env
		if err := t.Subject.CheckEnvironment(); err != nil {
			c.addError(f.Subject.place, "%v", err)
		}
	}
	if f.Positions != nil {
		c.positions(*f.Positions)
	}
	t.Error = c.template(f.Error)
}

func (c *compiler) positions(spec at[positionsSpec]) {
	s := spec.value
	value, _ := c.env(s.KeysEnv.value)
	p := &written.ClientsConfig{
		Cookie: s.Cookie.value, Header: http.CanonicalHeaderKey(s.Header.value), KeysName: s.KeysEnv.value, Keys: value,
		MaxAge: cmp.Or(time.Duration(s.MaxAge.value), defaultMaxAge),
	}
	c.table.Positions, c.table.Everywhere = p, s.Everywhere.value || !s.Everywhere.isSet()
	if p.Cookie == "" && p.Header == "" || c.table.Subject == nil {
		c.addError(spec.place, "positions need a cookie or a header, and the subject at the top of the file")
	}
	for _, name := range []at[string]{s.Cookie, s.Header} {
		if name.isSet() && (&http.Cookie{Name: name.value}).Valid() != nil { // a token of HTTP, as a header's
			c.addError(name.place, "invalid name %q: it must be such as banyan_position", name.value)
		}
	}
	if err := written.CheckKeys(value); err != nil {
		c.addError(cmp.Or(s.KeysEnv.place, spec.place), "environment variable %s: %v", p.KeysName, err)
	}
}

func (c *compiler) client(spec *clientSpec) {
	v := &ClientVersion{Header: http.CanonicalHeaderKey(spec.Header.value)}
	c.table.Client = v
	if v.Header == "" {
		c.addError(spec.Pattern.place, "client needs a header, such as User-Agent")
	}
	if !spec.Pattern.isSet() {
		return
	}
	var err error
	if v.Pattern, err = regexp.Compile(spec.Pattern.value); err != nil || v.Pattern.NumSubexp() != 1 {
		c.addError(spec.Pattern.place, "invalid pattern %q: it must be a regular expression with one group, such as ^Shop/([0-9.]+)",
			spec.Pattern.value)
	}
}

func (c *compiler) upstream(name string, spec at[upstreamSpec]) {
	s := spec.value
	u := &Upstream{Name: name, Timeouts: timeouts(s.Timeouts, Timeouts{FirstByte: defaultFirstByte, Idle: defaultIdle})}
	c.table.Upstreams[name] = u // also when its address is invalid: that is reported once
	u.Config = upstream.Config{
		Name: name, Addresses: s.Addresses, Protocol: s.Protocol, Connect: time.Duration(s.Connect.value), KeepAlive: time.Duration(s.KeepAlive.value),
		MaxConns: s.MaxConnections.value, BreakAfter: s.BreakAfter.value, BreakFor: time.Duration(s.BreakFor.value), Health: s.Health,
		HealthEvery: time.Duration(s.HealthEvery.value), TLS: s.TLS, Sign: s.Sign,
	}
	if !s.URL.isSet() {
		c.addError(spec.place, "upstream %q needs a url", name)
		return
	}
	address, missing := c.expand(s.URL.value)
	if missing != "" {
		c.addError(s.URL.place, "environment variable %s is not set", missing)
		return
	}
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" || parsed.RawQuery != "" || parsed.User != nil {
		c.addError(s.URL.place, "invalid address %q: it must be such as http://127.0.0.1:8080", address)
		return
	}
	parsed.Path, parsed.RawPath = strings.TrimSuffix(parsed.Path, "/"), ""
	u.Config.URL = parsed
	if err := u.Config.Validate(); err != nil {
		c.addError(spec.place, "upstream %q: %v", name, err)
	}
}

func timeouts(spec timeoutsSpec, standard Timeouts) Timeouts {
	for _, one := range []struct {
		given at[duration]
		to    *time.Duration
	}{{spec.FirstByte, &standard.FirstByte}, {spec.Idle, &standard.Idle}, {spec.Total, &standard.Total}} {
		if one.given.isSet() {
			*one.to = time.Duration(one.given.value)
		}
	}
	return standard
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
	c.current = spec.place
	s := spec.value
	r := &Route{
		Name: s.Name.value, Mode: Mode(s.Mode.value), Percent: s.Percent.value, Follows: s.ReadsFollowWrites, Public: s.Public,
		index: len(c.table.Routes), path: s.Path.value, host: hostOf(s.Host.value), cohort: cohort{key: c.key, name: s.Cohort.value},
	}
	if r.Name == "" {
		c.addError(spec.place, "the route needs a name")
	}
	if c.table.byName[r.Name] != nil {
		c.addError(s.Name.place, "duplicate route name %q", r.Name)
	}
	if r.cohort.name == "" {
		r.cohort.name = r.Name
	}
	c.methods(r, s)
	r.pattern = c.pattern(s.Path)
	c.match(r, s.Match.value)
	c.target(r, s)
	c.fallback(r, s)
	if r.Positions = c.table.Everywhere; s.Positions.isSet() {
		r.Positions = s.Positions.value
		if r.Positions && c.table.Positions == nil {
			c.addError(s.Positions.place, "positions: true needs positions at the top of the file, which says how clients keep them")
		}
	}
	c.pins(r, s.Pin, s.Upstream.isSet())
	c.mapping(r, s)
	c.watching(r, s)
	c.insert(r)
}

// insert puts the route behind those before it.
func (c *compiler) insert(r *Route) {
	t := c.table
	trees := t.anyHost
	if r.host != "" {
		if trees = t.hosts[r.host]; trees == nil {
			trees = newTree()
			t.hosts[r.host] = trees
		}
	}
	if hiding := cmp.Or(t.anyHost.hides(r.pattern, r), trees.hides(r.pattern, r)); hiding != nil {
		c.addError(c.current, "route %q is never reached: %q above matches everything that it matches", r.Name, hiding.Name)
	}
	trees.add(r)
	t.Routes = append(t.Routes, r)
	t.byName[r.Name] = r
}

func (c *compiler) methods(r *Route, s routeSpec) {
	all := s.Methods
	if s.Method.isSet() {
		all = append(slices.Clip(all), s.Method)
	}
	if s.Method.isSet() && len(s.Methods) > 0 {
		c.addError(s.Method.place, "method and methods cannot be combined")
	}
	for _, m := range all {
		name := strings.ToUpper(m.value)
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' }) {
			c.addError(m.place, "invalid method %q: it must be such as GET", m.value)
		}
		r.methods = append(r.methods, name)
	}
}

func (c *compiler) match(r *Route, m matchSpec) {
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		r.match.headers = append(r.match.headers, condition{http.CanonicalHeaderKey(name), newWildcard(m.Headers[name].value)})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Query)) {
		r.match.query = append(r.match.query, condition{name, newWildcard(m.Query[name].value)})
	}
	if !m.Client.isSet() {
		return
	}
	var ok bool
	if r.match.version, ok = parseVersionRange(m.Client.value); !ok {
		c.addError(m.Client.place, "invalid version %q: it must be bounds such as >=4.2 <5", m.Client.value)
	}
	if r.match.client = c.table.Client; r.match.client == nil {
		c.addError(m.Client.place, "match.client needs client at the top of the file, which says what header has the version")
	}
}

func (c *compiler) pins(r *Route, p pinSpec, upstream bool) {
	for mode, all := range map[Mode][]at[string]{Forward: p.Forward, Legacy: p.Legacy} {
		for _, s := range all {
			if _, twice := r.pinned[s.value]; twice || s.value == "" || !upstream {
				c.addError(s.place, "invalid pin %q: it must be one subject, once, of a route with an upstream", s.value)
			}
			if r.pinned == nil {
				r.pinned = map[string]Mode{}
			}
			r.pinned[s.value] = mode
		}
	}
}

func (c *compiler) target(r *Route, s routeSpec) {
	t := c.table
	modes := append([]at[string]{s.Mode}, c.follow(r, s)...)
	var forwards, splits at[string]
	for _, m := range modes {
		switch Mode(m.value) {
		case Legacy:
			continue
		case Split:
			splits = m
		case Forward:
		default:
			if !m.isSet() {
				c.addError(c.current, "the route needs a mode: legacy, forward or split")
				return
			}
			c.addError(m.place, "unknown mode %q: use legacy, forward or split", m.value)
			return
		}
		if !forwards.isSet() {
			forwards = m
		}
	}
	if r.To = t.Upstreams[s.Upstream.value]; r.To == nil && (forwards.isSet() || s.Upstream.isSet()) {
		c.addError(cmp.Or(s.Upstream.place, c.current), "unknown upstream %q: use one of those under upstreams: %s", s.Upstream.value, names(t.Upstreams))
	}
	if !forwards.isSet() {
		return
	}
	if t.Subject == nil && !r.Public {
		c.addError(forwards.place, "mode %s needs the subject: set subject at the top of the file, or public: true", forwards.value)
	}
	if !splits.isSet() {
		if s.Percent.isSet() {
			c.addError(s.Percent.place, "percent is for mode split only")
		}
		return
	}
	if !s.Percent.isSet() || !(r.Percent >= 0 && r.Percent <= 100) {
		c.addError(cmp.Or(s.Percent.place, place{splits.line, 1}), "mode split needs a percent from 0 to 100")
	}
	if len(c.key) == 0 {
		c.addError(splits.place, "mode split needs a key: set cohorts.keyEnv at the top of the file")
	}
}

// onlySafe reports whether all methods of the route are safe.
func (r *Route) onlySafe() bool {
	return len(r.methods) > 0 && !slices.ContainsFunc(r.methods, func(m string) bool { return !IsSafe(m) })
}

func (c *compiler) fallback(r *Route, s routeSpec) {
	switch f := s.Fallback; f.value {
	case "":
		r.Fallback = r.onlySafe()
	case "none":
	case "legacy":
		if r.Fallback = r.onlySafe(); !r.Fallback {
			c.addError(f.place, "only GET and HEAD can fall back: another method may have had its effect already")
		}
	default:
		c.addError(f.place, "unknown fallback %q: use legacy or none", f.value)
	}
	if r.Follows && !r.Fallback {
		c.addError(c.current, "readsFollowWrites needs fallback: legacy, which has the write")
	}
	standard := c.table.Legacy.Timeouts
	if r.To != nil {
		standard = r.To.Timeouts
		if r.Fallback {
			standard.FirstByte = min(standard.FirstByte, defaultSafeForward)
		}
	}
	r.Timeouts = timeouts(s.Timeouts, standard)
}

func (c *compiler) mapping(r *Route, s routeSpec) {
	var in mapping.Context
	for _, segment := range r.pattern {
		if segment.param != "" {
			in.Params = append(in.Params, segment.param)
			if segment.rest {
				in.Rest = segment.param
			}
		}
	}
	var err error
	if s.Request != nil {
		r.Request, err = mapping.CompileRequest(s.Request.value, in)
		c.addErrors(err)
		differs := func(m string) bool { return IsSafe(m) != IsSafe(r.Request.Method()) }
		if to := s.Request.value.Method; to.Node != nil && slices.ContainsFunc(orAny(r.methods), differs) {
			c.addError(placeOf(to.Node), "a %s cannot become a %s: one of them may have effects", strings.Join(orAny(r.methods), ", "), r.Request.Method())
		}
	}
	if s.Response != nil {
		r.Response, err = mapping.CompileResponse(s.Response.value, in)
		c.addErrors(err)
	}
}

// watching compiles what looks at the route's answers.
func (c *compiler) watching(r *Route, s routeSpec) {
	var rules *diff.Rules
	r.Secrets = rules.Secrets() // also of what is recorded of a route without an upstream
	if r.To == nil {
		given := s.Shadow != nil || s.Diff != nil || s.Gate != nil || s.Guard != nil
		if given && !s.Upstream.isSet() {
			c.addError(c.current, "shadow, diff, gate and guard need an upstream")
		}
		return
	}
	if s.Diff != nil {
		var err error
		if rules, err = diff.Compile(s.Diff.value); err != nil {
			c.addError(s.Diff.place, "diff: %v", err)
		}
	}
	r.Secrets = rules.Secrets()
	if s.Gate != nil {
		r.Gate = s.Gate.value
	}
	if s.Shadow != nil {
		var err error
		if r.Shadow, err = shadow.NewRoute(r.Name, s.Shadow.value, rules, c.compared(r, s)); err != nil {
			c.addError(s.Shadow.place, "%v", err)
		}
	}
	if s.Guard != nil {
		r.Guard = &s.Guard.value
		if err := r.Guard.Validate(); err != nil {
			c.addError(s.Guard.place, "guard: %v", err)
		}
		if r.Guard.Diffs > 0 && s.Shadow == nil {
			c.addError(s.Guard.place, "guard: diffs needs shadow, which compares")
		}
	}
}

// compared changes with all of the file that decides what is compared: the requests, both
// sides, the mapping and the rules.
func (c *compiler) compared(r *Route, s routeSpec) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %t %d", []string{
		fmt.Sprint(c.table.Legacy.Config.URL, " ", r.To.Config.URL), fmt.Sprint(r.methods), r.host, r.path, s.Match.text, s.Request.quote(),
		s.Response.quote(), s.Diff.quote(), s.Shadow.value.VersionHeader,
	}, r.Public, r.Gate.Round))
	return hex.EncodeToString(sum[:8])
}

// orAny stands for the methods of a route that matches all.
func orAny(methods []string) []string {
	if len(methods) == 0 {
		return []string{http.MethodGet, http.MethodPost}
	}
	return methods
}

// addErrors adds each of the errors that err joins.
func (c *compiler) addErrors(err error) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range all.Unwrap() {
			c.addErrors(e)
		}
	} else if err != nil {
		c.errs = append(c.errs, ErrorIn(c.name, err))
	}
}

func (c *compiler) template(n ast.Node) *mapping.Template {
	if n == nil {
		return nil
	}
	t, err := mapping.Compile(n, mapping.Context{Answer: true})
	c.addErrors(err)
	return t
}

func (c *compiler) pattern(p at[string]) pattern {
	switch {
	case !p.isSet():
		c.addError(c.current, "the route needs a path")
		return nil
	case !strings.HasPrefix(p.value, "/"):
		c.addError(p.place, "path %q must begin with a slash", p.value)
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
			c.addError(p.place, "path %q: invalid segment %q: use text, {name} or, at the end, {name...}", p.value, part)
		case seg.rest && i != len(parts)-1:
			c.addError(p.place, "path %q: {%s...} must be the last segment", p.value, seg.param)
		case seg.param != "" && seen[seg.param], seg.param == "subject":
			c.addError(p.place, "path %q: the name %q is used already", p.value, seg.param)
		}
		seen[seg.param] = true
		out = append(out, seg)
	}
	return out
}

func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
