// Package codec turns a BSON document into a DynamoDB item and back, without
// loss.
//
// Caveats first:
//   - An item is at most 400 KB, and its names and values are counted
//     differently from BSON's; a document of 350 KB may fit or not. Encode
//     measures what it built and returns a [FitError] instead of letting the
//     server refuse the write later.
//   - DynamoDB knows no field order, one kind of number, and no dates. What it
//     has is used as it is (a string is S, a number N, a document M, so that a
//     service reads the item without knowing of this package); what it has not
//     is written down in the reserved attribute `_banyan`, in its map `h`, and
//     only there, one short string per place that needs it.
//   - A field whose type the plan declares needs no hint when it is of that
//     type: a date declared as date is an RFC 3339 string with milliseconds.
//   - A program that changes an attribute and keeps the hints may make them wrong;
//     Decode then returns [ErrHint] instead of guessing.
//
// A [Codec] is immutable and safe for concurrent use.
package codec

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Item is a DynamoDB item as the SDK has it.
type Item = map[string]types.AttributeValue

// Reserved is the attribute that belongs to Banyan in every item; `h` in it
// holds the hints of this package, the rest belongs to the migration.
const Reserved = "_banyan"

// HintsMember is the member of the reserved map that holds the hints.
const HintsMember = "h"

// escape precedes the attribute name of a field whose own name cannot be used:
// empty, reserved, or taken by a mapping of the plan.
const escape = Reserved + "_"

// Deep says what becomes of documents nested beyond [MaxDepth].
type Deep string

const (
	// DeepRefuse, the zero value, reports them with ErrTooDeep.
	DeepRefuse Deep = ""
	// DeepBinary stores the part that is too deep as binary BSON.
	DeepBinary Deep = "binary"
)

// Key says how the document's identifier becomes the item's partition key.
type Key struct {
	Attribute string // of the table; default "id"
	From      string // field of the document; default "_id"
	Type      string // TypeObjectID (default), TypeString, TypeInt32, TypeInt64, TypeUUID, TypeDate, TypeDocument, TypeNumber or TypeMixed
	// Template makes the partition key of several fields, such as "{tenant}#{_id}". Type is then
	// that of the identifier, which must be among them. With more than one field, % and # within
	// values are %25 and %23. Values are as those of [Derived.Template].
	Template string
	// Parts, of a TypeDocument, are its two fields, as a partition key and a sort key; or they
	// are a template for each.
	Parts []Part
}

// Field maps one top-level field.
type Field struct {
	From       string // name in the document
	To         string // name of the attribute; default From
	Type       string // what BSON type the attribute stands for without a hint; default by kind
	Compressed bool   // stored as deflated binary: the way out for large fields
	Drop       bool   // not stored
}

// Config of a [Codec]. The zero value works: the key is `_id` as an ObjectId in
// the attribute `id`, and no field is declared.
type Config struct {
	Key     Key
	Fields  []Field
	Derived []Derived
	Deep    Deep
	// Passing are fields that documents have for a while only, such as an outbox: they are
	// not stored, and nothing restores them.
	Passing []string
}

// Codec encodes and decodes the documents of one entity.
type Codec struct {
	key    Key
	fields []Field
	byFrom map[string]int
	byTo   map[string]int
	taken  map[string]bool
	deep   Deep

	attributes []KeyAttribute
	parts      []part
	made       []madeKey
	drop       []string
	passing    []string
	derived    []Derived
}

