package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/banyan-fig/banyan/events"
)

// Personal is the keyword of a member that is declared personal. Its value is Whose of the
// [events.PersonalMember]. It stands beside an anyOf of two: the member's own schema, and
// that of [events.Sealed].
const Personal = "x-personal"

// allowSealed accepts what s does, and the sealed form of it.
func allowSealed(s *jsonschema.Schema, whose string) *jsonschema.Schema {
	if s.Extras[Personal] != nil {
		return s
	}
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: true}
	sealed := r.Reflect(events.Sealed{})
	sealed.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, sealed}, Extras: map[string]any{Personal: whose}}
}

// Personal lists the personal members of the type of e, nil for a type that the document lacks:
// what personal.Sealer needs in a program without Go types.
func (d *Document) Personal(e events.Event) []events.PersonalMember {
	return d.messages[messageName{e.Type, e.Version}].personal
}

// personalMembers finds the members that a schema declares personal.
func personalMembers(schema []byte) ([]events.PersonalMember, error) {
	var d document
	if err := json.Unmarshal(schema, &d.root); err != nil || d.root == nil {
		return nil, nil // true, say, which allows anything
	}
	return d.personalIn(d.root, nil, nil)
}

// personalIn finds those of a node, which a path leads to through the nodes before it. A
// personal member that no path leads to would not be sealed, so it is refused.
func (d document) personalIn(node any, path []string, before []map[string]any) (all []events.PersonalMember, err error) {
	if whose := personalOf(node); whose != "" {
		m := events.PersonalMember{Path: path, Whose: whose}
		return []events.PersonalMember{m}, m.Validate()
	}
	s, _, _ := d.resolve(node)
	again := slices.ContainsFunc(before, func(b map[string]any) bool { return same(b, s) })
	for keyword, value := range s {
		if (again || keyword != "properties" && keyword != "$defs") && d.hasPersonal(value, nil) {
			return nil, fmt.Errorf("%s: %s lies inside of a list, a map, an alternative, or of what contains itself: declare the whole personal",
				place(strings.Join(path, ".")), Personal)
		}
	}
	members, _ := s["properties"].(map[string]any)
	if again {
		return nil, nil
	}
	before = append(slices.Clip(before), s)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		found, err := d.personalIn(members[name], append(slices.Clip(path), name), before)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func personalOf(node any) string {
	s, _ := node.(map[string]any)
	whose, _ := s[Personal].(string)
	return whose
}

func same(a, b map[string]any) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// hasPersonal reports whether a personal member is anywhere in a node, or in what it refers to.
func (d document) hasPersonal(node any, seen []map[string]any) bool {
	switch node := node.(type) {
	case []any:
		return slices.ContainsFunc(node, func(v any) bool { return d.hasPersonal(v, seen) })
	case map[string]any:
		if slices.ContainsFunc(seen, func(b map[string]any) bool { return same(b, node) }) {
			return false
		}
		if _, refers := node["$ref"]; refers {
			target, _, _ := d.resolve(node)
			return d.hasPersonal(target, append(slices.Clip(seen), node))
		}
		for _, value := range node {
			if personalOf(node) != "" || d.hasPersonal(value, append(slices.Clip(seen), node)) {
				return true
			}
		}
	}
	return false
}
