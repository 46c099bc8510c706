package changestream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
)

// A form is how a value of a document is written into an event.
type form string

// The forms of the key "as". Natural, for a field that names none, is number
// for int32, for doubles and for integers within ±2^53; text for strings,
// ObjectIds (hex), dates (RFC 3339, UTC), Decimal128, UUIDs and other binaries
// (base64), regular expressions and code; and true, false, null, arrays and
// objects for their like. It refuses integers beyond ±2^53, which most readers
// of JSON would round without a word: say number or text.
const (
	natural   form = ""
	asText    form = "text"    // any single value as text
	asNumber  form = "number"  // all digits as they are, also of texts and beyond 2^53
	asInteger form = "integer" // a whole number, also one that was stored as double or text
	asBool    form = "bool"    // true or false only
	asTime    form = "time"    // RFC 3339 of dates, such texts, and milliseconds since 1970
)

var forms = []form{asText, asNumber, asInteger, asBool, asTime}

var errConvert = errors.New("cannot be written")

func unfit(v bson.RawValue, as string) error {
	return fmt.Errorf("%w as %s: its type is %s", errConvert, as, v.Type)
}

// appendValue appends v as JSON.
func (f form) appendValue(b []byte, v bson.RawValue) ([]byte, error) {
	switch f {
	case natural:
		return appendNatural(b, v, 1)
	case asText:
		s, err := textOf(v)
		if err != nil {
			return b, err
		}
		return appendText(b, s)
	case asBool:
		if t, ok := v.BooleanOK(); ok {
			return strconv.AppendBool(b, t), nil
		}
		return b, unfit(v, "bool")
	case asTime:
		return appendTime(b, v)
	case asInteger:
		return appendInteger(b, v)
	}
	return appendNumber(b, v)
}

// maxExact is up to where a double, which is what most readers of JSON make of
// a number, holds every integer.
const maxExact = 1<<53 - 1

func appendNatural(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	switch v.Type {
	case bson.TypeNull, bson.TypeUndefined:
		return append(b, "null"...), nil
	case bson.TypeBoolean:
		return asBool.appendValue(b, v)
	case bson.TypeInt64:
		if n := v.Int64(); n > maxExact || n < -maxExact {
			return b, fmt.Errorf("%w: the integer %d is beyond 2^53, where most readers of JSON round; give the field as: text or as: number", errConvert, n)
		}
		return appendNumber(b, v)
	case bson.TypeInt32, bson.TypeDouble:
		return appendNumber(b, v)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return appendNested(b, v, depth)
	}
	return asText.appendValue(b, v)
}

func appendNested(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	if depth >= events.MaxDepth-2 {
		return b, fmt.Errorf("%w: nested deeper than %d", errConvert, depth)
	}
	list := v.Type == bson.TypeArray
	elements, err := bson.Raw(v.Value).Elements()
	if err != nil {
		return b, fmt.Errorf("%w: %w", errConvert, err)
	}
	b = append(b, "{["[btoi(list)])
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		if !list {
			if b, err = appendText(b, e.Key()); err != nil {
				return b, err
			}
			b = append(b, ':')
		}
		if b, err = appendNatural(b, e.Value(), depth+1); err != nil {
			return b, fmt.Errorf("%s: %w", brief(e.Key()), err)
		}
	}
	return append(b, "}]"[btoi(list)]), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, fmt.Errorf("%w: text that is not UTF-8", errConvert)
	}
	quoted, err := json.Marshal(s)
	return append(b, quoted...), err
}

func appendNumber(b []byte, v bson.RawValue) ([]byte, error) {
	switch v.Type {
	case bson.TypeInt32:
		return strconv.AppendInt(b, int64(v.Int32()), 10), nil
	case bson.TypeInt64:
		return strconv.AppendInt(b, v.Int64(), 10), nil
	case bson.TypeDouble:
		d := v.Double()
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return b, fmt.Errorf("%w: JSON has no %v", errConvert, d)
		}
		number, err := json.Marshal(d)
		return append(b, number...), err
	case bson.TypeDecimal128:
		if d := v.Decimal128(); !d.IsNaN() && d.IsInf() == 0 {
			return append(b, d.String()...), nil
		}
	case bson.TypeString:
		if s := v.StringValue(); isNumber(s) {
			return append(b, s...), nil
		}
	}
	return b, unfit(v, "number")
}

