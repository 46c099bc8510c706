package warehouse

import (
	"cmp"
	"strings"
	"unicode"
)

// maxName is less than the 127 bytes that Redshift allows for a name, with room for "_once".
const maxName = 120

func compare(a, b string) int { return cmp.Compare(a, b) }

// columnName writes a name in small letters, digits and underscores, which no warehouse needs
// to quote or takes for another: userId is user_id. It is "" where nothing is left.
func columnName(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		if r = unicode.ToLower(r); r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	parts := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '_' })
	joined := strings.Join(parts, "_")
	if len(joined) > maxName || strings.Trim(joined, "_0123456789") == "" {
		return ""
	}
	return joined
}

// dataColumnName is columnName for a member of the data, away from the columns of the envelope
// and of the partition.
func dataColumnName(member string) string {
	name := columnName(member)
	if strings.HasPrefix(name, "event_") || name == "dt" || name != "" && name[0] <= '9' {
		name = "data_" + name
	}
	return name
}

// maxReferences bounds how many references are followed to find the type of a member.
const maxReferences = 8

// memberTypes are the types of the members that the schema of an object names.
func memberTypes(data map[string]any) map[string]Type {
	types := map[string]Type{}
	properties, _ := resolve(data, data)["properties"].(map[string]any)
	for member, s := range properties {
		types[member] = typeOf(s, data)
	}
	return types
}

// typeOf is the type of the column for a value with a schema.
func typeOf(s any, root map[string]any) Type {
	schema, _ := s.(map[string]any)
	schema = resolve(schema, root)
	switch name, _ := schema["type"].(string); {
	case name == "string" && schema["format"] == "date-time":
		return Timestamp
	case name == "string":
		return Text
	case name == "integer":
		return Integer
	case name == "number":
		return Float
	case name == "boolean":
		return Boolean
	}
	return JSON
}

// resolve follows references within the schema, and leaves out that a value may be null.
func resolve(schema, root map[string]any) map[string]any {
	for range maxReferences {
		if name, ok := strings.CutPrefix(text(schema["$ref"]), "#/$defs/"); ok {
			definitions, _ := root["$defs"].(map[string]any)
			schema, _ = definitions[name].(map[string]any)
			continue
		}
		inner, ok := withoutNull(schema)
		if !ok {
			return schema
		}
		schema = inner
	}
	return schema
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// withoutNull is the schema that is left of an anyOf, or a list of types, of two, one of which
// is null.
func withoutNull(schema map[string]any) (map[string]any, bool) {
	if types, ok := schema["type"].([]any); ok && len(types) == 2 {
		for i, t := range types {
			if t == "null" {
				return map[string]any{"type": types[1-i], "format": schema["format"]}, true
			}
		}
	}
	branches, _ := schema["anyOf"].([]any)
	for i, b := range branches {
		branch, _ := b.(map[string]any)
		if inner, ok := branches[(i+1)%len(branches)].(map[string]any); ok && len(branches) == 2 && branch["type"] == "null" {
			return inner, true
		}
	}
	return nil, false
}
