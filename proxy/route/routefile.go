package route

import (
	"bytes"
	_ "embed" // Schema
	"errors"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/mapping"
	"github.com/banyan-fig/banyan/proxy/shadow"
	"github.com/banyan-fig/banyan/proxy/subject"
	"github.com/banyan-fig/banyan/proxy/upstream"
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
// routes.schema.json are generated from them (go test ./proxy/route -run TestReference
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
	Subject *at[subject.Config] `yaml:"subject"`
	// Says how subjects are split. Routes with mode split need it.
	Cohorts *cohortSpec `yaml:"cohorts"`
	// Says how the version of a client is told, for match.client and for figures.
	Client *clientSpec `yaml:"client"`
	// The most bytes of a body that is mapped. Default: 1048576.
	// Example: 4194304
	MaxMapped at[int] `yaml:"maxMappedBytes"`
	// The networks of load balancers whose X-Forwarded-For, -Host and -Proto are
	// believed; those of other peers are replaced. Where spans are sent, their
	// traceparent is believed too. Default: none.
	// Example: [10.0.0.0/8]
	Trusted []at[string] `yaml:"trustedPeers"`
	// A template of the body of the proxy's own errors, in which $.type, $.title,
	// $.status and $.detail are those of the problem. Default: application/problem+json.
	// Example: {status: error, message: $.detail}
	Error ast.Node `yaml:"error"`
	// Has clients keep the position of their last write, so that reads follow writes
	// whichever proxy they come to (see readsFollowWrites). It changes the answers to writes.
	// Default: they do not; the proxy does, and its table in DynamoDB where it has one.
	Positions *at[positionsSpec] `yaml:"positions"`
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
	// The host and port of each instance; those in health get requests in turn. Default: the
	// host of the url.
	// Example: [10.0.1.4:8080, 10.0.2.4:8080]
	Addresses []string `yaml:"addresses"`
	// What it speaks: HTTP/1.1, HTTP/2 over TLS, or HTTP/2 without it. Default: http1.
	// One of: http1, h2, h2c.
	// Example: h2
	Protocol string `yaml:"protocol"`
	// What a connection by TLS needs beyond the system's roots.
	TLS upstream.TLS `yaml:"tls"`
	// Signs requests for AWS (SigV4), with the credentials of the environment: for API
	// Gateway and Lambda function URLs with IAM. Default: requests are not signed.
	Sign *upstream.Sign `yaml:"sign"`
	// After how many requests in a row without an answer an address gets none for a while;
	// -1: never. Default: 10.
	// Example: 5
	BreakAfter at[int] `yaml:"breakAfter"`
	// How long that is, before one request finds out. Default: 1s.
	// Example: 5s
	BreakFor at[duration] `yaml:"breakFor"`
	// A path that is asked for at each address; one that answers with 400 and above, twice in
	// a row, is avoided. Default: none.
	// Example: /healthz
	Health string `yaml:"health"`
	// How often it is asked for. Default: 5s.
	// Example: 2s
	HealthEvery at[duration] `yaml:"healthEvery"`
	// How long a connection may take, TLS included. Default: 2s.
	// Example: 500ms
	Connect at[duration] `yaml:"connect"`
	// How long a connection may rest between two requests. It must be less than the
	// upstream's own limit, or requests meet connections that are about to be closed;
	// what the upstream says in Keep-Alive counts too. Default: 4s, below the 5 s of Node.js.
	// Example: 50s
	KeepAlive at[duration] `yaml:"keepAlive"`
	// How many requests it is given at once; others wait. Default: no limit.
	// Example: 200
	MaxConnections at[int] `yaml:"maxConnections"`
	// How long its answers may take. Default: firstByte 30s, idle 60s, no total.
	Timeouts timeoutsSpec `yaml:"timeouts"`
}

