package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxDecodeDepth bounds recursion over items that this package did not make.
const maxDecodeDepth = 64

type decoder struct {
	codec   *Codec
	hints   map[string]string
	used    int
	lenient bool // passes over hints that do not fit
}

// Decode returns the document an item stands for: byte for byte the one that
// Encode was given, or, for an item a service wrote, its natural reading.
// Members of the reserved attribute other than the hints are not looked at.
func (c *Codec) Decode(item Item) (bson.Raw, error) {
	hints, raw, err := hintsOf(item)
	if err != nil {
		return nil, err
	}
	if raw != nil {
		return c.decodeRaw(item, raw)
	}
	order := c.naturalOrder(item)
	d := decoder{codec: c, hints: hints}
	if o, ok := d.hint(rootPath); ok {
		if order, err = permute(o, order); err != nil {
			return nil, err
		}
	}
	doc, err := d.fields(item, order)
	if err != nil {
		return nil, err
	}
	if d.used != len(hints) {
		return nil, fmt.Errorf("%w: %d hints are for attributes that do not exist", ErrHint, len(hints)-d.used)
	}
	return doc, nil
}

// Read returns the document that an item stands for which a service may have changed since
// it was encoded. It is Decode, but passes over hints that do not fit any more: what they
// are about is read as an attribute without a hint, by the type that the plan declares or
// by its kind, and fields whose order is not known are in their natural order.
func (c *Codec) Read(item Item) (bson.Raw, error) {
	doc, err := c.Decode(item)
	if !errors.Is(err, ErrHint) {
		return doc, err
	}
	hints, raw, _ := hintsOf(item)
	if raw != nil {
		hints = nil
	}
	order := c.naturalOrder(item)
	d := decoder{codec: c, hints: hints, lenient: true}
	if o, ok := d.hint(rootPath); ok {
		if as, err := permute(o, order); err == nil {
			order = as
		}
	}
	return d.fields(item, order)
}

// Field decodes one top-level field of an item, as Read does; the zero value for none.
func (c *Codec) Field(item Item, field string) (bson.RawValue, error) {
	hints, raw, err := hintsOf(item)
	if err != nil {
		return bson.RawValue{}, err
	}
	if raw != nil {
		if doc, err := c.decodeRaw(item, raw); err == nil {
			return doc.Lookup(field), nil
		}
		hints = nil
	}
	name := c.Attribute(field)
	if _, there := item[name]; !there {
		return bson.RawValue{}, nil
	}
	d := decoder{codec: c, hints: hints, lenient: true}
	doc, err := d.fields(item, []string{name})
	return doc.Lookup(field), err
}

// decodeRaw returns the document stored whole, provided that the attributes beside it
// are unchanged.
func (c *Codec) decodeRaw(item Item, raw []byte) (bson.Raw, error) {
	again, err := c.Encode(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the document stored whole is not a BSON document: %v", ErrHint, err)
	}
	if !Same(again, item) {
		return nil, fmt.Errorf("%w: attributes were changed beside the document stored whole", ErrHint)
	}
	return append(bson.Raw{}, raw...), nil
}

// hintsOf returns an item's hints, or the bytes of a document stored whole.
func hintsOf(item Item) (map[string]string, []byte, error) {
	reserved, ok := item[Reserved].(*types.AttributeValueMemberM)
	if !ok {
		if item[Reserved] != nil {
			return nil, nil, fmt.Errorf("%w: %s must be a map", ErrHint, Reserved)
		}
		return nil, nil, nil
	}
	member, ok := reserved.Value[HintsMember]
	if !ok {
		return nil, nil, nil
	}
	m, ok := member.(*types.AttributeValueMemberM)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s.%s must be a map", ErrHint, Reserved, HintsMember)
	}
	hints := make(map[string]string, len(m.Value))
	for path, av := range m.Value {
		switch v := av.(type) {
		case *types.AttributeValueMemberS:
			hints[path] = v.Value
		case *types.AttributeValueMemberB:
			if path == rootPath && len(m.Value) == 1 {
				return nil, v.Value, nil
			}
			return nil, nil, fmt.Errorf("%w: binary hint at %.60q", ErrHint, path)
		default:
			return nil, nil, fmt.Errorf("%w: hint at %.60q must be a string", ErrHint, path)
		}
	}
	return hints, nil, nil
}

