package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxRouteFile bounds a route file; the largest sensible one is far smaller.
const maxRouteFile = 4 << 20

// A FileError is one thing wrong with a route file, at the place where a
// person has to look.
type FileError struct {
	File      string
	Line, Col int
	Message   string
}

// Error gives "file:line:col: message", which editors can jump to.
func (e *FileError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Message)
}

// routeFile is a route file as written. Every value that a rule may object
// to keeps its place.
type routeFile struct {
	Version   at[int]                     `yaml:"version"`
	Legacy    at[string]                  `yaml:"legacy"`
	Upstreams map[string]at[upstreamSpec] `yaml:"upstreams"`
	Subject   *subjectSpec                `yaml:"subject"`
	Cohorts   *cohortSpec                 `yaml:"cohorts"`
	Trusted   []at[string]                `yaml:"trustedPeers"`
	Error     ast.Node                    `yaml:"error"`
	Routes    []at[routeSpec]             `yaml:"routes"`
}

type upstreamSpec struct {
	URL     at[string]   `yaml:"url"`
	Timeout at[duration] `yaml:"timeout"`
}

type subjectSpec struct {
	SecretEnv at[string] `yaml:"jwtSecretEnv"`
}

type cohortSpec struct {
	KeyEnv at[string] `yaml:"keyEnv"`
}

type routeSpec struct {
	Name              at[string]   `yaml:"name"`
	Method            at[string]   `yaml:"method"`
	Path              at[string]   `yaml:"path"`
	Mode              at[string]   `yaml:"mode"`
	Percent           at[float64]  `yaml:"percent"`
	Cohort            at[string]   `yaml:"cohort"`
	Upstream          at[string]   `yaml:"upstream"`
	Timeout           at[duration] `yaml:"timeout"`
	Fallback          at[string]   `yaml:"fallback"`
	ReadsFollowWrites bool         `yaml:"readsFollowWrites"`
	Public            bool         `yaml:"public"`
	Request           requestSpec  `yaml:"request"`
	Response          responseSpec `yaml:"response"`
}

type requestSpec struct {
	Method at[string] `yaml:"method"`
	Path   at[string] `yaml:"path"`
	Query  ast.Node   `yaml:"query"`
	Body   ast.Node   `yaml:"body"`
}

type responseSpec struct {
	Body  ast.Node `yaml:"body"`
	Error ast.Node `yaml:"error"`
}

// at is a value with its place in the file. The zero value has line 0: it
// was not in the file.
type at[T any] struct {
	value     T
	line, col int
}

func (a at[T]) given() bool { return a.line > 0 }

// UnmarshalYAML keeps the place of the node that the value is read from.
func (a *at[T]) UnmarshalYAML(n ast.Node) error {
	a.line, a.col = place(n)
	err := yaml.NodeToValue(n, &a.value, yaml.Strict())
	var wrongType *yaml.TypeError
	if errors.As(err, &wrongType) && wrongType.StructFieldName == nil {
		return wrongAt(n, "%q is not %s", n.String(), kindOf(a.value))
	}
	return err
}

// kindOf says what a value of the type is, for a person.
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
		return &yaml.SyntaxError{Message: fmt.Sprintf("%q is not a duration above zero such as 500ms or 2s", s), Token: n.GetToken()}
	}
	*d = duration(v)
	return nil
}

// place is where a node begins. A mapping's own token is the colon behind
// its first key, so the key is asked instead.
func place(n ast.Node) (line, col int) {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return place(m.Values[0])
		}
	case *ast.MappingValueNode:
		return place(m.Key)
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
