package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// mixedText is an identifier as the text of a [TypeMixed] key: a string stands as it is,
// an ObjectId as its 24 digits, all else behind the name of its type and a colon; so do
// strings that could be taken for one of those.
func mixedText(id bson.RawValue) (string, error) {
	switch id.Type {
	case bson.TypeString:
		s, ok := id.StringValueOK()
		if !ok || !utf8.ValidString(s) {
			return "", fmt.Errorf("%w: its bytes are not UTF-8", ErrKeyType)
		}
		if plain, err := parseMixed(s); s == "" || err != nil || plain.Type != bson.TypeString || strings.HasPrefix(s, TypeString+":") {
			return TypeString + ":" + s, nil
		}
		return s, nil
	case bson.TypeObjectID:
		return hex.EncodeToString(id.Value), nil
	case bson.TypeEmbeddedDocument:
		s, err := documentText(id)
		return TypeDocument + ":" + s, err
	case bson.TypeBoolean:
		b, ok := id.BooleanOK()
		if !ok {
			return "", ErrMalformed
		}
		return TypeBool + ":" + strconv.FormatBool(b), nil
	}
	kind, s, err := scalarText(id)
	return kind + ":" + s, err
}

// ValueText is a scalar value or a document as text, which two values share exactly if
// MongoDB takes them for the same: a string stands as it is, all else, and a string that
// could be taken for one of those, behind the name of its type and a colon.
func ValueText(v bson.RawValue) (string, error) {
	switch v.Type {
	case bson.TypeString:
		s, ok := v.StringValueOK()
		if !ok || !utf8.ValidString(s) {
			return "", fmt.Errorf("%w: its bytes are not UTF-8", ErrKeyType)
		}
		kind, _, found := strings.Cut(s, ":")
		if found && (scalarKinds[kind] || kind == TypeString || kind == TypeObjectID || kind == TypeBool || kind == TypeDocument) {
			return TypeString + ":" + s, nil
		}
		return s, nil
	case bson.TypeObjectID:
		return TypeObjectID + ":" + hex.EncodeToString(v.Value), nil
	}
	return mixedText(v)
}

// mixedID is the inverse of mixedText. Another text for the same identifier is an error:
// two items would stand for one document.
func mixedID(s string) (bson.RawValue, error) {
	id, err := parseMixed(s)
	if err != nil {
		return id, err
	}
	if again, err := mixedText(id); err != nil || again != s {
		return bson.RawValue{}, misfit(TypeMixed, str(s))
	}
	return id, nil
}

func parseMixed(s string) (bson.RawValue, error) {
	if len(s) == 24 {
		if t, b, err := appendText(nil, s, TypeObjectID); err == nil {
			return bson.RawValue{Type: t, Value: b}, nil
		}
	}
	kind, rest, found := strings.Cut(s, ":")
	switch {
	case found && kind == TypeString:
		s = rest
	case found && kind == TypeDocument:
		return documentID(rest)
	case found && kind == TypeBool:
		b, err := strconv.ParseBool(rest)
		if err != nil || strconv.FormatBool(b) != rest {
			return bson.RawValue{}, misfit(kind, str(s))
		}
		return bson.RawValue{Type: bson.TypeBoolean, Value: bsoncore.AppendBoolean(nil, b)}, nil
	case found && scalarKinds[kind]:
		return scalarID(kind, rest)
	}
	return bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, s)}, nil
}

var scalarKinds = map[string]bool{TypeNumber: true, TypeUUID: true, TypeDate: true, TypeBinary: true}

// scalarText is a number, a date or a binary value as text.
func scalarText(v bson.RawValue) (kind, s string, err error) {
	if isNumeric(v.Type) {
		n, err := keyNumber(v)
		return TypeNumber, n.String(), err
	}
	av, code, err := encodeScalar(v)
	if err != nil {
		return "", "", err
	}
	kind, subtype, _ := strings.Cut(code, ":")
	if !scalarKinds[kind] {
		return "", "", fmt.Errorf("%w: %s cannot be a key", ErrKeyType, TypeName(v.Type))
	}
	switch a := av.(type) {
	case *types.AttributeValueMemberS:
		return kind, a.Value, nil
	case *types.AttributeValueMemberN: // a date of a year that RFC 3339 has not
		return kind, a.Value, nil
	case *types.AttributeValueMemberB:
		return kind, subtype + ":" + hex.EncodeToString(a.Value), nil
	}
	return "", "", misfit(code, av)
}

// scalarID is the inverse of scalarText.
func scalarID(kind, s string) (bson.RawValue, error) {
	av := types.AttributeValue(str(s))
	switch kind {
	case TypeNumber:
		return numberID(s)
	case TypeBinary:
		subtype, digits, _ := strings.Cut(s, ":")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return bson.RawValue{}, misfit(kind, av)
		}
		av, kind = bin(b), TypeBinary+":"+subtype
	case TypeDate:
		if _, err := strconv.ParseInt(s, 10, 64); err == nil {
			av = num(s)
		}
	}
	t, b, err := appendScalar(nil, av, kind)
	return bson.RawValue{Type: t, Value: b}, err
}

// documentText writes a document as JSON, its fields in their order and numbers by value,
// as MongoDB compares documents. What JSON has not stands as {"$type": "text"}.
func documentText(v bson.RawValue) (string, error) {
	var out bytes.Buffer
	err := writeDocument(&out, v, 0)
	return out.String(), err
}

