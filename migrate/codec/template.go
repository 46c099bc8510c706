package codec

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// template is a text with fields between: texts and paths in turn, beginning with a text.
type template []string

func parseTemplate(text, attribute string) (template, error) {
	var t template
	for rest := text; ; {
		between, behind, found := strings.Cut(rest, "{")
		if strings.Contains(between, "}") {
			return nil, fmt.Errorf("codec: template %q of attribute %q has a } without {", text, attribute)
		}
		if t = append(t, between); !found {
			break
		}
		path, after, closed := strings.Cut(behind, "}")
		if !closed || path == "" || strings.Contains(path, "{") {
			return nil, fmt.Errorf("codec: template %q of attribute %q must have paths in braces, such as {tenant}", text, attribute)
		}
		t, rest = append(t, path), after
	}
	if len(t) < 3 {
		return nil, fmt.Errorf("codec: template %q of attribute %q names no field; write one in braces, such as {tenant}", text, attribute)
	}
	return t, nil
}

// fill writes the values of the fields between the texts.
func (t template) fill(value func(path string) (string, error)) (string, error) {
	var out strings.Builder
	for i, part := range t {
		if i%2 == 1 {
			var err error
			if part, err = value(part); err != nil {
				return "", err
			}
		}
		out.WriteString(part)
	}
	return out.String(), nil
}

func (t template) paths() []string {
	var all []string
	for i := 1; i < len(t); i += 2 {
		all = append(all, t[i])
	}
	return all
}

// madeKey is a key attribute that is made by a template.
type madeKey struct {
	template
	max   int            // bytes
	id    int            // which of its fields is the _id; -1 for none
	match *regexp.Regexp // with a group for each field; nil where there is nothing but the _id
}

// setTemplates reads the templates of the key. The _id is in exactly one place, and can be
// read there again: so no two documents have one key.
func (c *Codec) setTemplates() error {
	parts := c.key.Parts
	if c.key.Template != "" {
		parts = []Part{{Template: c.key.Template, Attribute: c.key.Attribute}}
	}
	ids := 0
	for i, p := range parts {
		name := cmp.Or(p.Attribute, []string{"pk", "sk"}[i%2])
		switch {
		case p.Template == "" || p.Field != "" || p.Type != "" || i > 1 || c.key.Template != "" && len(c.key.Parts) > 0:
			return errors.New("codec: a key by template has one template, or two parts of a template each: a partition key and a sort key")
		case c.taken[name]:
			return fmt.Errorf("codec: key attribute %q is there twice; choose another name", name)
		}
		if err := checkKeyName(name); err != nil {
			return err
		}
		t, err := parseTemplate(p.Template, name)
		if err != nil {
			return err
		}
		m := madeKey{template: t, max: []int{MaxKeySize, MaxSortKeySize}[i], id: -1}
		kind := types.ScalarAttributeTypeS
		for n, path := range t.paths() {
			if path == c.key.From {
				m.id = n
				ids++
			}
			if n > 0 && !strings.Contains(t[2*n], "#") {
				return fmt.Errorf("codec: template %q of attribute %q must have a # between %q and the field before it, so that no two documents have one key",
					p.Template, name, path)
			}
		}
		if p.Template == "{"+c.key.From+"}" {
			kind = KeyKind(c.key.Type)
		} else {
			m.match = t.matcher()
		}
		c.taken[name] = true
		c.made, c.attributes = append(c.made, m), append(c.attributes, KeyAttribute{name, kind})
	}
	if ids != 1 {
		return fmt.Errorf("codec: the templates of a key must name {%s} once, so that no two documents have one key", c.key.From)
	}
	c.key.Attribute = c.attributes[0].Name
	return nil
}

// matcher matches what the template makes, with a group for each field.
func (t template) matcher() *regexp.Regexp {
	var out strings.Builder
	for i, part := range t {
		switch {
		case i%2 == 0:
			out.WriteString(regexp.QuoteMeta(part))
		case t.escapes():
			out.WriteString("([^#]*)")
		default:
			out.WriteString("(.*)")
		}
	}
	return regexp.MustCompile("(?s)^" + out.String() + "$")
}

