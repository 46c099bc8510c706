package proxy

import (
	_ "embed" // Schema
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxRouteFile bounds a route file; the largest sensible one is far smaller.
const maxRouteFile = 4 << 20

// A FileError is one mistake in a route file, with its line and
// column.
type FileError struct {
	File      string
	Line, Col int
	Message   string
}

// Error returns "file:line:col: message", which editors can jump to.
func (e *FileError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Message)
}

// routeFile is a route file as written. Every value that a rule may object to keeps
// its place. The fields' comments are the reference of the language: routes.md and
// routes.schema.json are generated from them (go test ./proxy -run TestReference
// -update). The words "Required.", "Default: x.", "One of: x, y." and "Example: x" in
// them are understood.
type routeFile struct {
	// The version of the language; 1 is the only one. Required.
	// Example: 1
	Version at[int] `yaml:"version"`
	// The name of the upstream that is the legacy app: it answers whatever no route
	// forwards. Required.
	// Example: legacy
	Legacy at[string] `yaml:"legacy"`
	// The upstreams by name: the legacy app and the new APIs. Required.
	Upstreams map[string]at[upstreamSpec] `yaml:"upstreams"`
	// Says how the subject of a request is verified. Routes that forward need it,
	// except public ones. Default: no request has a subject.
	Subject *subjectSpec `yaml:"subject"`
	// Says how subjects are split. Routes with mode split need it.
	Cohorts *cohortSpec `yaml:"cohorts"`
	// The networks of load balancers whose X-Forwarded-For, -Host and -Proto are
	// believed; those of other peers are replaced. Default: none.
	// Example: [10.0.0.0/8]
	Trusted []at[string] `yaml:"trustedPeers"`
	// A template of the body of the proxy's own errors, in which $.type, $.title,
	// $.status and $.detail are those of the problem. Default: application/problem+json.
	// Example: {status: error, message: $.detail}
	Error ast.Node `yaml:"error"`
	// The routes. The first one whose method and path match decides; a route that an
	// earlier one hides is an error. Default: none, all requests go to the legacy app.
	Routes []at[routeSpec] `yaml:"routes"`
}

// upstreamSpec says where requests can go.
type upstreamSpec struct {
	// The address, http or https; its path is put before the request's. ${NAME} is
	// replaced by the environment variable. Required.
	// Example: ${ORDERS_URL}
	URL at[string] `yaml:"url"`
	// How long a whole answer of the legacy app may take. Routes that forward have a
	// timeout of their own. Default: 30s.
	// Example: 10s
	Timeout at[duration] `yaml:"timeout"`
}

// subjectSpec verifies bearer tokens: JWT, HS256, the subject in "sub", with "exp".
type subjectSpec struct {
	// The environment variable with the secret of the tokens: at least 32 bytes, or
	// several keys of at least 32 bytes, one a line. Required.
	// Example: BANYAN_JWT_SECRET
	SecretEnv at[string] `yaml:"jwtSecretEnv"`
}

// cohortSpec makes a client unable to choose its cohort.
type cohortSpec struct {
	// The environment variable with the key that subjects are hashed with, at least 16
	// bytes. Proxies with the same key forward the same subjects. Required.
	// Example: BANYAN_COHORT_KEY
	KeyEnv at[string] `yaml:"keyEnv"`
}

// routeSpec says what becomes of the requests to one old endpoint.
type routeSpec struct {
	// The name in counters, logs and explanations; no two routes have the same.
	// Required.
	// Example: order
	Name at[string] `yaml:"name"`
	// The method that matches. Default: all methods.
	// Example: GET
	Method at[string] `yaml:"method"`
	// The path that matches, as text, {name} for one segment and, at the end,
	// {name...} for the rest. Segments are compared after percent-decoding. Required.
	// Example: /api/v1/orders/{id}
	Path at[string] `yaml:"path"`
	// Where the request goes: to the legacy app, to the upstream, or to the upstream
	// for a percentage of the subjects. Required. One of: legacy, forward, split.
	// Example: forward
	Mode at[string] `yaml:"mode"`
	// The percentage of subjects that are forwarded, 0 to 100. Required with mode
	// split, and only there.
	// Example: 12.5
	Percent at[float64] `yaml:"percent"`
	// The name that subjects are hashed with: routes with the same cohort forward the
	// same subjects. Default: the route's name.
	// Example: checkout
	Cohort at[string] `yaml:"cohort"`
	// The name of the upstream to forward to. Required unless the mode is legacy.
	// Example: orders
	Upstream at[string] `yaml:"upstream"`
	// How long the upstream may take for a whole answer. Default: 2s.
	// Example: 500ms
	Timeout at[duration] `yaml:"timeout"`
	// Who answers a GET or HEAD when the upstream fails (no answer, 5xx, or an answer
	// that cannot be mapped). Default: legacy for GET and HEAD, none for all others,
	// which may have had their effect already. One of: legacy, none.
	// Example: none
	Fallback at[string] `yaml:"fallback"`
	// Whether the upstream is asked for an answer that contains the subject's last
	// write (Banyan-Read-After); where it is behind (412), the legacy app answers.
	// Needs the fallback legacy. Default: false.
	// Example: true
	ReadsFollowWrites bool `yaml:"readsFollowWrites"`
	// Whether requests without a valid token are forwarded too. Default: false, the
	// legacy app answers them.
	// Example: true
	Public bool `yaml:"public"`
	// How the request is mapped. Default: it is forwarded as it came.
	Request requestSpec `yaml:"request"`
	// How the answer is mapped. Default: it is passed on as it came.
	Response responseSpec `yaml:"response"`
}

