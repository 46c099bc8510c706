// Package cases holds recorded exchanges, and plays them to a proxy: what a client sends,
// what the upstreams get and answer, and what the client gets. They are the tests of a route
// file, run before it is put in force and after each change of the new API:
//
//	subject: u1                       # whose request it is; without it, nobody's
//	mode: forward                     # turns all routes, whatever their mode; default: it does not
//	request: |
//	  GET /products?page=3 HTTP/1.1
//	behind:                           # the upstreams that are asked, in this order
//	  - upstream: catalogue
//	    request: |                    # default: any
//	      GET /v1/products?offset=40 HTTP/1.1
//	    answer: |
//	      HTTP/1.1 200 OK
//	      Content-Type: application/json
//
//	      {"items": [{"id": "p5"}]}
//	answer: |
//	  HTTP/1.1 200 OK
//
//	  {"products": [{"product_id": "p5"}]}
//
// Headers count where the case names them; one without a value must be absent. Bodies of JSON
// are compared by value, numbers as they are written; others byte by byte.
//
// A case has no addresses, keys or tokens; targets are without the path of an upstream's url. [Run] gives the proxy the file's routes with
// upstreams on loopback, and the case's subject for the token's; positions of writes are not
// kept, and entities have no phase: a case says with mode what a split or a migration decides.
// Bodies are text: an answer that is compressed or binary has no case. The newline that
// ends a message is not a part of its body. In a difference, values that look like secrets are
// shown as (removed), though they count.
package cases

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/banyan-fig/banyan/proxy/route"
)

// MaxFile is how many bytes the file of a case may have.
const MaxFile = 1 << 20

// A Case is one exchange.
type Case struct {
	// Subject is whose request it is, "" for nobody's.
	Subject string `yaml:"subject,omitempty"`
	// Mode turns all routes: legacy, forward, or "" for what the route file says.
	Mode string `yaml:"mode,omitempty"`
	// Request is the client's.
	Request *Message `yaml:"request"`
	// Behind are the upstreams that are asked, in this order.
	Behind []Step `yaml:"behind,omitempty"`
	// Answer is what the client gets.
	Answer *Message `yaml:"answer"`

	comment string // the lines that begin the file
}

// A Step is what one upstream gets and answers.
type Step struct {
	// Upstream is its name in the route file.
	Upstream string `yaml:"upstream"`
	// Request is what it gets; nil: any.
	Request *Message `yaml:"request,omitempty"`
	// Answer is what it answers.
	Answer *Message `yaml:"answer"`
}

// A Message is a request, with Method and Target, or an answer, with a Status.
type Message struct {
	Method, Target string
	Status         int
	Header         http.Header
	Body           string
}

// ParseMessage reads a message as it is written in a case. Errors name the line in it.
func ParseMessage(text string) (*Message, error) {
	m := &Message{Header: http.Header{}}
	head, body, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n\n")
	m.Body = body
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	if err := m.start(strings.Fields(lines[0])); err != nil {
		return nil, err
	}
	for i, l := range lines[1:] {
		name, value, ok := strings.Cut(l, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, &lineError{i + 1, fmt.Sprintf("invalid header %q: it must be such as Content-Type: text/plain", l)}
		}
		m.Header.Add(name, strings.TrimSpace(value))
	}
	return m, nil
}

// lineError is a mistake in a message; the first line is 0.
type lineError struct {
	line    int
	message string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line+1, e.message) }

func (m *Message) start(words []string) error {
	if len(words) >= 2 && strings.HasPrefix(words[0], "HTTP/") {
		status, err := strconv.Atoi(words[1])
		if err != nil || status < 200 || status > 599 {
			return &lineError{0, fmt.Sprintf("invalid status %q: it must be from 200 to 599", words[1])}
		}
		m.Status = status
		return nil
	}
	if len(words) < 2 || len(words) > 3 {
		return &lineError{0, "the first line must be such as GET /path HTTP/1.1, or HTTP/1.1 200 OK"}
	}
	m.Method, m.Target = words[0], words[1]
	return nil
}

// UnmarshalYAML reads a text.
func (m *Message) UnmarshalYAML(n ast.Node) error {
	var text string
	err := yaml.NodeToValue(n, &text)
	if err != nil {
		return err
	}
	read, err := ParseMessage(text)
	if wrong := (*lineError)(nil); errors.As(err, &wrong) {
		token := *n.GetToken()
		at := *token.Position
		if n.Type() == ast.LiteralType {
			at.Line += 1 + wrong.line
		}
		token.Position = &at
		return &yaml.SyntaxError{Message: wrong.message, Token: &token}
	}
	if err == nil {
		*m = *read
	}
	return err
}

// String is the message as it is written in a case.
func (m *Message) String() string {
	var b strings.Builder
	if m.Status != 0 {
		fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("HTTP/1.1 %d %s", m.Status, http.StatusText(m.Status))))
	} else {
		fmt.Fprintf(&b, "%s %s HTTP/1.1\n", m.Method, m.Target)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, v := range m.Header[name] {
			fmt.Fprintln(&b, strings.TrimSpace(name+": "+v))
		}
	}
	if m.Body != "" {
		fmt.Fprintf(&b, "\n%s\n", m.Body)
	}
	return b.String()
}

// MarshalYAML writes the text.
func (m *Message) MarshalYAML() (any, error) { return m.String(), nil }

// ReadFile reads a case. Mistakes are [route.FileError], by line.
func ReadFile(path string) (*Case, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read case: %w", err)
	}
	return Parse(path, src)
}

// Parse reads a case; the name is for errors.
func Parse(name string, src []byte) (*Case, error) {
	if len(src) > MaxFile {
		return nil, route.ErrorIn(name, fmt.Errorf("the file has %d bytes, more than the %d allowed", len(src), MaxFile))
	}
	var c Case
	err := yaml.UnmarshalWithOptions(src, &c, yaml.Strict())
	if err == nil {
		err = c.validate()
	}
	if err != nil {
		return nil, route.ErrorIn(name, err)
	}
	for line := range strings.Lines(string(src)) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		c.comment += line
	}
	return &c, nil
}

func (c *Case) validate() error {
	switch {
	case c.Request == nil || c.Request.Method == "":
		return errors.New("request must be a client's request, such as GET /path HTTP/1.1")
	case c.Answer == nil || c.Answer.Status == 0:
		return errors.New("answer must be what the client gets, such as HTTP/1.1 200 OK")
	case !slices.Contains([]string{"", string(route.Legacy), string(route.Forward)}, c.Mode):
		return fmt.Errorf("invalid mode %q: it must be legacy or forward", c.Mode)
	}
	for i, s := range c.Behind {
		if s.Upstream == "" || s.Answer == nil || s.Answer.Status == 0 || s.Request != nil && s.Request.Method == "" {
			return fmt.Errorf("behind[%d] must have an upstream, its answer, such as HTTP/1.1 200 OK, and a request or none", i)
		}
	}
	return nil
}

// Marshal writes the case so that [Parse] reads the same. Of comments, those that begin the
// file stay. It fails for a message that is not text.
func (c *Case) Marshal() ([]byte, error) {
	src, err := yaml.MarshalWithOptions(c, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("write a case: %w", err)
	}
	src = append([]byte(c.comment), src...)
	if again, err := Parse("", src); err != nil || !reflect.DeepEqual(again, c) {
		return nil, errors.New("a message of this exchange is not text that YAML can hold")
	}
	return src, nil
}