func (d *decoder) hint(path string) (string, bool) {
	if len(d.hints) == 0 {
		return "", false
	}
	h, ok := d.hints[path]
	if ok {
		d.used++
	}
	return h, ok
}

// code is what an attribute is read as: its hint, or else what its kind and the plan say.
func (d *decoder) code(path []byte, av types.AttributeValue, declared Field) string {
	if hint, ok := d.hint(string(path)); ok && d.accepts(av, hint) {
		return hint
	}
	return natural(av, declared)
}

// accepts reports whether a hint is to be followed: all are, unless the decoder is lenient.
func (d *decoder) accepts(av types.AttributeValue, hint string) bool {
	if !d.lenient {
		return true
	}
	switch v := av.(type) {
	case *types.AttributeValueMemberM:
		_, err := permute(hint, sortedNames(v.Value))
		return err == nil || hint == TypeDocument
	case *types.AttributeValueMemberL:
		return hint == TypeArray
	}
	_, _, err := appendScalar(nil, av, hint)
	return err == nil
}

func (d *decoder) fields(item Item, order []string) (bson.Raw, error) {
	doc := make([]byte, 4, 256)
	for _, name := range order {
		if field := d.codec.field(name); d.codec.Attribute(field) != name {
			return nil, fmt.Errorf("codec: attribute %q: %w: the name is reserved", name, ErrAttribute)
		}
		path := appendStep(nil, name)
		declared := d.codec.declared(name)
		var err error
		if (derivedKeys[declared.Type] || d.codec.made != nil) && name == d.codec.key.Attribute {
			doc, err = d.key(doc, d.codec.KeyOf(item), string(path))
		} else {
			doc, err = d.element(doc, d.codec.field(name), item[name], d.code(path, item[name], declared), path, 1)
		}
		if err != nil {
			return nil, fmt.Errorf("codec: attribute %q: %w", name, err)
		}
	}
	return sealDocument(doc, 0), nil
}

// derivedKeys are the key types whose attribute is not read as a value of that type.
var derivedKeys = map[string]bool{TypeDocument: true, TypeNumber: true, TypeMixed: true}

// key appends the identifier that a key stands for.
func (d *decoder) key(doc []byte, av types.AttributeValue, path string) ([]byte, error) {
	id, err := d.codec.keyID(av)
	if hint, ok := d.hint(path); ok {
		if hinted, hintErr := d.codec.hintedID(av, hint); hintErr == nil || !d.lenient {
			id, err = hinted, hintErr
		}
	}
	if err != nil {
		return nil, err
	}
	doc = append(append(append(doc, byte(id.Type)), d.codec.key.From...), 0)
	return append(doc, id.Value...), nil
}

// element appends type, name and value.
func (d *decoder) element(dst []byte, name string, av types.AttributeValue, code string, path []byte, depth int) ([]byte, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return nil, fmt.Errorf("%w: a name with a zero byte", ErrAttribute)
	}
	at := len(dst)
	dst = append(dst, 0)
	dst = append(append(dst, name...), 0)
	t, dst, err := d.value(dst, av, code, path, depth)
	if err != nil {
		return nil, err
	}
	dst[at] = byte(t)
	return dst, nil
}

func (d *decoder) value(dst []byte, av types.AttributeValue, code string, path []byte, depth int) (bson.Type, []byte, error) {
	if depth > maxDecodeDepth {
		return 0, nil, ErrTooDeep
	}
	switch v := av.(type) {
	case *types.AttributeValueMemberM:
		return d.document(dst, v.Value, code, path, depth)
	case *types.AttributeValueMemberL:
		if code != TypeArray {
			return 0, nil, misfit(code, av)
		}
		return d.array(dst, v.Value, path, depth)
	}
	return appendScalar(dst, av, code)
}