// requestSpec maps the request of the old endpoint to that of the new one.
type requestSpec struct {
	// The method to send; a GET or HEAD cannot become another, nor the reverse.
	// Default: as it came.
	// Example: PATCH
	Method at[string] `yaml:"method"`
	// The path to send; {name} is a segment of the old path, {subject} the verified
	// subject. Default: as it came.
	// Example: /v1/orders/{id}
	Path at[string] `yaml:"path"`
	// The parameters to send, by name, each a template. Default: as they came.
	// Example: {limit: {from: $query.count, default: 20}}
	Query ast.Node `yaml:"query"`
	// A template of the body. Default: as it came.
	// Example: {name: $.display_name}
	Body ast.Node `yaml:"body"`
}

// responseSpec maps the answer of the new endpoint to that of the old one.
type responseSpec struct {
	// A template of the body of an answer below 400. Default: as it came.
	// Example: {order: {order_id: $.id}}
	Body ast.Node `yaml:"body"`
	// A template of the body of an answer of 400 and above. Default: as it came.
	// Example: {error: {code: {from: $status, map: {404: not_found}, default: failed}}}
	Error ast.Node `yaml:"error"`
}

// Schema is the JSON Schema of a route file, for editors.
//
//go:embed routes.schema.json
var Schema []byte

// at is a value with its place in the file. The zero value has line 0: it
// was not in the file.
type at[T any] struct {
	value     T
	line, col int
}

func (a at[T]) isSet() bool { return a.line > 0 }

// UnmarshalYAML keeps the position of the node that the value is read from.
func (a *at[T]) UnmarshalYAML(n ast.Node) error {
	a.line, a.col = lineAndColumn(n)
	err := yaml.NodeToValue(n, &a.value, yaml.Strict())
	var wrongType *yaml.TypeError
	if errors.As(err, &wrongType) && wrongType.StructFieldName == nil {
		return wrongAt(n, "invalid value %q: it must be %s", n.String(), kindOf(a.value))
	}
	return err
}

// kindOf names a type for error messages.
func kindOf(v any) string {
	switch v.(type) {
	case int, float64:
		return "a number"
	case string:
		return "a text"
	}
	return "a mapping with the keys that belong here"
}

// duration reads "250ms" as time.ParseDuration does.
type duration time.Duration

func (d *duration) UnmarshalYAML(n ast.Node) error {
	var s string
	if err := yaml.NodeToValue(n, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return &yaml.SyntaxError{Message: fmt.Sprintf("invalid duration %q: it must be above zero, such as 500ms or 2s", s), Token: n.GetToken()}
	}
	*d = duration(v)
	return nil
}

// lineAndColumn returns where a node begins. A mapping's own token is the colon behind
// its first key, so that key is used instead.
func lineAndColumn(n ast.Node) (line, col int) {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return lineAndColumn(m.Values[0])
		}
	case *ast.MappingValueNode:
		return lineAndColumn(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 1, 1
}

// parseRouteFile reads the YAML strictly: an unknown or repeated key is an
// error at its place.
func parseRouteFile(name string, src []byte) (*routeFile, error) {
	if len(src) > maxRouteFile {
		return nil, &FileError{name, 1, 1, fmt.Sprintf("the file has %d bytes, more than the %d allowed", len(src), maxRouteFile)}
	}
	doc, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, fileError(name, err)
	}
	if len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		return nil, &FileError{name, 1, 1, "expected one YAML document with the keys version, legacy, upstreams and routes"}
	}
	var f routeFile
	if err := yaml.NodeToValue(doc.Docs[0].Body, &f, yaml.Strict()); err != nil {
		return nil, fileError(name, err)
	}
	return &f, nil
}

// fileError turns the YAML library's error into ours, place included.
func fileError(name string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) {
		if t := y.GetToken(); t != nil && t.Position != nil {
			return &FileError{name, t.Position.Line, t.Position.Column, y.GetMessage()}
		}
		return &FileError{name, 1, 1, y.GetMessage()}
	}
	return &FileError{name, 1, 1, err.Error()}
}
