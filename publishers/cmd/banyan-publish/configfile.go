package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// configFile is the name of a YAML file that gives values to flags.
type configFile string

// BeforeResolve reads the file; kong calls it.
func (c configFile) BeforeResolve(ctx *kong.Context, trace *kong.Path) error {
	path := string(c)
	if path == "" { // given as a flag, which is not applied yet
		named, _ := ctx.FlagValue(trace.Flag).(configFile)
		path = string(named)
	}
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the file of --config: %w", err)
	}
	settings, err := parseSettings(text)
	if err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	settings.path = path
	ctx.AddResolver(settings)
	return nil
}

// settings are the values of a file. It is a kong.Resolver.
type settings struct {
	path   string
	values map[string]setting
}

type setting struct {
	line  int
	value any // string or []any of strings
}

// parseSettings reads one mapping of scalars and lists. Errors begin with the line.
func parseSettings(text []byte) (*settings, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, yamlError(err)
	}
	s := &settings{values: map[string]setting{}}
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 {
			return nil, fmt.Errorf("%d: a second document; one is enough", line(doc.Body))
		}
		if err := s.add(doc.Body); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *settings) add(body ast.Node) error {
	var pairs []*ast.MappingValueNode
	switch n := body.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.CommentGroupNode:
		return nil
	default:
		return fmt.Errorf("%d: want flags with their values, such as \"stream: banyan-events\"", line(body))
	}
	for _, p := range pairs {
		value, err := valueOf(p.Value)
		if err != nil {
			return fmt.Errorf("%d: %s: %w", line(p.Key), p.Key.String(), err)
		}
		s.values[p.Key.String()] = setting{line(p.Key), value}
	}
	return nil
}

// valueOf is a scalar as the text that a flag would have, or a list of such.
func valueOf(n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		var all []any
		for _, item := range n.Values {
			value, err := valueOf(item)
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
		return all, nil
	}
	return nil, errors.New("want a text, a number, true or false, or a list of these")
}

func line(n ast.Node) int { return n.GetToken().Position.Line }

func yamlError(err error) error {
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		return fmt.Errorf("%d: %s", syntax.GetToken().Position.Line, syntax.GetMessage())
	}
	return err
}

// Validate refuses keys that no command has: a kong.Resolver.
func (s *settings) Validate(app *kong.Application) error {
	known := map[string]bool{}
	collect(app.Node, known)
	for key, v := range s.values {
		if !known[key] {
			return fmt.Errorf("%s:%d: there is no flag --%s", s.path, v.line, key)
		}
	}
	return nil
}

func collect(n *kong.Node, into map[string]bool) {
	for _, f := range n.Flags {
		if f.Name != "help" && f.Name != "config" {
			into[f.Name] = true
		}
	}
	for _, child := range n.Children {
		collect(child, into)
	}
}

// Resolve gives the value of a flag that no variable has: a kong.Resolver.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := s.values[flag.Name]
	if !ok {
		return nil, nil
	}
	for _, name := range flag.Tag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if list, ok := v.value.([]any); ok && !flag.IsSlice() {
		return nil, fmt.Errorf("%s:%d: %s takes one value, not a list of %d", s.path, v.line, flag.Name, len(list))
	}
	if text, ok := v.value.(string); ok && strings.TrimSpace(text) == "" {
		return "", nil
	}
	return v.value, nil
}
