package route

import (
	"reflect"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// decode reads a node strictly. The library does so too, but looks at the tags of a struct for
// each mapping anew, and makes a decoder for each value: half the time of a long file. It
// reads what is left, and is asked again where anything is wrong: errors are its own.
func decode(n ast.Node, into any) error {
	v := reflect.ValueOf(into).Elem()
	if isDecoded(n, v) {
		return nil
	}
	v.SetZero()
	return yaml.NodeToValue(n, into, yaml.Strict())
}

// isDecoded reads a scalar that is written as its type, or a mapping with known keys.
func isDecoded(n ast.Node, v reflect.Value) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		if v.Kind() == reflect.String {
			v.SetString(n.Value)
			return true
		}
	case *ast.BoolNode:
		if v.Kind() == reflect.Bool {
			v.SetBool(n.Value)
			return true
		}
	case *ast.MappingNode:
		return v.Kind() == reflect.Struct && len(n.Values) > 0 && areDecoded(n.Values, v)
	}
	return false
}

func areDecoded(values []*ast.MappingValueNode, v reflect.Value) bool {
	fields := fieldsOf(v.Type())
	for _, pair := range values {
		key, ok := pair.Key.(*ast.StringNode)
		if !ok || pair.Value.Type() == ast.NullType {
			return false
		}
		i, known := fields[key.Value]
		if !known {
			return false
		}
		field := v.Field(i)
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		var err error
		if own, ok := field.Addr().Interface().(yaml.NodeUnmarshaler); ok {
			err = own.UnmarshalYAML(pair.Value)
		} else if !isDecoded(pair.Value, field) {
			err = yaml.NodeToValue(pair.Value, field.Addr().Interface(), yaml.Strict())
		}
		if err != nil {
			return false
		}
	}
	return true
}

var fieldIndexes sync.Map // of map[string]int by reflect.Type

// fieldsOf returns the fields of a struct by their keys.
func fieldsOf(t reflect.Type) map[string]int {
	if known, ok := fieldIndexes.Load(t); ok {
		return known.(map[string]int)
	}
	fields := map[string]int{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); t.Field(i).IsExported() && name != "" && name != "-" {
			fields[name] = i
		}
	}
	fieldIndexes.Store(t, fields)
	return fields
}