// New checks cfg and returns its codec. The error names the setting that is
// wrong.
func New(cfg Config) (*Codec, error) {
	c := &Codec{key: cfg.Key, deep: cfg.Deep, passing: cfg.Passing, byFrom: map[string]int{}, byTo: map[string]int{}, taken: map[string]bool{}}
	c.key.defaults()
	if !keyTypes[c.key.Type] {
		return nil, fmt.Errorf("codec: key type %q cannot be a partition key; use one of %s", c.key.Type, names(keyTypes))
	}
	if c.deep != DeepRefuse && c.deep != DeepBinary {
		return nil, fmt.Errorf("codec: deep nesting %q is unknown; use %q or leave it out", c.deep, DeepBinary)
	}
	if err := checkKeyName(c.key.Attribute); err != nil {
		return nil, err
	}
	if err := c.setKey(); err != nil {
		return nil, err
	}
	c.taken[c.key.Attribute] = true
	for _, f := range cfg.Fields {
		if err := c.add(f); err != nil {
			return nil, err
		}
	}
	for _, d := range cfg.Derived {
		if err := c.addDerived(d); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func checkKeyName(name string) error {
	switch {
	case len(name) > maxKeyName:
		return fmt.Errorf("codec: key attribute has a name of %d bytes, allowed are %d; choose a shorter one", len(name), maxKeyName)
	case strings.HasPrefix(name, Reserved):
		return fmt.Errorf("codec: key attribute %q is reserved; choose another name", name)
	}
	return nil
}

// setKey sets the attributes of the key.
func (c *Codec) setKey() error {
	switch {
	case c.key.Template != "" || slices.ContainsFunc(c.key.Parts, func(p Part) bool { return p.Template != "" }):
		return c.setTemplates()
	case len(c.key.Parts) > 0:
		return c.setParts()
	}
	c.attributes = []KeyAttribute{{c.key.Attribute, KeyKind(c.key.Type)}}
	return nil
}

func (c *Codec) addDerived(d Derived) error {
	switch {
	case d.Attribute == "" || strings.HasPrefix(d.Attribute, Reserved) || len(d.Attribute) > maxKeyName:
		return fmt.Errorf("codec: attribute %q cannot be made; choose another name of 1 to %d bytes", d.Attribute, maxKeyName)
	case c.taken[d.Attribute]:
		return fmt.Errorf("codec: attribute %q is taken; choose another name", d.Attribute)
	}
	if err := d.parse(); err != nil {
		return err
	}
	c.taken[d.Attribute] = true
	c.derived = append(c.derived, d)
	return nil
}

func (k *Key) defaults() {
	if k.Attribute == "" {
		k.Attribute = "id"
	}
	if k.From == "" {
		k.From = "_id"
	}
	if k.Type == "" {
		k.Type = TypeObjectID
	}
}

func (c *Codec) add(f Field) error {
	if f.To == "" {
		f.To = f.From
	}
	_, twice := c.byFrom[f.From]
	twice = twice || slices.Contains(c.drop, f.From)
	switch {
	case slices.Contains(c.passing, f.From):
		return fmt.Errorf("codec: field %q is the outbox's; nothing can be said of it", f.From)
	case f.From == "" || f.From == c.key.From:
		return fmt.Errorf("codec: field %q cannot be mapped; name a field other than the key", f.From)
	case twice:
		return fmt.Errorf("codec: field %q is mapped twice; keep one", f.From)
	case f.Drop && (f.To != f.From || f.Type != "" || f.Compressed):
		return fmt.Errorf("codec: field %q is dropped; nothing else can be said of it", f.From)
	case f.Drop:
		c.drop = append(c.drop, f.From)
		return nil
	case strings.HasPrefix(f.To, Reserved):
		return fmt.Errorf("codec: attribute %q of field %q is reserved; choose another name", f.To, f.From)
	case c.taken[f.To]:
		return fmt.Errorf("codec: attribute %q of field %q is taken; choose another name", f.To, f.From)
	case f.Type != "" && !fieldTypes[f.Type]:
		return fmt.Errorf("codec: type %q of field %q is unknown; use one of %s", f.Type, f.From, names(fieldTypes))
	}
	c.byFrom[f.From], c.byTo[f.To], c.taken[f.To] = len(c.fields), len(c.fields), true
	c.fields = append(c.fields, f)
	return nil
}

func names(set map[string]bool) string {
	var all []string
	for n := range set {
		all = append(all, n)
	}
	sort.Strings(all)
	return strings.Join(all, ", ")
}

// KeyAttribute is the name of the partition key's attribute.
func (c *Codec) KeyAttribute() string { return c.key.Attribute }

// KeyField is the name of the document's identifying field.
func (c *Codec) KeyField() string { return c.key.From }

// Attribute names the attribute of a top-level field.
func (c *Codec) Attribute(field string) string {
	if field == c.key.From {
		return c.key.Attribute
	}
	if i, ok := c.byFrom[field]; ok {
		return c.fields[i].To
	}
	if field == "" || strings.HasPrefix(field, Reserved) || c.taken[field] {
		return escape + field
	}
	return field
}

// field is the inverse of Attribute.
func (c *Codec) field(attribute string) string {
	if attribute == c.key.Attribute {
		return c.key.From
	}
	if i, ok := c.byTo[attribute]; ok {
		return c.fields[i].From
	}
	return strings.TrimPrefix(attribute, escape)
}

// declared returns what the plan says of an attribute.
func (c *Codec) declared(attribute string) Field {
	if i, ok := c.byTo[attribute]; ok {
		return c.fields[i]
	}
	if attribute == c.key.Attribute {
		return Field{Type: c.key.Type}
	}
	return Field{}
}

// naturalOrder lists an item's attributes in the order that needs no hint: the
// key, the declared fields in the plan's order, then all others by name.
func (c *Codec) naturalOrder(item Item) []string {
	order := make([]string, 0, len(item))
	if _, ok := item[c.key.Attribute]; ok {
		order = append(order, c.key.Attribute)
	}
	for _, f := range c.fields {
		if _, ok := item[f.To]; ok {
			order = append(order, f.To)
		}
	}
	known := len(order)
	for name := range item {
		if name != Reserved && !c.taken[name] {
			order = append(order, name)
		}
	}
	sort.Strings(order[known:])
	return order
}