// escapes reports whether % and # within values are written as %25 and %23.
func (t template) escapes() bool { return len(t) > 3 }

// NeedsDocument reports whether the key is made of fields besides the _id, so that it takes a
// document, or its item, to know it.
func (c *Codec) NeedsDocument() bool { return len(slices.Concat(c.KeyFields()...)) > 1 }

// KeyFields are the fields that each attribute of a key by template is made of.
func (c *Codec) KeyFields() [][]string {
	var all [][]string
	for _, m := range c.made {
		all = append(all, m.paths())
	}
	return all
}

// fullKey is the key of a document's item.
func (c *Codec) fullKey(doc bson.Raw, id bson.RawValue) (types.AttributeValue, error) {
	return c.fillKey(id, func(path string) (string, error) {
		v := doc.Lookup(strings.Split(path, ".")...)
		if text, err := plainText(v); !v.IsZero() && err == nil {
			return text, nil
		}
		is := "absent"
		if !v.IsZero() {
			is = TypeName(v.Type)
		}
		return "", &FitError{ID: Show(id), Field: path, Reason: fmt.Errorf("%w: it is %s", ErrKeyField, is),
			WayOut: "give those documents a string, a number, a date or another scalar value there, or take the field out of the key's template"}
	})
}

// KeyOfID is the key of the item of an _id; where it takes the document to know that, another
// key from which the _id can be read.
func (c *Codec) KeyOfID(id bson.RawValue) (types.AttributeValue, error) {
	return c.fillKey(id, func(string) (string, error) { return Reserved, nil })
}

func (c *Codec) fillKey(id bson.RawValue, value func(path string) (string, error)) (types.AttributeValue, error) {
	own, err := c.Key(id)
	if err != nil || c.made == nil {
		return own, err
	}
	list := make([]types.AttributeValue, len(c.made))
	for i, m := range c.made {
		if m.match == nil {
			list[i] = own
			continue
		}
		text, err := m.fill(func(path string) (text string, err error) {
			if text = KeyText(own); path != c.key.From {
				text, err = value(path)
			}
			if m.escapes() {
				text = escapeKey.Replace(text)
			}
			return text, err
		})
		if err != nil {
			return nil, err
		}
		list[i] = str(text)
	}
	for i, m := range c.made {
		if s, ok := list[i].(*types.AttributeValueMemberS); ok && (len(s.Value) == 0 || len(s.Value) > m.max) {
			return nil, &FitError{ID: Show(id), Field: m.paths()[0], WayOut: "give those documents another value there",
				Reason: fmt.Errorf("%w: the attribute %q would have %d bytes, allowed are 1 to %d", ErrKeySize, c.attributes[i].Name, len(s.Value), m.max)}
		}
	}
	return keyOfParts(list), nil
}

// ownKey is what stands for the _id in a key, as [Codec.Key] gives it.
func (c *Codec) ownKey(key types.AttributeValue) (types.AttributeValue, error) {
	if c.made == nil {
		return key, nil
	}
	list := []types.AttributeValue{key}
	if l, ok := key.(*types.AttributeValueMemberL); ok {
		list = l.Value
	}
	for i, m := range c.made {
		switch {
		case len(list) != len(c.made) || m.id < 0:
			continue
		case m.match == nil:
			return list[i], nil
		}
		s, _ := list[i].(*types.AttributeValueMemberS)
		if s == nil || len(s.Value) > m.max {
			continue
		}
		if found := m.match.FindStringSubmatch(s.Value); found != nil {
			text := found[m.id+1]
			if m.escapes() {
				text = unescapeKey.Replace(text)
			}
			own := attributeOf(KeyKind(c.key.Type), text)
			again := KeyText(own)
			if m.escapes() {
				again = escapeKey.Replace(again)
			}
			if again == found[m.id+1] { // another text would be another item for one document
				return own, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: the key %.200q is not made by the plan's template", ErrAttribute, KeyText(key))
}
