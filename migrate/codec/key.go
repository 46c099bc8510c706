package codec

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Key types beside those of one BSON type.
const (
	// TypeNumber: int32, int64, double and decimal128 together. MongoDB compares them by
	// value, so 1, 1.0 and NumberLong(1) are one _id there, as they are one N here.
	TypeNumber = "number"
	// TypeMixed: identifiers of several types in one S attribute.
	TypeMixed = "mixed"
	// typeIdentifier: the hint that keeps an identifier whole, behind ':' and in base64,
	// where its key gives another one that MongoDB takes for the same.
	typeIdentifier = "id"
)

var keyTypes = map[string]bool{TypeObjectID: true, TypeString: true, TypeInt32: true, TypeInt64: true, TypeUUID: true, TypeDate: true,
	TypeDocument: true, TypeNumber: true, TypeMixed: true}

// KeyKind is the kind of the attribute of a key type.
func KeyKind(keyType string) types.ScalarAttributeType {
	switch keyType {
	case TypeInt32, TypeInt64, TypeNumber:
		return types.ScalarAttributeTypeN
	}
	return types.ScalarAttributeTypeS
}

// keyWayOut says what to do about an identifier of a type.
func (c *Codec) keyWayOut(id bson.RawValue) string {
	another := "give those documents another " + c.key.From
	code := TypeName(id.Type)
	if _, scalar, err := encodeScalar(id); err == nil && keyTypes[scalar] {
		code = scalar // a UUID is binary
	}
	_, mixed := mixedText(id)
	switch {
	case isNumeric(id.Type) && mixed == nil:
		return "set target.key.type to number if all documents have numbers there, to mixed if some have other types, or " + another
	case keyTypes[code] && code != c.key.Type && mixed == nil:
		return "set target.key.type to " + code + " if all documents have that, to mixed if some have other types, or " + another
	case len(c.parts) > 0 && id.Type == bson.TypeEmbeddedDocument:
		return "take target.key.parts out of the plan, so that the key is the whole document as text, or " + another
	case mixed == nil && c.key.Type != TypeMixed:
		return "set target.key.type to mixed, or " + another
	}
	return another + ", of a type that can be a key: " + names(keyTypes)
}

// Key encodes an identifier as the item's key; in a key by template, as what stands there for
// the identifier, see [Codec.KeyOfID]. Two identifiers have the same key exactly if MongoDB takes them for the same.
func (c *Codec) Key(id bson.RawValue) (types.AttributeValue, error) {
	av, err := c.keyValue(id)
	if fit, ok := errors.AsType[*FitError](err); ok { // of a part
		return nil, &FitError{ID: Show(id), Field: c.key.From + "." + fit.Field, Reason: fit.Reason, WayOut: "give those documents another " + c.key.From}
	}
	fail := func(reason error) error {
		return &FitError{ID: Show(id), Field: c.key.From, Reason: reason, WayOut: c.keyWayOut(id)}
	}
	if err != nil {
		return nil, fail(err)
	}
	if s, ok := av.(*types.AttributeValueMemberS); ok && (len(s.Value) == 0 || len(s.Value) > MaxKeySize) {
		return nil, &FitError{ID: Show(id), Field: c.key.From, WayOut: "give those documents another " + c.key.From,
			Reason: fmt.Errorf("%w: %d bytes, allowed are 1 to %d", ErrKeySize, len(s.Value), MaxKeySize)}
	}
	return av, nil
}

func (c *Codec) keyValue(id bson.RawValue) (types.AttributeValue, error) {
	if len(c.parts) > 0 {
		return c.partsKey(id)
	}
	other := func() error {
		return fmt.Errorf("%w: it is %s, the plan says %s", ErrKeyType, TypeName(id.Type), c.key.Type)
	}
	switch c.key.Type {
	case TypeNumber:
		if !isNumeric(id.Type) {
			return nil, other()
		}
		n, err := keyNumber(id)
		return num(n.String()), err
	case TypeMixed:
		s, err := mixedText(id)
		return str(s), err
	case TypeDocument:
		if id.Type != bson.TypeEmbeddedDocument {
			return nil, other()
		}
		s, err := documentText(id)
		return str(s), err
	}
	av, code, err := encodeScalar(id)
	if _, isNumber := av.(*types.AttributeValueMemberN); err != nil || code != c.key.Type || isNumber && KeyKind(c.key.Type) != types.ScalarAttributeTypeN {
		return nil, other()
	}
	return av, nil
}

// keyHint is what the key does not say about an identifier, "" if it says all.
func (c *Codec) keyHint(id bson.RawValue) string {
	av, err := c.Key(id)
	if err != nil {
		return "" // the key was encoded
	}
	if back, err := c.ownID(av); err == nil && back.Equal(id) {
		return ""
	}
	if scalar, code, err := encodeScalar(id); err == nil && sameValue(scalar, av) {
		return code
	}
	return typeIdentifier + ":" + base64.StdEncoding.EncodeToString(append([]byte{byte(id.Type)}, id.Value...))
}

// keyID is the identifier that a key stands for without a hint.
func (c *Codec) keyID(key types.AttributeValue) (bson.RawValue, error) {
	own, err := c.ownKey(key)
	if err != nil {
		return bson.RawValue{}, err
	}
	return c.ownID(own)
}

// ownID is the inverse of Key, without a hint.
func (c *Codec) ownID(av types.AttributeValue) (bson.RawValue, error) {
	if len(c.parts) > 0 {
		return c.partsID(av)
	}
	kind := c.key.Type
	s, isText := av.(*types.AttributeValueMemberS)
	n, isNumber := av.(*types.AttributeValueMemberN)
	switch {
	case kind == TypeNumber && isNumber:
		return numberID(n.Value)
	case kind == TypeMixed && isText:
		return mixedID(s.Value)
	case kind == TypeDocument && isText:
		return documentID(s.Value)
	}
	t, b, err := appendScalar(nil, av, kind)
	return bson.RawValue{Type: t, Value: b}, err
}

