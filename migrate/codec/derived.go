package codec

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Derived is an attribute that is made from a document's fields and stands for none of them:
// Decode passes over it, and whoever changes the fields in the table changes it too. Paths
// lead into documents by dots.
type Derived struct {
	Attribute string
	// Template is a text with paths in braces, such as "{tenant}#{status}". Where one of them
	// leads to nothing or to null, there is no attribute. Values are as in a [TypeMixed] key,
	// without their types' names.
	Template string
	// Expires, instead, is the path of a date, or of several of which the earliest counts;
	// the attribute is the second, counted from 1970, at which After has passed since.
	Expires string
	After   time.Duration

	filled template
}

// parse checks a template.
func (d *Derived) parse() error {
	if d.Expires != "" {
		return nil
	}
	var err error
	d.filled, err = parseTemplate(d.Template, d.Attribute)
	return err
}

// derive adds the derived attributes to an item.
func (c *Codec) derive(item Item, doc bson.Raw) error {
	for _, d := range c.derived {
		if d.Expires != "" {
			if at, ok := expiryOf(doc.Lookup(strings.Split(d.Expires, ".")...), d.After); ok {
				item[d.Attribute] = num(strconv.FormatInt(at, 10))
			}
			continue
		}
		text, err := d.fill(doc)
		switch {
		case errors.Is(err, errNoValue):
		case err != nil:
			return err
		default:
			item[d.Attribute] = str(text)
		}
	}
	return nil
}

// errNoValue: a field is absent or null.
var errNoValue = errors.New("no value")

func (d *Derived) fill(doc bson.Raw) (string, error) {
	return d.filled.fill(func(path string) (string, error) {
		v := doc.Lookup(strings.Split(path, ".")...)
		if v.IsZero() || v.Type == bson.TypeNull {
			return "", errNoValue
		}
		text, err := plainText(v)
		if err != nil {
			return "", &FitError{Field: path, Reason: fmt.Errorf("%w for the attribute %q", err, d.Attribute),
				WayOut: "repair the field in MongoDB, or take the attribute out of the plan"}
		}
		return text, nil
	})
}

// plainText is a scalar value as text.
func plainText(v bson.RawValue) (string, error) {
	switch v.Type {
	case bson.TypeString:
		s, ok := v.StringValueOK()
		if !ok || !utf8.ValidString(s) {
			return "", fmt.Errorf("%w: its bytes are not UTF-8", ErrKeyType)
		}
		return s, nil
	case bson.TypeBoolean:
		b, ok := v.BooleanOK()
		if !ok {
			return "", ErrMalformed
		}
		return strconv.FormatBool(b), nil
	case bson.TypeObjectID:
		return hex.EncodeToString(v.Value), nil
	}
	_, text, err := scalarText(v)
	return text, err
}

// expiryOf is the second at which a document expires as MongoDB's TTL index has it: none
// for what is no date.
func expiryOf(v bson.RawValue, after time.Duration) (at int64, ok bool) {
	switch v.Type {
	case bson.TypeDateTime:
		if len(v.Value) != 8 {
			return 0, false
		}
		ms := int64(binary.LittleEndian.Uint64(v.Value))
		at = ms / 1000
		if ms%1000 > 0 {
			at++ // not before its time
		}
		return at + int64(after/time.Second), true
	case bson.TypeArray:
		values, err := v.Array().Values()
		if err != nil {
			return 0, false
		}
		for _, one := range values {
			if t, is := expiryOf(one, after); is && one.Type == bson.TypeDateTime && (!ok || t < at) {
				at, ok = t, true
			}
		}
	}
	return at, ok
}

// Kept is a document without the fields that are not stored.
func (c *Codec) Kept(doc bson.Raw) bson.Raw {
	if len(c.drop) == 0 && len(c.passing) == 0 {
		return doc
	}
	fields, ok := elements(doc)
	kept := func(f element) bool { return !c.dropped(f) && !slices.Contains(c.passing, f.name) }
	if !ok || !slices.ContainsFunc(fields, func(f element) bool { return !kept(f) }) { // Encode reports it
		return doc
	}
	return join(bson.Raw{5, 0, 0, 0, 0}, fields, kept)
}

// Restored is a document that was decoded, with the fields that are dropped as another
// version of it has them.
func (c *Codec) Restored(doc, other bson.Raw) bson.Raw {
	fields, ok := elements(other)
	if len(c.drop) == 0 || !ok {
		return doc
	}
	return join(doc, fields, c.dropped)
}

// DroppedFields are the names of the fields that are dropped.
func (c *Codec) DroppedFields() []string { return c.drop }

// join adds some of the fields to a document.
func join(doc bson.Raw, fields []element, choose func(element) bool) bson.Raw {
	out := append([]byte{}, doc[:len(doc)-1]...)
	for _, f := range fields {
		if choose(f) {
			out = append(append(append(out, byte(f.value.Type)), f.name...), 0)
			out = append(out, f.value.Value...)
		}
	}
	return sealDocument(out, 0)
}

func (c *Codec) dropped(f element) bool { return slices.Contains(c.drop, f.name) }
