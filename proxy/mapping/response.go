package mapping

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// ResponseMap makes the old answer of the new one. A nil ResponseMap changes nothing. It is
// safe for concurrent use.
type ResponseMap struct {
	failed      *Template // nil: by the status
	good, wrong answerMap
	headers     []field
	cookies     []cookieField
	uses        uses
}

type answerMap struct{ status, body *Template }

// cookieField is a cookie and the templates of its attributes.
type cookieField struct {
	name       string
	attributes []field // "value" among them
}

// Response is what a ResponseMap made.
type Response struct {
	Failed      bool // the answer is an error, as `failed` says
	Status      int
	Body        []byte
	HasBody     bool   // false: the body is as it came
	ContentType string // of the Body
}

// CompileResponse compiles the mapping of an answer. Its error joins one *yaml.SyntaxError
// for each mistake.
func CompileResponse(s ResponseSpec, in Context) (*ResponseMap, error) {
	in.Answer = true
	c := &messageCompiler{in: in}
	m := &ResponseMap{
		good: answerMap{c.template(s.Status), c.template(s.Body)}, wrong: answerMap{c.template(s.ErrorStatus), c.template(s.Error)},
		headers: c.headers(s.Headers), cookies: c.setCookies(s.Cookies),
	}
	if s.Failed != nil {
		m.failed = c.keep(in.compile(func(c *compiler) maker { return c.condition(s.Failed) }))
	}
	m.uses = c.uses
	return m, errors.Join(c.errs...)
}

// UsesBody says whether Map reads the answer's body, which must then be decoded into
// Scope.Body; a body that is not JSON is not an error before Map says so.
func (m *ResponseMap) UsesBody() bool { return m != nil && m.uses&usesBody != 0 }

// UsesRequest says whether Map reads the client's body, which must then be in
// Scope.Request.
func (m *ResponseMap) UsesRequest() bool { return m != nil && m.uses&usesRequest != 0 }

// Changes says whether the body of an answer with the status may be replaced. Then what
// speaks of its bytes (ETag, ranges, digests, encoding) does not hold any more.
func (m *ResponseMap) Changes(status int) bool {
	switch {
	case m == nil:
		return false
	case m.failed != nil:
		return m.good.body != nil || m.wrong.body != nil
	case status >= 400:
		return m.wrong.body != nil
	}
	return m.good.body != nil
}

// Map makes the old answer and changes h, the headers of the answer, by it. An error says
// that the answer cannot be mapped: what it says did happen. It leaves h as it was.
func (m *ResponseMap) Map(s *Scope, h http.Header) (Response, error) {
	r := Response{Status: s.Status, Failed: s.Status >= 400}
	if m == nil {
		return r, nil
	}
	scope := *s
	scope.AnyContent = true
	if m.failed != nil {
		e := newRun(&scope, 0)
		v := m.failed.node.(expression).eval(e)
		if r.Failed = e.truth(v, ""); e.err != nil {
			return r, fmt.Errorf("failed: %w", e.err)
		}
	}
	answer, p := m.wrong, &parts{scope: &scope}
	if !r.Failed {
		answer, scope.AnyContent = m.good, s.AnyContent
	}
	if answer.status != nil {
		r.Status = p.status(answer.status)
	}
	if r.HasBody = answer.body != nil; r.HasBody {
		r.Body = p.body(answer.body)
	}
	headers, cookies := p.values("headers", m.headers, isHeaderValue), p.setCookies(m.cookies)
	if p.err != nil {
		return r, p.err
	}
	if contentType := setHeaders(h, m.headers, headers, "application/json"); r.HasBody {
		r.ContentType = contentType
	}
	for _, c := range m.cookies {
		h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
			name, _, _ := strings.Cut(line, "=")
			return strings.TrimSpace(name) == c.name
		})
	}
	if h["Set-Cookie"] = append(h["Set-Cookie"], cookies...); len(h["Set-Cookie"]) == 0 {
		delete(h, "Set-Cookie")
	}
	return r, nil
}

func (p *parts) status(t *Template) int {
	v, _, err := t.Text(p.scope)
	if err != nil {
		p.fail("status: %w", err)
	}
	status, err := strconv.Atoi(v)
	if err != nil || status < 200 || status > 599 {
		p.fail("status: %q is not one from 200 to 599", v)
	}
	return status
}

// setCookies makes the lines of Set-Cookie.
func (p *parts) setCookies(fields []cookieField) (out []string) {
	for _, f := range fields {
		c := http.Cookie{Name: f.name}
		present := false
		for _, a := range f.attributes {
			v, has, err := a.value.Text(p.scope)
			if err == nil && has {
				err = cookieAttributes[a.name](&c, v)
				present = present || a.name == "value"
			}
			if err != nil {
				p.fail("cookies: %s: %s: %w", f.name, a.name, err)
			}
		}
		if err := c.Valid(); err != nil && present {
			p.fail("cookies: %s: %w", f.name, err)
		} else if present {
			out = append(out, c.String())
		}
	}
	return out
}

var cookieAttributes = map[string]func(c *http.Cookie, v string) error{
	"value":  func(c *http.Cookie, v string) error { c.Value = v; return nil },
	"path":   func(c *http.Cookie, v string) error { c.Path = v; return nil },
	"domain": func(c *http.Cookie, v string) error { c.Domain = v; return nil },
	"maxAge": func(c *http.Cookie, v string) (err error) {
		if c.MaxAge, err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("%q is not a number of seconds", v)
		}
		if c.MaxAge == 0 {
			c.MaxAge = -1 // which http.Cookie writes as Max-Age=0
		}
		return nil
	},
	"secure":   func(c *http.Cookie, v string) error { return flag(&c.Secure, v) },
	"httpOnly": func(c *http.Cookie, v string) error { return flag(&c.HttpOnly, v) },
	"sameSite": func(c *http.Cookie, v string) error {
		modes := map[string]http.SameSite{"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode}
		if c.SameSite = modes[strings.ToLower(v)]; c.SameSite == 0 {
			return fmt.Errorf("%q is not one of Lax, Strict, None", v)
		}
		return nil
	},
}

func flag(to *bool, v string) (err error) {
	if *to, err = strconv.ParseBool(v); err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	return nil
}

func (c *messageCompiler) setCookies(n ast.Node) []cookieField {
	if n == nil {
		return nil
	}
	var out []cookieField
	c.entries(n, "cookies", func(name string, key, v ast.Node) {
		if !isToken(name) {
			c.wrongAt(key, "invalid name of a cookie: %q", name)
		}
		f := cookieField{name: name}
		c.attributes(&f, v)
		if f.attributes == nil {
			f.attributes = []field{{"value", c.template(v)}}
		}
		out = append(out, f)
	})
	return out
}

// attributes reads a mapping with a value and other attributes, if it is one.
func (c *messageCompiler) attributes(f *cookieField, n ast.Node) {
	values, _ := membersOf(n)
	if !slices.ContainsFunc(values, func(v *ast.MappingValueNode) bool { return v.Key.GetToken().Value == "value" }) {
		return
	}
	c.entries(n, "a cookie", func(name string, key, v ast.Node) {
		if cookieAttributes[name] == nil {
			c.wrongAt(key, "unknown attribute %q of a cookie: use %s", name, sortedNames(cookieAttributes))
		}
		f.attributes = append(f.attributes, field{name, c.template(v)})
	})
}