func writeDocument(out *bytes.Buffer, v bson.RawValue, depth int) error {
	fields, ok := elements(v.Value)
	switch {
	case !ok:
		return ErrMalformed
	case depth > MaxDepth:
		return ErrTooDeep
	}
	brackets := "{}"
	if v.Type == bson.TypeArray {
		if brackets = "[]"; !plainIndexes(fields) {
			return ErrMalformed
		}
	}
	out.WriteByte(brackets[0])
	for i, f := range fields {
		if i > 0 {
			out.WriteByte(',')
		}
		if v.Type != bson.TypeArray {
			if strings.HasPrefix(f.name, "$") || !utf8.ValidString(f.name) {
				return fmt.Errorf("%w: the name %.60q within it", ErrKeyType, f.name)
			}
			writeQuoted(out, f.name)
			out.WriteByte(':')
		}
		if err := writeMember(out, f.value, depth+1); err != nil {
			return err
		}
	}
	out.WriteByte(brackets[1])
	return nil
}

func writeQuoted(out *bytes.Buffer, s string) {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)             // a buffer does not fail
	out.Truncate(out.Len() - 1) // the newline behind it
}

func writeMember(out *bytes.Buffer, v bson.RawValue, depth int) error {
	switch v.Type {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return writeDocument(out, v, depth)
	case bson.TypeString:
		s, ok := v.StringValueOK()
		if !ok || !utf8.ValidString(s) {
			return fmt.Errorf("%w: the bytes of a text within it are not UTF-8", ErrKeyType)
		}
		writeQuoted(out, s)
		return nil
	case bson.TypeBoolean:
		out.WriteString(strconv.FormatBool(len(v.Value) == 1 && v.Value[0] == 1))
		return nil
	case bson.TypeNull:
		out.WriteString("null")
		return nil
	case bson.TypeObjectID:
		out.WriteString(`{"$objectId":"` + hex.EncodeToString(v.Value) + `"}`)
		return nil
	}
	kind, s, err := scalarText(v)
	switch {
	case err != nil:
		return err
	case kind == TypeNumber:
		out.WriteString(s)
	default:
		out.WriteString(`{"$` + kind + `":"` + s + `"}`)
	}
	return nil
}

// documentID is the inverse of documentText.
func documentID(s string) (bson.RawValue, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	v, err := readMember(d, 0)
	if err != nil || v.Type != bson.TypeEmbeddedDocument {
		return bson.RawValue{}, misfit(TypeDocument, str(s))
	}
	if _, err := d.Token(); err != io.EOF {
		return bson.RawValue{}, misfit(TypeDocument, str(s))
	}
	if again, err := documentText(v); err != nil || again != s {
		return bson.RawValue{}, misfit(TypeDocument, str(s))
	}
	return v, nil
}

func readMember(d *json.Decoder, depth int) (bson.RawValue, error) {
	token, err := d.Token()
	switch {
	case err != nil:
		return bson.RawValue{}, err
	case depth > MaxDepth+1:
		return bson.RawValue{}, ErrTooDeep
	}
	switch t := token.(type) {
	case string:
		return bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, t)}, nil
	case bool:
		return bson.RawValue{Type: bson.TypeBoolean, Value: bsoncore.AppendBoolean(nil, t)}, nil
	case nil:
		return bson.RawValue{Type: bson.TypeNull}, nil
	case json.Number:
		return numberID(t.String())
	case json.Delim:
		return readContainer(d, t, depth)
	}
	return bson.RawValue{}, ErrHint
}

// readContainer reads the members of a document or an array up to its end.
func readContainer(d *json.Decoder, open json.Delim, depth int) (bson.RawValue, error) {
	doc := []byte{0, 0, 0, 0}
	for i := 0; d.More(); i++ {
		name := strconv.Itoa(i)
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return bson.RawValue{}, err
			}
			name, _ = token.(string)
		}
		v, err := readMember(d, depth+1)
		if err != nil {
			return bson.RawValue{}, err
		}
		if kind, typed := strings.CutPrefix(name, "$"); typed && i == 0 && open == '{' {
			return readTyped(d, kind, v)
		}
		if strings.IndexByte(name, 0) >= 0 {
			return bson.RawValue{}, ErrAttribute
		}
		doc = append(append(append(doc, byte(v.Type)), name...), 0)
		doc = append(doc, v.Value...)
	}
	if _, err := d.Token(); err != nil {
		return bson.RawValue{}, err
	}
	t := bson.TypeEmbeddedDocument
	if open == '[' {
		t = bson.TypeArray
	}
	return bson.RawValue{Type: t, Value: sealDocument(doc, 0)}, nil
}

func readTyped(d *json.Decoder, kind string, v bson.RawValue) (bson.RawValue, error) {
	s, ok := v.StringValueOK()
	if end, err := d.Token(); !ok || err != nil || end != json.Delim('}') {
		return bson.RawValue{}, ErrHint
	}
	if kind == TypeObjectID {
		t, b, err := appendText(nil, s, kind)
		return bson.RawValue{Type: t, Value: b}, err
	}
	if !scalarKinds[kind] || kind == TypeNumber {
		return bson.RawValue{}, ErrHint
	}
	return scalarID(kind, s)
}