// isNumber says whether s is a number as JSON writes them.
func isNumber(s string) bool {
	var n json.Number
	return s != "" && s[0] != '"' && json.Unmarshal([]byte(s), &n) == nil && string(n) == s
}

// maxIntegerDigits bounds what an exponent may be written out to.
const maxIntegerDigits = 40

func appendInteger(b []byte, v bson.RawValue) ([]byte, error) {
	number, err := appendNumber(nil, v)
	if err != nil {
		return b, unfit(v, "integer")
	}
	if f, err := strconv.ParseFloat(string(number), 64); err != nil || math.Abs(f) >= 1e40 {
		return b, unfit(v, "integer")
	}
	r, ok := new(big.Rat).SetString(string(number))
	if !ok || !r.IsInt() || len(r.Num().String()) > maxIntegerDigits {
		return b, fmt.Errorf("%w as integer: it is %s", errConvert, brief(string(number)))
	}
	return append(b, r.Num().String()...), nil
}

func appendTime(b []byte, v bson.RawValue) ([]byte, error) {
	t, err := timeOf(v)
	if err != nil {
		return b, err
	}
	return appendText(b, t)
}

func timeOf(v bson.RawValue) (string, error) {
	switch v.Type {
	case bson.TypeDateTime:
		ms, _ := v.DateTimeOK()
		return rfc3339(time.UnixMilli(ms))
	case bson.TypeTimestamp:
		t, _, _ := v.TimestampOK()
		return rfc3339(time.Unix(int64(t), 0))
	case bson.TypeInt64:
		return rfc3339(time.UnixMilli(v.Int64()))
	case bson.TypeDouble:
		if d := v.Double(); math.Abs(d) < 1e15 {
			return rfc3339(time.UnixMilli(int64(d)))
		}
	case bson.TypeString:
		if t, err := time.Parse(time.RFC3339Nano, v.StringValue()); err == nil {
			return rfc3339(t)
		}
	}
	return "", unfit(v, "time")
}

func rfc3339(t time.Time) (string, error) {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return "", fmt.Errorf("%w: the year %d is not between 0 and 9999", errConvert, y)
	}
	return t.Format(time.RFC3339Nano), nil
}

// textOf is a value as text: in the form "text" and in templates.
func textOf(v bson.RawValue) (string, error) {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return stringOf(v), nil
	case bson.TypeObjectID:
		return v.ObjectID().Hex(), nil
	case bson.TypeBoolean:
		return strconv.FormatBool(v.Boolean()), nil
	case bson.TypeDateTime:
		return timeOf(v)
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64:
		number, err := appendNumber(nil, v)
		return string(number), err
	case bson.TypeDecimal128:
		return v.Decimal128().String(), nil
	case bson.TypeTimestamp:
		t, i := v.Timestamp()
		return fmt.Sprintf("%d.%d", t, i), nil
	case bson.TypeBinary:
		subtype, data := v.Binary()
		return binaryText(subtype, data), nil
	case bson.TypeRegex:
		pattern, options := v.Regex()
		return "/" + pattern + "/" + options, nil
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		nested, err := appendNested(nil, v, 1)
		return string(nested), err
	}
	return "", unfit(v, "text")
}

func stringOf(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeSymbol:
		return v.Symbol()
	case bson.TypeJavaScript:
		return v.JavaScript()
	}
	return v.StringValue()
}

func binaryText(subtype byte, data []byte) string {
	if subtype == bson.TypeBinaryUUID && len(data) == len(uuid.UUID{}) {
		return uuid.UUID(data).String()
	}
	return base64.StdEncoding.EncodeToString(data)
}

// brief keeps what came from outside from filling a message.
func brief(s string) string {
	const most = 80
	s = strings.ToValidUTF8(s, "?")
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