// timeoutsSpec bounds the waiting for an upstream, and for a client in the midst of a body;
// neither counts for the other, and what moves is never cut off unless a total is set.
type timeoutsSpec struct {
	// From the whole request sent to the first byte of the answer.
	// Example: 500ms
	FirstByte at[duration] `yaml:"firstByte"`
	// Between two pieces of a body, an event stream or a web socket, in either direction.
	// Example: 5m
	Idle at[duration] `yaml:"idle"`
	// For the whole exchange, the client's slowness included. Leave it out where answers
	// may be long.
	// Example: 10s
	Total at[duration] `yaml:"total"`
}

// positionsSpec says how a client keeps the position of its last write: in a cookie, a header
// or both. It is signed for the subject; one that is not is ignored, and counted. Upstreams
// do not see it.
type positionsSpec struct {
	// The cookie that the answer to a write sets (HttpOnly, SameSite=Lax, for all paths).
	// Default: none.
	// Example: banyan_position
	Cookie at[string] `yaml:"cookie"`
	// The header that the answer to a write has, for clients without cookies: they send the
	// last one that they were given with each request, as it is. Default: none.
	// Example: Banyan-Position
	Header at[string] `yaml:"header"`
	// The environment variable with the keys: at least 32 bytes each, one a line, or a
	// reference to them such as ssm:/banyan/prod/positions. The first one signs, all count;
	// so a key is replaced by putting the new one below, then above, and removing the old one
	// after maxAge. All proxies need the same ones, and no other program. Required.
	// Example: BANYAN_POSITION_KEYS
	KeysEnv at[string] `yaml:"keysEnv"`
	// How long the client keeps the cookie. It should be longer than a read model is ever
	// behind. Default: 10m.
	// Example: 1h
	MaxAge at[duration] `yaml:"maxAge"`
	// Whether each answer to a write has the position, but for those of routes with positions
	// false; or those alone of routes with positions true. Default: true.
	// Example: false
	Everywhere at[bool] `yaml:"everywhere"`
}

// cohortSpec makes a client unable to choose its cohort.
type cohortSpec struct {
	// The environment variable with the key that subjects are hashed with, at least 16
	// bytes. Proxies with the same key forward the same subjects. Required.
	// Example: BANYAN_COHORT_KEY
	KeyEnv at[string] `yaml:"keyEnv"`
}

// clientSpec says how the client's version is told.
type clientSpec struct {
	// The header that has it. Required.
	// Example: User-Agent
	Header at[string] `yaml:"header"`
	// A regular expression (RE2) whose group is the version, such as 4.12.1. Default: the
	// whole header.
	// Example: '^Shop/([0-9.]+)'
	Pattern at[string] `yaml:"pattern"`
}