// hintedID is the identifier that a key stands for under a hint.
func (c *Codec) hintedID(key types.AttributeValue, code string) (bson.RawValue, error) {
	av, err := c.ownKey(key)
	if err != nil {
		return bson.RawValue{}, err
	}
	kind, whole, _ := strings.Cut(code, ":")
	if kind != typeIdentifier {
		t, b, err := appendScalar(nil, av, code)
		return bson.RawValue{Type: t, Value: b}, err
	}
	b, err := base64.StdEncoding.DecodeString(whole)
	if err != nil || len(b) == 0 {
		return bson.RawValue{}, misfit(code, av)
	}
	id := bson.RawValue{Type: bson.Type(b[0]), Value: b[1:]}
	if !exact(id) || id.Validate() != nil {
		return bson.RawValue{}, misfit(code, av)
	}
	if again, err := c.Key(id); err != nil || !sameValue(again, av) {
		return bson.RawValue{}, fmt.Errorf("%w: the identifier beside it has another key", ErrHint)
	}
	return id, nil
}

// ID decodes the identifier from an item or from its key alone. From the key alone it may
// be another one that MongoDB takes for the same: 1 for 1.0.
func (c *Codec) ID(item Item) (bson.RawValue, error) {
	av := c.KeyOf(item)
	if av == nil {
		return bson.RawValue{}, fmt.Errorf("codec: item has no key attribute %q", c.key.Attribute)
	}
	id, err := c.keyID(av)
	if hint, ok := hintMember(item).(*types.AttributeValueMemberM); ok {
		if code, ok := hint.Value[string(appendStep(nil, c.key.Attribute))].(*types.AttributeValueMemberS); ok {
			id, err = c.hintedID(av, code.Value)
		}
	}
	if err != nil {
		return bson.RawValue{}, fmt.Errorf("codec: key attribute %q: %w", c.key.Attribute, err)
	}
	return id, nil
}

func isNumeric(t bson.Type) bool {
	return t == bson.TypeInt32 || t == bson.TypeInt64 || t == bson.TypeDouble || t == bson.TypeDecimal128
}

// exactNumber is the value of a number. It is false for what is none, and for doubles whose
// value has more digits than the longest Decimal128, so that no other type can equal them.
func exactNumber(v bson.RawValue) (n number, ok bool) {
	switch v.Type {
	case bson.TypeInt32:
		i, ok := v.Int32OK()
		n, _ = parseNumber(strconv.FormatInt(int64(i), 10))
		return n, ok
	case bson.TypeInt64:
		i, ok := v.Int64OK()
		n, _ = parseNumber(strconv.FormatInt(i, 10))
		return n, ok
	case bson.TypeDouble:
		f, ok := v.DoubleOK()
		if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return n, false
		}
		n, _ = parseNumber(strconv.FormatFloat(f, 'e', 40, 64))
		if !n.storable() {
			return n, false
		}
		rational, ok := new(big.Rat).SetString(n.String())
		return n, ok && rational.Cmp(new(big.Rat).SetFloat64(f)) == 0
	case bson.TypeDecimal128:
		d, ok := v.Decimal128OK()
		if !ok {
			return n, false
		}
		coefficient, exp, err := d.BigInt()
		if err != nil {
			return n, false
		}
		return parseNumber(coefficient.String() + "E" + strconv.Itoa(exp))
	}
	return n, false
}

func keyNumber(v bson.RawValue) (number, error) {
	n, ok := exactNumber(v)
	if !ok || !n.storable() {
		return n, fmt.Errorf("%w: a key must hold the number exactly, in at most 38 digits, so that no two have the same", ErrDigits)
	}
	return n, nil
}

// numberID is the number in the type that it has by nature.
func numberID(s string) (bson.RawValue, error) {
	n, ok := parseNumber(s)
	if !ok || !n.storable() {
		return bson.RawValue{}, fmt.Errorf("%w: %.60q", ErrDigits, s)
	}
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		if i == int64(int32(i)) {
			return bson.RawValue{Type: bson.TypeInt32, Value: bsoncore.AppendInt32(nil, int32(i))}, nil
		}
		return bson.RawValue{Type: bson.TypeInt64, Value: bsoncore.AppendInt64(nil, i)}, nil
	}
	f, _ := strconv.ParseFloat(n.String(), 64)
	double := bson.RawValue{Type: bson.TypeDouble, Value: bsoncore.AppendDouble(nil, f)}
	if same, ok := exactNumber(double); ok && same == n {
		return double, nil
	}
	t, b, err := appendDecimal(nil, n, "")
	return bson.RawValue{Type: t, Value: b}, err
}

// HasEquals reports whether MongoDB takes other values for the same identifier, such as 1.0 for 1.
func HasEquals(id bson.RawValue) bool {
	return isNumeric(id.Type) || id.Type == bson.TypeEmbeddedDocument
}

// Identity is a text that two identifiers share exactly if MongoDB takes them for the same.
func Identity(id bson.RawValue) string {
	switch {
	case isNumeric(id.Type):
		if n, ok := exactNumber(id); ok {
			return TypeNumber + n.String()
		}
	case id.Type == bson.TypeEmbeddedDocument:
		if s, err := documentText(id); err == nil {
			return s
		}
	}
	return string([]byte{byte(id.Type)}) + string(id.Value)
}
