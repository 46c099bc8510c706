package mapping

import (
	"errors"
	"net/http"

	"github.com/goccy/go-yaml/ast"
)

// RequestMap makes the new request of the old one. A nil RequestMap changes nothing. It is
// safe for concurrent use.
type RequestMap struct {
	method   string
	path     []pathPart
	query    []field // nil: as it came
	headers  []field
	cookies  []field
	body     *Template
	form     []field // nil: none
	bodyless bool    // what came is not sent
	uses     uses
}

// Request is what a RequestMap made.
type Request struct {
	Method      string // "": as it came
	Path        string // escaped; "": as it came
	Query       string // without the question mark
	HasQuery    bool   // false: the query is as it came
	Body        []byte
	HasBody     bool   // false: the body is as it came
	ContentType string // of the Body; "": there is none
}

// CompileRequest compiles the mapping of a request. Its error joins one *yaml.SyntaxError
// for each mistake. It is nil for a spec that changes nothing.
func CompileRequest(s RequestSpec, in Context) (*RequestMap, error) {
	in.Answer = false
	c := &messageCompiler{in: in}
	none := s.Body != nil && s.Body.Type() == ast.NullType
	if none {
		s.Body = nil
	}
	m := &RequestMap{
		method: c.method(s.Method), path: c.path(s.Path), query: c.fields(s.Query, "query"),
		headers: c.headers(s.Headers), cookies: c.fields(s.Cookies, "cookies"), body: c.template(s.Body), form: c.fields(s.Form, "form"),
	}
	if (s.Body != nil || none) && s.Form != nil {
		c.wrongAt(s.Form, "a request has body or form, not both")
	}
	for _, f := range m.cookies {
		if !isToken(f.name) {
			c.wrongAt(s.Cookies, "invalid name of a cookie: %q", f.name)
		}
	}
	m.bodyless = none || m.method == http.MethodDelete && s.Body == nil && s.Form == nil
	m.uses = c.uses
	return m, errors.Join(c.errs...)
}

// Method is the method to send; "" is the one that came.
func (m *RequestMap) Method() string {
	if m == nil {
		return ""
	}
	return m.method
}

// UsesBody says whether Map reads the client's body, which must then be decoded into
// Scope.Body and Scope.Request.
func (m *RequestMap) UsesBody() bool { return m != nil && m.uses != 0 }

// Map makes the new request and changes h, the headers to send, by it: no header of
// Scope.Header need be in h. An error is the client's fault: what it sent cannot be mapped.
// It leaves h as it was.
func (m *RequestMap) Map(s *Scope, h http.Header) (Request, error) {
	if m == nil {
		return Request{}, nil
	}
	r := Request{Method: m.method, HasQuery: m.query != nil, HasBody: m.bodyless || m.body != nil || m.form != nil}
	p := &parts{scope: s}
	r.Path = p.path(m.path)
	r.Query = p.values("query", m.query, isAny).encode()
	switch {
	case m.body != nil:
		r.ContentType, r.Body = "application/json", p.body(m.body)
	case m.form != nil:
		r.ContentType, r.Body = "application/x-www-form-urlencoded", []byte(p.values("form", m.form, isAny).encode())
	}
	headers, cookies := p.values("headers", m.headers, isHeaderValue), p.values("cookies", m.cookies, isCookieValue)
	if p.err != nil {
		return Request{}, p.err
	}
	if contentType := setHeaders(h, m.headers, headers, r.ContentType); r.ContentType != "" {
		r.ContentType = contentType
	}
	if m.cookies != nil {
		setCookies(h, m.cookies, cookies)
	}
	return r, nil
}
