package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Breaking compares two schemas that [Of] wrote of one version, and lists what
// breaks: readers of the committed schema that get new events, or readers of the
// new one that get old events. A new optional member breaks neither.
func Breaking(committed, now []byte) ([]string, error) {
	var old, new document
	for into, raw := range map[*document][]byte{&old: committed, &new: now} {
		if err := json.Unmarshal(raw, &into.root); err != nil {
			return nil, fmt.Errorf("schema: compare: %w", err)
		}
	}
	c := comparison{old: old, new: new, seen: map[string]bool{}}
	if a, b := old.root[PartitionKey], new.root[PartitionKey]; !reflect.DeepEqual(a, b) {
		c.report("the partition key was %s and is %s: one entity's old and new events would lose their order", keyText(a), keyText(b))
	}
	c.compare("", old.root, new.root)
	return c.found, nil
}

func keyText(v any) string {
	if v == nil {
		return "no single member"
	}
	return fmt.Sprintf("member %q", v)
}

// document is a schema that may refer to its own definitions.
type document struct{ root map[string]any }

// maxReferences bounds how many references lead from one to the next: in a cycle, a
// schema has no meaning.
const maxReferences = 100

// resolve follows references, and reports whether null is allowed besides, and whose the
// member is where it is personal, and so may be sealed.
func (d document) resolve(node any) (s map[string]any, orNull bool, personal string) {
	for range maxReferences {
		s, _ = node.(map[string]any)
		options, _ := s["anyOf"].([]any)
		ref, refers := s["$ref"].(string)
		whose, _ := s[Personal].(string)
		switch {
		case whose != "" && len(options) == 2:
			node, personal = options[0], whose
		case len(options) == 2 && reflect.DeepEqual(options[1], map[string]any{"type": "null"}):
			node, orNull = options[0], true
		case refers:
			definitions, _ := d.root["$defs"].(map[string]any)
			node = definitions[strings.TrimPrefix(ref, "#/$defs/")]
		default:
			return s, orNull, personal
		}
	}
	return nil, orNull, personal
}

type comparison struct {
	old, new document
	seen     map[string]bool // pairs of references that are being compared
	found    []string
}

func (c *comparison) report(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// descriptive keywords do not affect validity.
var descriptive = []string{
	"$schema", "$id", "$defs", "title", "description", "examples", "default", PartitionKey,
	"properties", "required", "items", "additionalProperties", // compared on their own
}

func (c *comparison) compare(path string, oldNode, newNode any) {
	if pair := fmt.Sprint(oldNode, " ", newNode); strings.Contains(pair, "$ref") {
		if c.seen[pair] {
			return
		}
		c.seen[pair] = true
	}
	old, oldNull, oldPersonal := c.old.resolve(oldNode)
	new, newNull, newPersonal := c.new.resolve(newNode)
	switch {
	case oldPersonal == "" && newPersonal != "":
		c.report("%s is personal now: readers of the committed schema refuse sealed ones", place(path))
	case oldPersonal != "" && newPersonal == "":
		c.report("%s is no longer personal: readers of the new schema refuse old events in which it is sealed", place(path))
	}
	if oldNull != newNull {
		c.report("%s: null was %s and is %s", place(path), allowed(oldNull), allowed(newNull))
	}
	keywords := slices.Collect(maps.Keys(old))
	keywords = slices.AppendSeq(keywords, maps.Keys(new))
	slices.Sort(keywords)
	for _, keyword := range slices.Compact(keywords) {
		if !slices.Contains(descriptive, keyword) && !reflect.DeepEqual(old[keyword], new[keyword]) {
			c.report("%s: its %s was %s and is %s", place(path), keyword, text(old[keyword]), text(new[keyword]))
		}
	}
	c.compareMembers(path, old, new)
	for _, inner := range [][2]string{{"items", "[]"}, {"additionalProperties", "{}"}} {
		if keyword := inner[0]; old[keyword] != nil || new[keyword] != nil {
			c.compare(path+inner[1], old[keyword], new[keyword])
		}
	}
}

func (c *comparison) compareMembers(path string, old, new map[string]any) {
	oldMembers, _ := old["properties"].(map[string]any)
	newMembers, _ := new["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(oldMembers)) {
		member := strings.TrimPrefix(path+"."+name, ".")
		if _, ok := newMembers[name]; !ok {
			c.report("%s was removed or renamed", place(member))
			continue
		}
		if before, after := requires(old, name), requires(new, name); before && !after {
			c.report("%s is no longer required: readers of the committed schema refuse events without it", place(member))
		} else if after && !before {
			c.report("%s is now required: old events lack it", place(member))
		}
		c.compare(member, oldMembers[name], newMembers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(newMembers)) {
		if _, ok := oldMembers[name]; !ok && requires(new, name) {
			c.report("%s is new and required: old events lack it; add omitempty", place(strings.TrimPrefix(path+"."+name, ".")))
		}
	}
}

func requires(s map[string]any, name string) bool {
	required, _ := s["required"].([]any)
	return slices.Contains(required, any(name))
}

func place(path string) string {
	if path == "" {
		return "the data"
	}
	return fmt.Sprintf("member %q", path)
}

func allowed(b bool) string {
	if b {
		return "allowed"
	}
	return "refused"
}

func text(v any) string {
	if v == nil {
		return "absent"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
