package codec

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Part is a field of a compound identifier that is a key attribute of its own, or a template
// of one: the first the partition key, the second the sort key.
type Part struct {
	Field     string // of the identifier
	Type      string // TypeString, TypeObjectID, TypeInt32, TypeInt64, TypeUUID, TypeDate or TypeNumber
	Template  string // in the place of Field and Type, see [Key.Template]
	Attribute string // of the table; default "pk" and "sk"
}

// MaxSortKeySize is how many bytes DynamoDB accepts as a sort key.
const MaxSortKeySize = 1024

// part is a Part with the codec of its values.
type part struct {
	Part
	codec *Codec
}

func (c *Codec) setParts() error {
	if len(c.key.Parts) != 2 || c.key.Parts[0].Field == c.key.Parts[1].Field || c.key.Type != TypeDocument {
		return fmt.Errorf("codec: key parts must be two different fields of an identifier of type %q: a partition key and a sort key", TypeDocument)
	}
	for i, p := range c.key.Parts {
		if p.Attribute == "" {
			p.Attribute = []string{"pk", "sk"}[i]
		}
		switch {
		case p.Field == "" || strings.HasPrefix(p.Field, "$") || p.Type == TypeDocument || p.Type == TypeMixed:
			return fmt.Errorf("codec: key part %q of type %q cannot be a key attribute; name a field of the identifier, and its type", p.Field, p.Type)
		case c.taken[p.Attribute]:
			return fmt.Errorf("codec: key attribute %q is there twice; choose another name", p.Attribute)
		}
		values, err := New(Config{Key: Key{Attribute: p.Attribute, From: p.Field, Type: p.Type}})
		if err != nil {
			return err
		}
		c.taken[p.Attribute] = true
		c.parts, c.attributes = append(c.parts, part{p, values}), append(c.attributes, KeyAttribute{p.Attribute, KeyKind(p.Type)})
	}
	c.key.Attribute = c.parts[0].Attribute
	return nil
}

// KeyAttribute is an attribute of the table's key.
type KeyAttribute struct {
	Name string
	Kind types.ScalarAttributeType
}

// KeyAttributes are the partition key and, if there are parts, the sort key. They must not be
// changed.
func (c *Codec) KeyAttributes() []KeyAttribute { return c.attributes }

// KeyOf is the key of an item: its attribute, or a list of both; nil where the item has none.
func (c *Codec) KeyOf(item Item) types.AttributeValue {
	list := make([]types.AttributeValue, len(c.attributes))
	for i, a := range c.attributes {
		if list[i] = item[a.Name]; list[i] == nil {
			return nil
		}
	}
	return keyOfParts(list)
}

func keyOfParts(list []types.AttributeValue) types.AttributeValue {
	if len(list) == 1 {
		return list[0]
	}
	return &types.AttributeValueMemberL{Value: list}
}

// KeyItem are the key attributes of the item whose key is given.
func (c *Codec) KeyItem(key types.AttributeValue) Item {
	list, ok := key.(*types.AttributeValueMemberL)
	if !ok || len(list.Value) != len(c.attributes) {
		return Item{c.key.Attribute: key}
	}
	item := Item{}
	for i, a := range c.attributes {
		item[a.Name] = list.Value[i]
	}
	return item
}

// partsKey is the key of a compound identifier, a list of its parts.
func (c *Codec) partsKey(id bson.RawValue) (types.AttributeValue, error) {
	fields, ok := elements(id.Value)
	if id.Type != bson.TypeEmbeddedDocument || !ok || len(fields) != len(c.parts) || fields[0].name != c.parts[0].Field || fields[1].name != c.parts[1].Field {
		return nil, fmt.Errorf("%w: the plan says a document of the fields %s and %s, in this order and no others", ErrKeyType,
			c.parts[0].Field, c.parts[1].Field)
	}
	list := make([]types.AttributeValue, len(fields))
	for i, f := range fields {
		var err error
		if list[i], err = c.parts[i].codec.Key(f.value); err != nil {
			return nil, err
		}
	}
	if s, ok := list[1].(*types.AttributeValueMemberS); ok && len(s.Value) > MaxSortKeySize {
		return nil, fmt.Errorf("%w: %d bytes, allowed are %d in a sort key", ErrKeySize, len(s.Value), MaxSortKeySize)
	}
	return &types.AttributeValueMemberL{Value: list}, nil
}

// partsID is the inverse of partsKey.
func (c *Codec) partsID(key types.AttributeValue) (bson.RawValue, error) {
	list, ok := key.(*types.AttributeValueMemberL)
	if !ok || len(list.Value) != len(c.parts) {
		return bson.RawValue{}, misfit(TypeDocument, key)
	}
	doc := []byte{0, 0, 0, 0}
	for i, p := range c.parts {
		v, err := p.codec.keyID(list.Value[i])
		if err != nil {
			return bson.RawValue{}, err
		}
		doc = append(append(append(doc, byte(v.Type)), p.Field...), 0)
		doc = append(doc, v.Value...)
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: sealDocument(doc, 0)}, nil
}

var escapeKey, unescapeKey = strings.NewReplacer("%", "%25", "#", "%23"), strings.NewReplacer("%23", "#", "%25", "%")

// KeyText is a key as text: of one attribute its value, of two "<partition>#<sort>" with %
// and # within them as %25 and %23. Equal keys have equal texts.
func KeyText(key types.AttributeValue) string {
	switch v := key.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return NumberText(v.Value)
	case *types.AttributeValueMemberL:
		texts := make([]string, len(v.Value))
		for i, part := range v.Value {
			texts[i] = escapeKey.Replace(KeyText(part))
		}
		return strings.Join(texts, "#")
	}
	return ""
}

// KeyOfText is the inverse of [KeyText].
func (c *Codec) KeyOfText(text string) types.AttributeValue {
	if len(c.attributes) == 1 {
		return attributeOf(c.attributes[0].Kind, text)
	}
	list := make([]types.AttributeValue, len(c.attributes))
	texts := strings.SplitN(text, "#", len(c.attributes))
	for i, a := range c.attributes {
		part := ""
		if i < len(texts) {
			part = unescapeKey.Replace(texts[i])
		}
		list[i] = attributeOf(a.Kind, part)
	}
	return &types.AttributeValueMemberL{Value: list}
}

func attributeOf(kind types.ScalarAttributeType, text string) types.AttributeValue {
	if kind == types.ScalarAttributeTypeN {
		return num(text)
	}
	return str(text)
}