func (d *decoder) document(dst []byte, m map[string]types.AttributeValue, code string, path []byte, depth int) (bson.Type, []byte, error) {
	order := sortedNames(m)
	if code != TypeDocument {
		var err error
		if order, err = permute(code, order); err != nil {
			return 0, nil, err
		}
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, name := range order {
		if nestedName(strings.TrimPrefix(name, escape)) != name {
			return 0, nil, fmt.Errorf("%w: the name %q is reserved", ErrAttribute, name)
		}
		var err error
		if dst, err = d.nested(dst, strings.TrimPrefix(name, escape), m[name], appendStep(path, name), depth); err != nil {
			return 0, nil, err
		}
	}
	return bson.TypeEmbeddedDocument, sealDocument(dst, start), nil
}

func (d *decoder) array(dst []byte, list []types.AttributeValue, path []byte, depth int) (bson.Type, []byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	shared, hinted := d.hint(string(appendStep(path, "*")))
	for i, av := range list {
		var err error
		name := strconv.Itoa(i)
		if hinted && d.accepts(av, shared) {
			dst, err = d.element(dst, name, av, shared, appendStep(path, name), depth+1)
		} else {
			dst, err = d.nested(dst, name, av, appendStep(path, name), depth)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	return bson.TypeArray, sealDocument(dst, start), nil
}

func (d *decoder) nested(dst []byte, name string, av types.AttributeValue, path []byte, depth int) ([]byte, error) {
	return d.element(dst, name, av, d.code(path, av, Field{}), path, depth+1)
}

// Same reports whether two items are equal in all attributes and in their
// hints; other members of the reserved attribute may differ. Numbers are
// compared by value.
func Same(a, b Item) bool {
	count := func(i Item) int {
		if _, ok := i[Reserved]; ok {
			return len(i) - 1
		}
		return len(i)
	}
	if count(a) != count(b) {
		return false
	}
	for name, v := range a {
		if name != Reserved && !sameValue(v, b[name]) {
			return false
		}
	}
	return sameValue(hintMember(a), hintMember(b))
}

func hintMember(i Item) types.AttributeValue {
	if m, ok := i[Reserved].(*types.AttributeValueMemberM); ok {
		return m.Value[HintsMember]
	}
	return nil
}

func sameValue(a, b types.AttributeValue) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case *types.AttributeValueMemberS:
		y, ok := b.(*types.AttributeValueMemberS)
		return ok && x.Value == y.Value
	case *types.AttributeValueMemberN:
		y, ok := b.(*types.AttributeValueMemberN)
		return ok && sameNumber(x.Value, y.Value)
	case *types.AttributeValueMemberB:
		y, ok := b.(*types.AttributeValueMemberB)
		return ok && bytes.Equal(x.Value, y.Value)
	case *types.AttributeValueMemberBOOL:
		y, ok := b.(*types.AttributeValueMemberBOOL)
		return ok && x.Value == y.Value
	case *types.AttributeValueMemberNULL:
		_, ok := b.(*types.AttributeValueMemberNULL)
		return ok
	case *types.AttributeValueMemberL:
		y, ok := b.(*types.AttributeValueMemberL)
		return ok && sameList(x.Value, y.Value)
	case *types.AttributeValueMemberM:
		y, ok := b.(*types.AttributeValueMemberM)
		return ok && sameMap(x.Value, y.Value)
	}
	return false
}

func sameList(a, b []types.AttributeValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameValue(a[i], b[i]) {
			return false
		}
	}
	return true
}

func sameMap(a, b map[string]types.AttributeValue) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if v, ok := b[name]; !ok || !sameValue(a[name], v) {
			return false
		}
	}
	return true
}
