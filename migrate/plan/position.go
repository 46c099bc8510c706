package plan

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// syntaxError turns an error of the parser into one with file:line:column and what to
// write instead.
func syntaxError(name string, text []byte, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		pos := at.GetToken().Position
		return fmt.Errorf("%w: %s:%d:%d: %s", ErrInvalid, name, pos.Line, pos.Column, explainSyntax(at))
	}
	where := name + ":1:1"
	if strings.Contains(err.Error(), "duration") { // the parser gives no position
		where = badDuration(name, text)
		err = errors.New(wantDuration)
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, where, err)
}

const wantDuration = "must be a duration such as 900ms, 5s or 10m"

// explainSyntax says what is wrong and what to write instead.
func explainSyntax(err yaml.Error) string {
	value := err.GetToken().Value
	switch err := err.(type) {
	case *yaml.UnknownFieldError:
		return fmt.Sprintf("unknown key %q; remove it or correct its spelling, the keys are in migrate/plan/plan.md", value)
	case *yaml.TypeError:
		return fmt.Sprintf("invalid value %q: %s", value, expectedValue(err.DstType))
	case *yaml.OverflowError:
		return fmt.Sprintf("invalid value %q: %s", value, expectedValue(err.DstType))
	case *yaml.UnexpectedNodeTypeError:
		switch err.Expected {
		case ast.SequenceType:
			return `must be a list, of which each item begins with "- "`
		case ast.MappingType:
			return `must be a map, of lines like "key: value"`
		}
	}
	if strings.Contains(err.GetMessage(), "'\t'") {
		return "a line begins with a tab; indent with spaces"
	}
	return err.GetMessage() + "; correct the YAML"
}

func expectedValue(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return wantDuration
	case t.Kind() == reflect.Bool:
		return "must be true or false"
	case t.Kind() == reflect.Float64:
		return "must be a number"
	case t.Kind() == reflect.Int:
		return "must be a whole number"
	}
	return "must be a text"
}

// secondDocument returns the line where another document begins, 0 for none.
func secondDocument(text []byte) int {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return 0
	}
	seen := false
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if seen {
			return doc.Body.GetToken().Position.Line
		}
		seen = true
	}
	return 0
}

// badDuration finds the first budget that is not a duration.
func badDuration(name string, text []byte) string {
	for _, budget := range []string{"hold", "lag", "verification", "outOfBandQuiet"} {
		var value string
		at, err := yaml.PathString("$.budgets." + budget)
		if err != nil || at.Read(bytes.NewReader(text), &value) != nil {
			continue
		}
		if _, err := time.ParseDuration(value); err != nil {
			return locate(name, text, "$.budgets."+budget)
		}
	}
	return name + ":1:1"
}

// locate finds where a path of the plan stands in its text, or the nearest
// parent that is there.
func locate(name string, text []byte, path string) string {
	file, err := parser.ParseBytes(text, 0)
	for err == nil && path != "" {
		if at, pathErr := yaml.PathString(path); pathErr == nil {
			if node, findErr := at.FilterFile(file); findErr == nil && node != nil {
				line, column := positionOf(node)
				return fmt.Sprintf("%s:%d:%d", name, line, column)
			}
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut <= 0 {
			break
		}
		path = path[:cut]
	}
	return name + ":1:1"
}

func positionOf(node ast.Node) (line, column int) {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	pos := node.GetToken().Position
	return pos.Line, pos.Column
}
