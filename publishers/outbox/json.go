package outbox

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
)

// toJSON writes a value as the plain JSON that a script would make of it: dates
// as ISO texts with milliseconds, ObjectIds in hex, UUIDs in their usual form,
// other bytes in base64, Decimal128 as text, NaN and infinities as null. Order
// of fields is kept. What has no such form is refused.
func toJSON(v bson.RawValue) (json.RawMessage, error) {
	if absent(v) {
		return null, nil
	}
	return appendJSON(nil, v, 1)
}

func appendJSON(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	if depth > events.MaxDepth {
		return nil, refuse("data is nested deeper than %d", events.MaxDepth)
	}
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return appendFields(b, v, depth)
	case bson.TypeArray:
		return appendElements(b, v, depth)
	}
	return appendScalar(b, v)
}

func appendFields(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	fields, err := v.Document().Elements()
	if err != nil {
		return nil, refuse("data: %w", err)
	}
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.Key()), ':')
		if b, err = appendJSON(b, f.Value(), depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendElements(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	elements, err := v.Array().Values()
	if err != nil {
		return nil, refuse("data: %w", err)
	}
	b = append(b, '[')
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendScalar(b []byte, v bson.RawValue) ([]byte, error) {
	switch v.Type {
	case bson.TypeString:
		return appendText(b, v.StringValue()), nil
	case bson.TypeDouble:
		return appendDouble(b, v.Double()), nil
	case bson.TypeInt32, bson.TypeInt64:
		return strconv.AppendInt(b, v.AsInt64(), 10), nil
	case bson.TypeBoolean:
		return strconv.AppendBool(b, v.Boolean()), nil
	case bson.TypeNull, bson.TypeUndefined:
		return append(b, "null"...), nil
	case bson.TypeObjectID:
		return appendText(b, v.ObjectID().Hex()), nil
	case bson.TypeDecimal128:
		return appendText(b, v.Decimal128().String()), nil
	case bson.TypeDateTime:
		return appendDate(b, v.DateTime())
	case bson.TypeBinary:
		return appendBytes(b, v), nil
	}
	return nil, refuse("data holds %s, which JSON has no form for", v.Type)
}

func appendText(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always has a form
	return append(b, quoted...)
}

func appendDouble(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	number, _ := json.Marshal(f) // finite
	return append(b, number...)
}

func appendDate(b []byte, ms int64) ([]byte, error) {
	t := time.UnixMilli(ms).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return nil, refuse("data holds a date in the year %d, which RFC 3339 cannot write", t.Year())
	}
	return t.AppendFormat(b, `"2006-01-02T15:04:05.000Z"`), nil
}

func appendBytes(b []byte, v bson.RawValue) []byte {
	subtype, data := v.Binary()
	if id, err := uuid.FromBytes(data); err == nil && subtype == bson.TypeBinaryUUID {
		return appendText(b, id.String())
	}
	return appendText(b, base64.StdEncoding.EncodeToString(data))
}