// routeSpec says what becomes of the requests to one old endpoint.
type routeSpec struct {
	// The name in counters, logs, overrides and explanations; no two routes have the same.
	// Required.
	// Example: order
	Name at[string] `yaml:"name"`
	// The method that matches. Default: all methods.
	// Example: GET
	Method at[string] `yaml:"method"`
	// The methods that match, where there are several.
	// Example: [PUT, PATCH]
	Methods []at[string] `yaml:"methods"`
	// The host that matches, without a port. Default: all hosts.
	// Example: api.example.com
	Host at[string] `yaml:"host"`
	// The path that matches, as text, {name} for one segment and, at the end,
	// {name...} for the rest. Segments are compared after percent-decoding. Required.
	// Example: /api/v1/orders/{id}
	Path at[string] `yaml:"path"`
	// What else the request must have. Default: nothing.
	Match quoted[matchSpec] `yaml:"match"`
	// Where the request goes: to the legacy app, to the upstream, or to the upstream
	// for a percentage of the subjects. Required. One of: legacy, forward, split.
	// Example: forward
	Mode at[string] `yaml:"mode"`
	// The percentage of subjects that are forwarded, 0 to 100. Required with mode
	// split, refused with forward.
	// Example: 12.5
	Percent at[float64] `yaml:"percent"`
	// The name that subjects are hashed with: routes with the same cohort forward the
	// same subjects. Default: the route's name.
	// Example: checkout
	Cohort at[string] `yaml:"cohort"`
	// Subjects that stand on a side whatever the percentage, such as testers.
	Pin pinSpec `yaml:"pin"`
	// The name of the upstream to forward to. Required unless the mode is legacy.
	// Example: orders
	Upstream at[string] `yaml:"upstream"`
	// How long the upstream may take. Default: the upstream's, but firstByte 2s for a GET
	// or HEAD that can fall back.
	Timeouts timeoutsSpec `yaml:"timeouts"`
	// Who answers a GET or HEAD when the upstream fails (no answer, or 5xx). An answer that
	// cannot be mapped is no such failure. Default: legacy for GET and HEAD, none for all others,
	// which may have had their effect already. One of: legacy, none.
	// Example: none
	Fallback at[string] `yaml:"fallback"`
	// Whether the upstream is asked for an answer that contains the subject's last write
	// (Banyan-Read-After); where it is behind (412), the legacy app answers. Which write that
	// is, proxies know of each other by positions, or a table in DynamoDB (--written-table).
	// Needs the fallback legacy. Default: false.
	// Example: true
	ReadsFollowWrites bool `yaml:"readsFollowWrites"`
	// Whether the answer to a write has its position, as positions at the top of the file says.
	// It changes the answer. Default: everywhere, of those positions.
	// Example: true
	Positions at[bool] `yaml:"positions"`
	// The entity whose migration the route depends on. Default: none.
	Follow *at[followSpec] `yaml:"follow"`
	// Whether requests without a valid token are forwarded too. Default: false, the
	// legacy app answers them.
	// Example: true
	Public bool `yaml:"public"`
	// Repeats a share of the requests on the other side, and compares the answers. Default: none.
	Shadow *at[shadow.Policy] `yaml:"shadow"`
	// What of two answers may differ. Default: nothing, with shadow.
	Diff *quoted[diff.Spec] `yaml:"diff"`
	// What shadow must have seen before the route may be moved on, as banyan-proxy report
	// --gate says it. Default: 1000 comparisons without an unexplained difference.
	Gate *at[diff.Gate] `yaml:"gate"`
	// Turns the route back to the legacy app by itself. Default: never.
	Guard *at[guard.Budget] `yaml:"guard"`
	// How the request is mapped. Default: it is forwarded as it came.
	Request *quoted[mapping.RequestSpec] `yaml:"request"`
	// How the answer is mapped. Default: it is passed on as it came.
	Response *quoted[mapping.ResponseSpec] `yaml:"response"`
}

// followSpec has a route move with the migration of an entity, and its writes wait while the
// entity's are held for a change of owner. The proxy reads the entity's record in the control
// table four times a second (forty times while the owner changes); routes move that much
// later. While the table cannot be read the last record counts, for a hold at most 5 s; a file
// that follows a further entity is then refused. A proxy that begins meanwhile is not ready; it
// goes by the routes' own modes, and refuses writes after 5 s.
type followSpec struct {
	// The entity, as its record in the control table is called. Required.
	// Example: users
	Entity at[string] `yaml:"entity"`
	// Modes by phase, each from that phase on until the next one named here; before the
	// first, and once the migration is abandoned, it is the route's mode. A roll-back counts
	// as switched until the owner has changed, then as shadowing. Default: the route's mode
	// in every phase.
	// Example: {encapsulated: split, switched: forward}
	Phases map[string]at[string] `yaml:"phases"`
	// How long a write (all but GET, HEAD, OPTIONS and TRACE) waits while writes of the
	// entity are held; then the client gets 503 with Retry-After, and nothing was sent.
	// Default: 10s.
	// Example: 3s
	Wait at[duration] `yaml:"wait"`
	// How many requests may wait for the entity at once, those of other routes included;
	// more get 503 at once. Default: 1000.
	// Example: 200
	MaxWaiting at[int] `yaml:"maxWaiting"`
}

