package events

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unsafe"
)

// validator is the optional part of a [Payload].
type validator interface{ Validate() error }

func validatePayload(p Payload) error {
	if v, ok := p.(validator); ok {
		return v.Validate()
	}
	return nil
}

// member is one member of a JSON object that its Go type always writes.
type member struct {
	name     string
	begins   string   // how encoding/json begins it: its name and a colon
	nullable bool     // null where Go has a pointer, a map, a slice or an interface
	personal bool     // may be sealed
	members  []member // of the object that it is
}

// writtenMembers returns the members that p's type writes for every value, p being the
// zero value. A type that cannot write that has none: a MarshalJSON of its own may follow
// a nil pointer.
func writtenMembers(p any) (all []member) {
	defer func() {
		if recover() != nil {
			all = nil
		}
	}()
	data, err := json.Marshal(p)
	if err != nil {
		return nil
	}
	return membersOf(data)
}

func membersOf(data json.RawMessage) (all []member) {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return nil // not an object
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value := object[name]
		quoted, _ := json.Marshal(name) // a string can be written
		all = append(all, member{name: name, begins: string(quoted) + ":", nullable: isNull(value), members: membersOf(value)})
	}
	return all
}

// missingMember returns the path of the first of the members that the object lacks,
// "" when it has all, or is not an object: its Go type reads something else, too.
// The text is JSON.
func missingMember(text string, members []member) (path string) {
	if len(members) == 0 || !strings.HasPrefix(text, "{") || isPlainWithAll(text, members) {
		return ""
	}
	var few [16]bool
	there := few[:min(len(members), len(few))]
	if len(members) > len(few) {
		there = make([]bool, len(members))
	}
	eachMember(text, func(name, value string, _ int) {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		if i < 0 {
			return
		}
		there[i] = members[i].nullable || value != "null"
		if members[i].personal {
			if _, sealed := ParseSealed(value); sealed {
				return
			}
		}
		if inner := missingMember(value, members[i].members); inner != "" && path == "" {
			path = name + "." + inner
		}
	})
	if i := slices.Index(there, false); i >= 0 {
		return members[i].name
	}
	return path
}

// isPlainWithAll is a fast way to see that nothing is missing: in an object without others in
// it, without null and blanks, a member's name stands right behind a comma or the brace, and
// nothing in a string looks like that, since quotes in it are escaped. false says nothing.
func isPlainWithAll(text string, members []member) bool {
	if strings.LastIndexByte(text, '{') > 0 || strings.Contains(text, "null") {
		return false
	}
	for i := range members {
		at := strings.Index(text, members[i].begins)
		if at < 1 || text[at-1] != '{' && text[at-1] != ',' {
			return false
		}
	}
	return true
}

// eachMember calls do for each member of an object, with the offset of its value, until the
// text is not JSON.
func eachMember(text string, do func(name, value string, at int)) {
	c := scanner{s: text, i: 1}
	c.skipSpace()
	if c.accept('}') {
		return
	}
	for more := true; more; {
		name, escaped, err := c.name()
		if err != nil {
			return
		}
		if escaped && json.Unmarshal([]byte(`"`+name+`"`), &name) != nil {
			return
		}
		start := c.i
		if c.value(1) != nil {
			return
		}
		do(name, text[start:c.i], start)
		if more, err = c.hasNext('}'); err != nil {
			return
		}
	}
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// decodeAndCheck decodes the data of e, which has this type and version, and checks what
// that promises. Methods of a payload may panic where the data has null for a
// pointer that they follow.
func (t *Type) decodeAndCheck(e *Event) (p Payload, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, t.promiseError(e, fmt.Errorf("a method of %s panicked: %v", t.goType, r))
		}
	}()
	data, withheld := e.Data, false
	if t.personal != nil {
		data, withheld = withhold(data, t.personal)
	}
	if p, err = t.decode(data); err != nil {
		return nil, t.promiseError(e, err)
	}
	// The string lives no longer than this call, during which the bytes do not change.
	text := unsafe.String(unsafe.SliceData(e.Data), len(e.Data))
	if path := missingMember(strings.TrimLeft(text, " \t\r\n"), t.required); path != "" {
		return nil, t.promiseError(e, fmt.Errorf("required member %q is missing or null", shorten(path)))
	}
	if !withheld { // it was whole when it was made
		if err := validatePayload(p); err != nil {
			return nil, t.promiseError(e, err)
		}
	}
	switch key := p.PartitionKey(); key {
	case e.PartitionKey:
		return p, nil
	case "":
		return nil, t.promiseError(e, fmt.Errorf("the partition key (%s) is empty", t.PartitionKey))
	default:
		return nil, payloadError(e, malformed("partitionkey", "the envelope has %q, and %s version %d names %q (%s)",
			shorten(e.PartitionKey), t.Name, t.Version, shorten(key), t.PartitionKey))
	}
}

// liftFrom calls t.lift, and checks the promise of the returned payload if it is whole.
func (t *Type) liftFrom(p Payload, whole bool) (lifted Payload, err error) {
	defer func() {
		if r := recover(); r != nil {
			lifted, err = nil, fmt.Errorf("it panicked: %v", r)
		}
	}()
	if lifted, err = t.lift(p); err != nil || !whole {
		return lifted, err
	}
	return lifted, validatePayload(lifted)
}

func (t *Type) promiseError(e *Event, err error) error {
	return payloadError(e, fmt.Errorf("%w: data: does not fit %s version %d: %w", ErrMalformed, t.Name, t.Version, err))
}

func payloadError(e *Event, err error) error {
	return fmt.Errorf("events: payload of event %s: %w", shorten(e.ID), err)
}
