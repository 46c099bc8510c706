package mapping

import (
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Text is a text of the route file with its place. The zero value was not in the file.
type Text struct {
	Value string
	Node  ast.Node
}

// UnmarshalYAML keeps the node that the text is read from.
func (t *Text) UnmarshalYAML(n ast.Node) error {
	t.Node = n
	if err := yaml.NodeToValue(n, &t.Value); err != nil {
		return wrongAt(n, "invalid value %q: it must be a text", n.String())
	}
	return nil
}

// RequestSpec maps the request of the old endpoint to that of the new one.
type RequestSpec struct {
	// The method to send; a GET or HEAD cannot become another, nor the reverse.
	// Default: as it came.
	// Example: PATCH
	Method Text `yaml:"method"`
	// The path to send; {name} is a segment of the old path, {subject} the verified
	// subject, {$.id} or another expression a segment from elsewhere. Default: as it came.
	// Example: /v1/orders/{id}
	Path Text `yaml:"path"`
	// The parameters to send, by name, each a template; a list sends one several times.
	// Default: as they came.
	// Example: {limit: {from: $query.count, default: 20}}
	Query ast.Node `yaml:"query"`
	// Headers to send, by name, each a template; where it gives nothing or null, none is
	// sent. Default: as they came, and so are all others.
	// Example: {X-Tenant: $cookie.tenant}
	Headers ast.Node `yaml:"headers"`
	// Cookies to send, by name, each a template; where it gives nothing or null, none is
	// sent. Default: as they came, and so are all others.
	// Example: {session: $header.X-Session}
	Cookies ast.Node `yaml:"cookies"`
	// A template of the body, which is sent as JSON, or null for none. Default: as it came;
	// where method is DELETE, none.
	// Example: {name: $.display_name}
	Body ast.Node `yaml:"body"`
	// The fields of a form to send as the body, by name, each a template; a list sends
	// one several times. Default: as it came.
	// Example: {name: $.display_name}
	Form ast.Node `yaml:"form"`
}

// UnmarshalYAML reads the spec strictly. It keeps a null, for which the decoder gives nothing, as the body.
func (s *RequestSpec) UnmarshalYAML(n ast.Node) error {
	type plain RequestSpec
	if err := yaml.NodeToValue(n, (*plain)(s), yaml.Strict()); err != nil {
		return err
	}
	if members, ok := n.(ast.MapNode); ok {
		for i := members.MapRange(); i.Next(); {
			if i.Key().String() == "body" && i.Value().Type() == ast.NullType {
				s.Body = i.Value()
			}
		}
	}
	return nil
}

// ResponseSpec maps the answer of the new endpoint to that of the old one.
type ResponseSpec struct {
	// An expression that says whether an answer is an error, and so which of the templates
	// below are its. Default: $status >= 400.
	// Example: $.ok == false
	Failed ast.Node `yaml:"failed"`
	// A template of the status of an answer that is no error. Default: as it came.
	// Example: {from: $status, map: {201: 200}, default: 200}
	Status ast.Node `yaml:"status"`
	// A template of the status of an error. Default: as it came.
	// Example: 200
	ErrorStatus ast.Node `yaml:"errorStatus"`
	// Headers of the answer, by name, each a template; where it gives nothing or null,
	// there is none; a list gives several. Default: as they came, and so are all others.
	// Example: {X-Total: $.total}
	Headers ast.Node `yaml:"headers"`
	// Cookies to set, by name, each a template of the value, or a mapping with value,
	// path, domain, maxAge (seconds), secure, httpOnly and sameSite; where the value is
	// nothing or null, none is set. Default: as they came, and so are all others.
	// Example: {sid: {value: $.token, path: /, httpOnly: true}}
	Cookies ast.Node `yaml:"cookies"`
	// A template of the body of an answer that is no error. Default: as it came.
	// Example: {order: {order_id: $.id}}
	Body ast.Node `yaml:"body"`
	// A template of the body of an error, whatever content it has: where that is not
	// JSON, $.field is absent and $text the text. Default: as it came.
	// Example: {error: {code: {from: $status, map: {404: not_found}, default: failed}}}
	Error ast.Node `yaml:"error"`
}
