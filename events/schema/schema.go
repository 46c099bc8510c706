// Package schema describes the types of a registry for people and programs without its
// Go types: a JSON Schema for each version of each type, and one AsyncAPI
// document for all. The same registry always gives the same bytes.
//
// A schema requires what [events.Registry.Check] requires, with these exceptions: what
// a Validate method checks is not in it, nor is the form of types with a
// MarshalJSON of their own, which may have a method
//
//	JSONSchema() *jsonschema.Schema
//
// to describe it; and members of list elements and of map values are required in the
// schema alone. Tags such as `jsonschema:"minLength=1,description=..."` add to a
// member, see github.com/invopop/jsonschema.
package schema

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/banyan-fig/banyan/events"
)

// PartitionKey is the keyword of a schema that names the member which is the
// partition key. It is absent where no single member is.
const PartitionKey = "x-partition-key"

// Of returns the JSON Schema (draft 2020-12) of the data of events of type t,
// indented, with a newline at the end.
func Of(t events.Type) (out []byte, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case string: // the reflector panics with a string for a type without JSON
			out, err = nil, fmt.Errorf("schema: %s version %d: %s", t.Name, t.Version, r)
		default:
			panic(r)
		}
	}()
	raw, err := json.Marshal(reflectType(t))
	if err != nil {
		return nil, fmt.Errorf("schema: %s version %d: %w", t.Name, t.Version, err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, raw, "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

func reflectType(t events.Type) *jsonschema.Schema {
	n := names{types: map[string]reflect.Type{}, names: map[reflect.Type]string{}}
	r := &jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true, Mapper: mapType, Namer: n.name}
	s := r.ReflectFromType(t.GoType())
	for name, definition := range s.Definitions {
		allowNullInside(definition, n.types[name])
	}
	expandRoot(s)
	s.ID = jsonschema.ID(url.PathEscape(name(t)))
	s.Title = fmt.Sprintf("%s, version %d", t.Name, t.Version)
	if key := keyMember(t); key != "" {
		s.Extras = map[string]any{PartitionKey: key}
	}
	return s
}

// name of a version of a type.
func name(t events.Type) string { return fmt.Sprintf("%s.v%d", t.Name, t.Version) }

// expandRoot moves the definition that the root refers to into the root, unless
// others refer to it.
func expandRoot(s *jsonschema.Schema) {
	root, ok := strings.CutPrefix(s.Ref, "#/$defs/")
	if !ok {
		return
	}
	inner, err := json.Marshal(s.Definitions)
	if err != nil || bytes.Contains(inner, []byte(`"`+s.Ref+`"`)) {
		return
	}
	definitions, version := s.Definitions, s.Version
	*s = *definitions[root]
	delete(definitions, root)
	s.Version = version
	if len(definitions) > 0 {
		s.Definitions = definitions
	}
}

// names gives each Go type a name of its own among the definitions of a schema.
type names struct {
	types map[string]reflect.Type
	names map[reflect.Type]string
}

func (n names) name(t reflect.Type) string {
	if known, ok := n.names[t]; ok || t.Name() == "" {
		return known
	}
	plain := plainName(t)
	unique := plain
	for i := 2; n.types[unique] != nil; i++ {
		unique = fmt.Sprint(plain, i)
	}
	n.types[unique], n.names[t] = t, unique
	return unique
}

// plainName is the name of a type without the packages of its type parameters.
func plainName(t reflect.Type) string {
	var plain strings.Builder
	for part := range strings.FieldsFuncSeq(t.Name(), func(r rune) bool { return strings.ContainsRune("[],* ", r) }) {
		plain.WriteString(part[strings.LastIndexAny(part, "./")+1:])
	}
	return plain.String()
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	ownSchema     = reflect.TypeFor[interface{ JSONSchema() *jsonschema.Schema }]()
)

// mapType returns the schema of types whose JSON differs from their Go
// type, nil for others.
func mapType(t reflect.Type) *jsonschema.Schema {
	p := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[json.RawMessage](), t.Implements(ownSchema):
		return nil
	case t.Kind() == reflect.Interface, p.Implements(jsonMarshaler), t == reflect.TypeFor[url.URL]():
		return &jsonschema.Schema{}
	case p.Implements(textMarshaler):
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}

// allowNull accepts null where encoding/json writes it: for pointers, lists and
// maps. s is the schema of t, which is changed.
func allowNull(s *jsonschema.Schema, t reflect.Type) *jsonschema.Schema {
	if s == nil || t == nil || mapType(t) != nil || t == reflect.TypeFor[json.RawMessage]() {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(allowNull(s, t.Elem()))
	case reflect.Slice, reflect.Map:
		allowNullInside(s, t)
		return nullable(s)
	}
	allowNullInside(s, t)
	return s
}

// allowNullInside is allowNull for the parts of s.
func allowNullInside(s *jsonschema.Schema, t reflect.Type) {
	switch {
	case t == nil:
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		s.Items = allowNull(s.Items, t.Elem())
	case t.Kind() == reflect.Map:
		s.AdditionalProperties = allowNull(s.AdditionalProperties, t.Elem())
	case t.Kind() == reflect.Struct && s.Properties != nil:
		for _, f := range reflect.VisibleFields(t) {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if property, ok := s.Properties.Get(cmp.Or(tag, f.Name)); ok {
				property = allowNull(property, f.Type)
				if whose, ok := f.Tag.Lookup(events.PersonalTag); ok {
					property = allowSealed(property, whose)
				}
				s.Properties.Set(cmp.Or(tag, f.Name), property)
			}
		}
	}
}

func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	allowsAnything := reflect.DeepEqual(*s, jsonschema.Schema{})
	if allowsAnything || len(s.AnyOf) == 2 && s.AnyOf[1].Type == "null" {
		return s
	}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
}
