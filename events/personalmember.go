package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// PersonalTag is the struct tag that declares a member of a payload personal: it says
// something about a person, and is sealed before the event leaves its publisher where that
// has a key for each subject (see package events/personal). Its text is Whose of the
// [PersonalMember]. A list or a map is declared as a whole, not inside of its elements.
const PersonalTag = "personal"

// OfSubject is the Whose of a member that is about the subject of its event.
const OfSubject = "subject"

// PersonalMember is a member of the data of a type that is declared personal.
type PersonalMember struct {
	// Path are the names of the members that lead to it, from the outside.
	Path []string
	// Whose names the subject that it is about, and by whose key it is sealed: [OfSubject], or
	// a text with members of the data in braces, which must be texts or numbers and not
	// personal themselves, such as "user/{recipient}".
	Whose string
}

// String is the path as errors write it, such as "to.street".
func (m PersonalMember) String() string { return strings.Join(m.Path, ".") }

// Validate reports whether there is a path, and Whose has its form.
func (m PersonalMember) Validate() error {
	if len(m.Path) == 0 {
		return errors.New("members can be personal, and not the whole data")
	}
	if _, err := whoseMembers(m.Whose); err != nil {
		return fmt.Errorf("personal member %q: %w", m, err)
	}
	return nil
}

// Sealed is what stands in the data of an event in the place of a personal member. It is
// an object with these members and no others.
type Sealed struct {
	// Sealed is the ciphertext, in base64. "": the subject had been erased before the event was made.
	Sealed string `json:"$sealed"`
	// Subject is whose key opens it.
	Subject string `json:"subject"`
	// Key identifies the key.
	Key string `json:"key,omitempty"`
}

// ParseSealed reports whether value, which is JSON, has the form of a [Sealed].
func ParseSealed(value string) (s Sealed, ok bool) {
	if !strings.HasPrefix(value, "{") {
		return s, false
	}
	found, others := false, false
	eachMember(value, func(name, text string, _ int) {
		var into *string
		switch name {
		case "$sealed":
			into, found = &s.Sealed, true
		case "subject":
			into = &s.Subject
		case "key":
			into = &s.Key
		}
		others = others || into == nil || json.Unmarshal([]byte(text), into) != nil
	})
	return s, found && !others && s.Subject != ""
}

// Personal lists the members of the data that are declared personal, nil for most types.
func (t Type) Personal() []PersonalMember { return slices.Clone(t.personal) }

// Personal is that of the type of e, nil for one that the registry does not have.
func (r *Registry) Personal(e Event) []PersonalMember {
	if r == nil || !r.personal {
		return nil
	}
	versions, err := r.versionsFrom(&e)
	if err != nil {
		return nil
	}
	return versions[0].personal
}

// Withholds reports whether any personal member of e is sealed: [Registry.Decode] leaves
// it out of the payload.
func (r *Registry) Withholds(e Event) bool {
	members := r.Personal(e)
	if members == nil {
		return false
	}
	_, sealed := withhold(e.Data, members)
	return sealed
}

// withhold returns data with null for each personal member that is sealed, and whether
// there is any. Data that is not JSON is left to who decodes it.
func withhold(data json.RawMessage, members []PersonalMember) (rest json.RawMessage, sealed bool) {
	rest, err := RewritePersonal(data, members, func(_ PersonalMember, value json.RawMessage) (json.RawMessage, error) {
		if _, ok := ParseSealed(string(value)); !ok {
			return value, nil
		}
		sealed = true
		return json.RawMessage("null"), nil
	})
	if err != nil {
		return data, false
	}
	return rest, sealed
}

// RewritePersonal returns data with each value of the members that is not null replaced by
// what replace returns for it, and everything else as it was, and stops at its first error.
// A member's name is found whatever its case, and each time that it occurs, as
// encoding/json would. Data that is not a JSON object is returned as it is.
func RewritePersonal(data json.RawMessage, members []PersonalMember,
	replace func(m PersonalMember, value json.RawMessage) (json.RawMessage, error),
) (json.RawMessage, error) {
	w := rewriting{text: string(data), members: members, replace: replace}
	c := scanner{s: w.text}
	c.skipSpace()
	if err := w.object(c.i, w.text[c.i:], 0, members); err != nil || w.copied == 0 {
		return data, err
	}
	return append(w.out, w.text[w.copied:]...), nil
}

// rewriting is a text up to copied with what was replaced in it.
type rewriting struct {
	text    string
	members []PersonalMember
	replace func(PersonalMember, json.RawMessage) (json.RawMessage, error)
	out     []byte
	copied  int
}

