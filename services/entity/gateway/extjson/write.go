package extjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// Form is how documents are written. The zero value declares nothing.
type Form struct {
	// Types are the declared types of top-level fields, by package codec's names.
	Types map[string]string
	// Canonical writes numbers with their types. What is read is the same.
	Canonical bool
	// Hidden are top-level fields that are not written, and must not be there in what is read.
	Hidden []string
}

// maxPlain is the largest integer that all programs keep (RFC 7493, 2.2).
const maxPlain = 1<<53 - 1

// dateText is RFC 3339 in UTC with milliseconds.
const dateText = "2006-01-02T15:04:05.000Z"

// Append writes a document behind dst.
func (f Form) Append(dst []byte, doc bson.Raw) ([]byte, error) {
	return f.document(dst, doc, f.Types, f.Hidden, false)
}

func (f Form) document(dst []byte, doc bson.Raw, types map[string]string, hidden []string, array bool) ([]byte, error) {
	elements, err := doc.Elements()
	if err != nil {
		return nil, fmt.Errorf("write a document as JSON: %w", err)
	}
	if len(hidden) > 0 {
		elements = slices.DeleteFunc(elements, func(e bson.RawElement) bool { return slices.Contains(hidden, e.Key()) })
	}
	brackets := "{}"
	if array {
		brackets = "[]"
	}
	wrapped := !array && needsWrapper(elements)
	if wrapped {
		dst = append(dst, `{"$document":`...)
	}
	dst = append(dst, brackets[0])
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !array {
			if dst, err = appendQuoted(dst, e.Key()); err != nil {
				return nil, err
			}
			dst = append(dst, ':')
		}
		if dst, err = f.value(dst, e.Value(), types[e.Key()]); err != nil {
			return nil, fmt.Errorf("field %.100q: %w", e.Key(), err)
		}
	}
	if dst = append(dst, brackets[1]); wrapped {
		dst = append(dst, '}')
	}
	return dst, nil
}

// needsWrapper reports whether a document would be read as something else.
func needsWrapper(elements []bson.RawElement) bool {
	return slices.ContainsFunc(elements, func(e bson.RawElement) bool { return strings.HasPrefix(e.Key(), "$") }) &&
		!isReference(elements)
}

// isReference reports whether a document is one that MongoDB calls a DBRef.
func isReference(elements []bson.RawElement) bool {
	for i, e := range elements {
		switch name := e.Key(); {
		case i == 0 && (name != "$ref" || e.Value().Type != bson.TypeString), i == 1 && name != "$id",
			i > 1 && strings.HasPrefix(name, "$") && (i != 2 || name != "$db" || e.Value().Type != bson.TypeString):
			return false
		}
	}
	return len(elements) > 1
}

func (f Form) value(dst []byte, v bson.RawValue, declared string) ([]byte, error) {
	if plain, ok := appendPlain(dst, v, declared); ok {
		return plain, nil
	}
	natural := declared == "" && !f.Canonical
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return f.document(dst, v.Document(), nil, nil, false)
	case bson.TypeArray:
		return f.document(dst, bson.Raw(v.Array()), nil, nil, true)
	case bson.TypeBoolean:
		return strconv.AppendBool(dst, v.Boolean()), nil
	case bson.TypeNull:
		return append(dst, "null"...), nil
	case bson.TypeString:
		if declared == "" || declared == codec.TypeString {
			return appendQuoted(dst, v.StringValue())
		}
		dst, err := appendQuoted(append(dst, `{"$string":`...), v.StringValue())
		return append(dst, '}'), err
	case bson.TypeInt32:
		if natural {
			return strconv.AppendInt(dst, int64(v.Int32()), 10), nil
		}
	case bson.TypeDouble:
		if n := v.Double(); natural && n != math.Trunc(n) && !math.IsNaN(n) {
			return strconv.AppendFloat(dst, n, 'g', -1, 64), nil
		}
	}
	text, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, v.Type != bson.TypeDateTime || f.Canonical, false)
	if err != nil {
		return nil, fmt.Errorf("write %s as JSON: %w", codec.TypeName(v.Type), err)
	}
	if !utf8.Valid(text) {
		return nil, errText
	}
	return append(dst, text[len(`{"v":`):len(text)-1]...), nil
}

// plainTypes are the BSON types of declared types that have a plain form of their own.
var plainTypes = map[string]bson.Type{
	codec.TypeObjectID: bson.TypeObjectID, codec.TypeDate: bson.TypeDateTime, codec.TypeInt32: bson.TypeInt32, codec.TypeInt64: bson.TypeInt64,
	codec.TypeDouble: bson.TypeDouble, codec.TypeDecimal: bson.TypeDecimal128, codec.TypeBinary: bson.TypeBinary, codec.TypeUUID: bson.TypeBinary,
}

// appendPlain writes a value of its declared type, if that has a plain form.
func appendPlain(dst []byte, v bson.RawValue, declared string) ([]byte, bool) {
	if kind, ok := plainTypes[declared]; !ok || kind != v.Type {
		return dst, false
	}
	var text string
	switch v.Type {
	case bson.TypeObjectID:
		text = hex.EncodeToString(v.Value)
	case bson.TypeDateTime:
		t := v.Time().UTC()
		text = t.Format(dateText)
		if back, err := time.Parse(dateText, text); err != nil || !back.Equal(t) {
			return dst, false // of a year that RFC 3339 has not
		}
	case bson.TypeInt32:
		return strconv.AppendInt(dst, int64(v.Int32()), 10), true
	case bson.TypeInt64:
		if n := v.Int64(); -maxPlain <= n && n <= maxPlain {
			return strconv.AppendInt(dst, n, 10), true
		}
		return dst, false
	case bson.TypeDouble:
		if n := v.Double(); !math.IsNaN(n) && !math.IsInf(n, 0) {
			return strconv.AppendFloat(dst, n, 'g', -1, 64), true
		}
		return dst, false
	case bson.TypeDecimal128:
		text = v.Decimal128().String()
	case bson.TypeBinary:
		subtype, b := v.Binary()
		id, err := uuid.FromBytes(b)
		switch {
		case declared == codec.TypeUUID && subtype == bson.TypeBinaryUUID && err == nil:
			text = id.String()
		case declared == codec.TypeBinary && subtype == bson.TypeBinaryGeneric:
			text = base64.StdEncoding.EncodeToString(b)
		default:
			return dst, false
		}
	}
	return append(append(append(dst, '"'), text...), '"'), true
}

var errText = fmt.Errorf("%w: a text is not UTF-8, which JSON must be", ErrInvalid)

func appendQuoted(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errText
	}
	buffer := bytes.NewBuffer(dst)
	e := json.NewEncoder(buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return buffer.Bytes()[:buffer.Len()-1], nil // without the newline
}
