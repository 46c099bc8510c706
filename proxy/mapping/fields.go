package mapping

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// field is a parameter, a header, a cookie or a form's field, and its template.
type field struct {
	name  string
	value *Template
}

// parts makes the parts of a message. It keeps the first error, and makes nothing after it.
type parts struct {
	scope *Scope
	err   error
}

func (p *parts) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// values are those of fields, in their order. What they are begins its errors.
func (p *parts) values(what string, fields []field, isValid func(string) bool) (out Values) {
	for _, f := range fields {
		if p.err != nil {
			return nil
		}
		texts, err := f.value.Values(p.scope)
		if err != nil {
			p.fail("%s: %s: %w", what, f.name, err)
		}
		for _, t := range texts {
			if !isValid(t) {
				p.fail("%s: %s: the value has characters that a %s cannot have", what, f.name, strings.TrimSuffix(what, "s"))
			}
			out = append(out, Pair{f.name, t})
		}
	}
	return out
}

func (p *parts) body(t *Template) []byte {
	if p.err != nil {
		return nil
	}
	raw, err := t.AppendJSON(nil, p.scope)
	if err != nil {
		p.fail("body: %w", err)
	}
	return raw
}

func isAny(string) bool { return true }

// setHeaders replaces the headers of fields; those without a value are removed. It returns what
// they say of a body that was made, or else the usual type.
func setHeaders(h http.Header, fields []field, headers Values, usualType string) (contentType string) {
	for _, f := range fields {
		delete(h, f.name)
	}
	for _, v := range headers {
		h[v.Name] = append(h[v.Name], v.Value)
	}
	if given, ok := headers.Get("Content-Type"); ok {
		return given
	}
	return usualType
}

// setCookies replaces the cookies of fields in a request's headers; all others stay as they are.
func setCookies(h http.Header, fields []field, cookies Values) {
	var parts []string
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			name, _, _ := strings.Cut(part, "=")
			if part != "" && !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
				parts = append(parts, part)
			}
		}
	}
	for _, c := range cookies {
		parts = append(parts, c.Name+"="+c.Value)
	}
	if delete(h, "Cookie"); len(parts) > 0 {
		h["Cookie"] = []string{strings.Join(parts, "; ")}
	}
}

// isToken says whether s can be the name of a header or cookie, or a method (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	})
}

func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// isCookieValue says whether a value cannot end its cookie (RFC 6265, 4.1.1).
func isCookieValue(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == ';' || c == ',' || c == 0x7f })
}

// reserved are headers that belong to the connection, the body's framing or the proxy.
var reserved = []string{
	"Connection", "Content-Encoding", "Content-Length", "Cookie", "Expect", "Forwarded", "Host", "Http2-Settings", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Connection", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Real-Ip",
}

// messageCompiler collects all mistakes.
type messageCompiler struct {
	in   Context
	uses uses
	errs []error
}

func (c *messageCompiler) wrongAt(n ast.Node, format string, args ...any) {
	c.errs = append(c.errs, wrongAt(n, format, args...))
}

func (c *messageCompiler) keep(t *Template, err error) *Template {
	if err != nil {
		c.errs = append(c.errs, err)
		return nil
	}
	c.uses |= t.uses
	return t
}

func (c *messageCompiler) template(n ast.Node) *Template {
	if n == nil {
		return nil
	}
	return c.keep(Compile(n, c.in))
}

func (c *messageCompiler) method(t Text) string {
	if t.Node != nil && (!isToken(t.Value) || strings.ToUpper(t.Value) != t.Value) {
		c.wrongAt(t.Node, "invalid method %q: it must be such as PATCH", t.Value)
	}
	return t.Value
}

// entries are the names of a mapping and their nodes.
func (c *messageCompiler) entries(n ast.Node, what string, each func(name string, key, v ast.Node)) {
	values, ok := membersOf(n)
	if !ok {
		c.wrongAt(n, "%s must be a mapping of names to templates", what)
	}
	for _, v := range values {
		name, err := readKey(v)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		each(name, v.Key, v.Value)
	}
}

func (c *messageCompiler) fields(n ast.Node, what string) []field {
	if n == nil {
		return nil
	}
	out := []field{}
	c.entries(n, what, func(name string, _, v ast.Node) { out = append(out, field{name, c.template(v)}) })
	return out
}

func (c *messageCompiler) headers(n ast.Node) []field {
	if n == nil {
		return nil
	}
	var out []field
	c.entries(n, "headers", func(name string, key, v ast.Node) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isToken(name):
			c.wrongAt(key, "invalid name of a header: %q", name)
		case slices.Contains(reserved, canonical), strings.HasPrefix(canonical, "X-Forwarded-"), strings.HasPrefix(canonical, "Banyan-"):
			c.wrongAt(key, "the header %s is the proxy's own (cookies are under cookies)", canonical)
		}
		out = append(out, field{canonical, c.template(v)})
	})
	return out
}