// matchSpec is what a request must have besides its method and path, all of it.
type matchSpec struct {
	// Headers by name, each with the value that one of its lines has; * stands for any text.
	// Example: {X-App: "ios/*"}
	Headers map[string]at[string] `yaml:"headers"`
	// Parameters of the query by name, as headers.
	// Example: {beta: "1"}
	Query map[string]at[string] `yaml:"query"`
	// The client's version, in bounds that all hold. It needs client at the top of the file.
	// Example: ">=4.2 <5"
	Client at[string] `yaml:"client"`
}

// pinSpec puts single subjects on a side.
type pinSpec struct {
	// Those who are forwarded.
	// Example: [ann, bob]
	Forward []at[string] `yaml:"forward"`
	// Those who stay with the legacy app.
	// Example: [carol]
	Legacy []at[string] `yaml:"legacy"`
}

// Schema is the JSON Schema of a route file, for editors.
//
//go:embed routes.schema.json
var Schema []byte

// at is a value with its place in the file. The zero value has line 0: it
// was not in the file.
type at[T any] struct {
	value T
	place
}

// place is where a value begins.
type place struct{ line, col int }

func (p place) isSet() bool { return p.line > 0 }

// UnmarshalYAML keeps the position of the node that the value is read from.
func (a *at[T]) UnmarshalYAML(n ast.Node) error {
	a.place = placeOf(n)
	err := decode(n, &a.value)
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok && wrong.StructFieldName == nil {
		return &yaml.SyntaxError{Message: fmt.Sprintf("invalid value %q: it must be %s", n.String(), kindOf(wrong.DstType)), Token: n.GetToken()}
	}
	return err
}

// quoted is a value with the text that it was read from.
type quoted[T any] struct {
	at[T]
	text string
}

// UnmarshalYAML keeps the node's text.
func (q *quoted[T]) UnmarshalYAML(n ast.Node) error {
	q.text = n.String()
	return q.at.UnmarshalYAML(n)
}

// quote is the text, "" for what is not in the file.
func (q *quoted[T]) quote() string {
	if q == nil {
		return ""
	}
	return q.text
}

// kindOf names a type for error messages.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
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

// placeOf is where a node begins. A mapping's own token is the colon behind
// its first key, so that key is used instead.
func placeOf(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return placeOf(m.Values[0])
		}
	case *ast.MappingValueNode:
		return placeOf(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}

// parseRouteFile reads the YAML strictly: an unknown or repeated key is an
// error at its place.
func parseRouteFile(name string, src []byte) (*routeFile, error) {
	if len(src) > maxRouteFile {
		return nil, &FileError{name, 1, 1, fmt.Sprintf("the file has %d bytes, more than the %d allowed", len(src), maxRouteFile)}
	}
	src = bytes.TrimPrefix(src, []byte("\xEF\xBB\xBF")) // the mark that some editors begin a file with
	for i, line := range bytes.Split(src, []byte("\n")) {
		if !utf8.Valid(line) {
			return nil, &FileError{name, i + 1, 1, "the line is not UTF-8, the encoding of YAML: save the file in it"}
		}
	}
	doc, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, ErrorIn(name, err)
	}
	if len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		return nil, &FileError{name, 1, 1, "expected one YAML document with the keys version, legacy, upstreams and routes"}
	}
	shared := aliases{anchors: map[string]ast.Node{}}
	body, err := shared.resolve(doc.Docs[0].Body)
	if err != nil {
		return nil, ErrorIn(name, err)
	}
	var f routeFile
	if err := decode(body, &f); err != nil {
		return nil, ErrorIn(name, err)
	}
	return &f, nil
}

// ErrorIn makes a FileError of an error, with the place that the YAML library gives it, or the
// beginning of the file.
func ErrorIn(name string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) {
		message, t := y.GetMessage(), y.GetToken()
		if t == nil || t.Position == nil {
			return &FileError{name, 1, 1, message}
		}
		if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
			message = fmt.Sprintf("invalid value %q: it must be %s", t.Value, kindOf(wrong.DstType))
		}
		return &FileError{name, t.Position.Line, t.Position.Column, message}
	}
	return &FileError{name, 1, 1, err.Error()}
}
