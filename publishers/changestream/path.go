package changestream

import (
	"bytes"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A path is the dotted name of a field inside documents and, by index, arrays. A
// dot in the name of a field is written \. in a mapping file.
type path []string

const escapedDot = `\.`

func newPath(s string) path {
	const placeholder = "\x00" // which no name of a field has
	names := strings.Split(strings.ReplaceAll(s, escapedDot, placeholder), ".")
	for i := range names {
		names[i] = strings.ReplaceAll(names[i], placeholder, ".")
	}
	return names
}

func (p path) String() string {
	names := make([]string, len(p))
	for i, name := range p {
		names[i] = strings.ReplaceAll(name, ".", escapedDot)
	}
	return strings.Join(names, ".")
}

// asUpdated is the path as the server writes it in the description of an update,
// where a dot in a name looks like one between names.
func (p path) asUpdated() path { return strings.Split(strings.Join(p, "."), ".") }

// valueIn finds the value in a document; false if it is absent or null.
func (p path) valueIn(doc bson.Raw) (bson.RawValue, bool) {
	if len(doc) == 0 {
		return bson.RawValue{}, false
	}
	v, err := doc.LookupErr(p...)
	if err != nil || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined {
		return bson.RawValue{}, false
	}
	return v, true
}

// after returns the part of p behind prefix.
func (p path) after(prefix path) (rest path, ok bool) {
	if len(prefix) > len(p) {
		return nil, false
	}
	for i := range prefix {
		if prefix[i] != p[i] {
			return nil, false
		}
	}
	return p[len(prefix):], true
}

// changedBy reports whether a change changed the field, as far as can be known. Of
// an update, the server reports what was set and removed. Of a replacement only a
// before-image shows it; without one, and of an event that was too large to be sent,
// every field counts as changed. Of the others, every field is new or gone.
func (p path) changedBy(c *Change) bool {
	switch c.Operation {
	case "update":
		return c.Stripped || p.updatedBy(c)
	case "replace":
		return c.Before == nil || p.differs(c.Before, c.Full)
	}
	return true
}

func (p path) updatedBy(c *Change) bool {
	elements, err := c.Updated.Elements()
	if err != nil && len(c.Updated) > 0 {
		return true
	}
	ours := p.asUpdated()
	ambiguous := len(ours) > len(p)
	for _, e := range elements {
		set := path(strings.Split(e.Key(), "."))
		if _, below := set.after(ours); below {
			return true
		}
		if rest, above := ours.after(set); above && (ambiguous || p.differsFrom(c.Before, rest, e.Value())) {
			return true
		}
	}
	for _, removed := range c.Removed {
		if ours.overlaps(strings.Split(removed, ".")) {
			return true
		}
	}
	for _, cut := range c.Truncated {
		if ours.overlaps(strings.Split(cut.Field, ".")) {
			return true
		}
	}
	return false
}

func (p path) overlaps(q path) bool {
	_, above := p.after(q)
	_, below := q.after(p)
	return above || below
}

// differsFrom compares the field with its earlier value, where the update set a value that contains it.
func (p path) differsFrom(before bson.Raw, rest path, set bson.RawValue) bool {
	if before == nil {
		return true
	}
	old, had := p.valueIn(before)
	now, has := bson.RawValue{}, false
	if doc, ok := set.DocumentOK(); ok {
		now, has = rest.valueIn(doc)
	}
	return had != has || !sameValue(old, now)
}

func (p path) differs(before, after bson.Raw) bool {
	old, had := p.valueIn(before)
	now, has := p.valueIn(after)
	return had != has || !sameValue(old, now)
}

func sameValue(a, b bson.RawValue) bool { return a.Type == b.Type && bytes.Equal(a.Value, b.Value) }