// object rewrites one that begins at the offset; depth names are around its members.
func (w *rewriting) object(at int, text string, depth int, members []PersonalMember) (err error) {
	if !strings.HasPrefix(text, "{") {
		return nil
	}
	eachMember(text, func(name, value string, offset int) {
		start := at + offset
		var inner []PersonalMember
		for _, m := range members {
			if err != nil || !strings.EqualFold(m.Path[depth], name) || value == "null" {
				continue
			}
			if len(m.Path) == depth+1 {
				err = w.member(m, start, value)
				return
			}
			inner = append(inner, m)
		}
		if err == nil && inner != nil {
			err = w.object(start, value, depth+1, inner)
		}
	})
	return err
}

func (w *rewriting) member(m PersonalMember, start int, value string) error {
	replaced, err := w.replace(m, json.RawMessage(value))
	if err != nil || string(replaced) == value {
		return err
	}
	w.out = append(append(w.out, w.text[w.copied:start]...), replaced...)
	w.copied = start + len(value)
	return nil
}

// personalMembers returns the members that a type's tags declare personal. The type is
// that of a payload, or of what is in one.
func personalMembers(t reflect.Type) ([]PersonalMember, error) {
	return personalIn(t, nil, nil)
}

func personalIn(t reflect.Type, path []string, within []reflect.Type) (all []PersonalMember, err error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		if k := t.Kind(); (k == reflect.Slice || k == reflect.Array || k == reflect.Map) && hasPersonal(t.Elem(), nil) {
			return nil, fmt.Errorf("member %q has personal members inside of its elements: declare it personal as a whole", strings.Join(path, "."))
		}
		return nil, nil
	}
	if slices.Contains(within, t) {
		if hasPersonal(t, nil) {
			return nil, fmt.Errorf("%s contains itself and has personal members: declare the member %q personal as a whole", t, strings.Join(path, "."))
		}
		return nil, nil
	}
	within = append(slices.Clip(within), t)
	for i := range t.NumField() {
		found, err := personalField(t.Field(i), path, within)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func personalField(f reflect.StructField, path []string, within []reflect.Type) ([]PersonalMember, error) {
	tag := f.Tag.Get("json")
	whose, personal := f.Tag.Lookup(PersonalTag)
	if tag == "-" || !f.IsExported() && !f.Anonymous {
		return nil, nil
	}
	name, _, _ := strings.Cut(tag, ",")
	if !f.Anonymous || name != "" || personal {
		if name == "" {
			name = f.Name
		}
		path = append(slices.Clip(path), name)
	}
	if !personal {
		return personalIn(f.Type, path, within)
	}
	m := PersonalMember{Path: path, Whose: whose}
	return []PersonalMember{m}, m.Validate()
}

// hasPersonal reports whether a value of t can have a member that is declared personal.
func hasPersonal(t reflect.Type, seen []reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(seen, t) {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if _, ok := f.Tag.Lookup(PersonalTag); ok || hasPersonal(f.Type, append(seen, t)) {
			return true
		}
	}
	return false
}

// whoseMembers returns the members of the data that a Whose names.
func whoseMembers(whose string) (names []string, err error) {
	if whose == OfSubject {
		return nil, nil
	}
	for rest := whose; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return nil, fmt.Errorf("%q has a brace that is not closed, or nothing in it", whose)
		}
		names, rest = append(names, name), tail
	}
	if names == nil {
		return nil, fmt.Errorf(`%q names nobody: write %q for the event's subject, or such as "user/{recipient}", where recipient is a member of the data`,
			whose, OfSubject)
	}
	return names, nil
}

// SubjectOf returns the subject that m is about, in an event with that member. It fails with
// [ErrMalformed] where the event does not say.
func (m PersonalMember) SubjectOf(e Event) (string, error) {
	names, err := whoseMembers(m.Whose)
	if err != nil {
		return "", malformed("data", "personal member %q: %v", m, err)
	}
	if names == nil {
		if e.Subject == "" {
			return "", malformed("subject", "absent, and the personal member %q is about it", m)
		}
		return e.Subject, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(e.Data, &members); err != nil {
		return "", malformed("data", "personal member %q: %v", m, err)
	}
	subject := m.Whose
	for _, name := range names {
		text, err := scalar(members[name])
		if err != nil {
			return "", malformed("data", "personal member %q is about %q: member %q %v", m, m.Whose, name, err)
		}
		subject = strings.Replace(subject, "{"+name+"}", text, 1)
	}
	return subject, nil
}

// scalar is a text, or a number as it is written.
func scalar(value json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return "", errors.New("is missing")
	}
	switch v := v.(type) {
	case string:
		if v == "" {
			return "", errors.New("is empty")
		}
		return v, nil
	case float64:
		return string(value), nil
	}
	return "", errors.New("is neither a text nor a number")
}
