package serving

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// variable is the name of a command as a part of the names of its variables.
func variable(command string) string { return strings.ToUpper(strings.ReplaceAll(command, "-", "_")) }

// byteOrderMark begins files that some editors write.
const byteOrderMark = "\ufeff"

// configFile is the name of a YAML file that gives values to flags.
type configFile string

// BeforeResolve reads the file; kong calls it where the flag or its variable is set.
// kong's own ConfigFlag would let the file count before environment variables.
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
	file, err := parseConfig(text)
	if err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	file.path = path
	ctx.AddResolver(file)
	return nil
}

// configValues are the values of a file, by the names of their flags. It is a
// kong.Resolver.
type configValues struct {
	path   string
	values map[string]configValue
}

type configValue struct {
	line  int
	value any // string, or []any of the same
}

// parseConfig reads one mapping of scalars and lists. Errors begin with the line.
func parseConfig(text []byte) (*configValues, error) {
	file, err := parser.ParseBytes(bytes.TrimPrefix(text, []byte(byteOrderMark)), 0)
	if syntax := yaml.Error(nil); errors.As(err, &syntax) {
		return nil, fmt.Errorf("%d: %s", syntax.GetToken().Position.Line, syntax.GetMessage())
	} else if err != nil {
		return nil, err
	}
	c := &configValues{values: map[string]configValue{}}
	for i, doc := range file.Docs {
		var pairs []*ast.MappingValueNode
		switch n := doc.Body.(type) {
		case nil, *ast.CommentGroupNode:
			continue
		case *ast.MappingNode:
			pairs = n.Values
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{n}
		}
		if i > 0 || pairs == nil {
			return nil, fmt.Errorf("%d: must be one document of flags and their values, such as \"listen: 127.0.0.1:8080\"", line(doc.Body))
		}
		for _, p := range pairs {
			name := p.Key.GetToken().Value // without the quotes that JSON has
			value, err := valueOf(p.Value)
			if err != nil {
				return nil, fmt.Errorf("%d: %s: %w", line(p.Key), name, err)
			}
			c.values[name] = configValue{line(p.Key), value}
		}
	}
	return c, nil
}

func line(n ast.Node) int { return n.GetToken().Position.Line }

// valueOf returns a scalar as the text that its flag would be given, so that 0600
// stays octal, or a list of such.
func valueOf(n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		all := []any{}
		for _, item := range n.Values {
			value, err := valueOf(item)
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
		return all, nil
	}
	return nil, errors.New("must be a text, a number, true, false, or a list of these")
}

// Validate refuses names that no flag of the command has.
func (c *configValues) Validate(app *kong.Application) error {
	known := map[string]bool{}
	err := kong.Visit(app, func(n kong.Visitable, next kong.Next) error {
		if flag, ok := n.(*kong.Flag); ok && !slices.Contains([]string{"help", "version", "config"}, flag.Name) {
			known[flag.Name] = true
		}
		return next(nil)
	})
	for name, v := range c.values {
		if !known[name] {
			return fmt.Errorf("%s:%d: unknown flag --%s", c.path, v.line, name)
		}
	}
	return err
}

// Resolve gives a flag its value unless an environment variable does.
func (c *configValues) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := c.values[flag.Name]
	if !ok {
		return nil, nil
	}
	for _, variable := range flag.Tag.Envs {
		if _, set := os.LookupEnv(variable); set {
			return nil, nil
		}
	}
	if list, ok := v.value.([]any); ok && !flag.IsSlice() {
		return nil, fmt.Errorf("%s:%d: %s takes one value, not a list of %d", c.path, v.line, flag.Name, len(list))
	}
	return v.value, nil
}
