// Package bsonjson writes values of BSON as the JSON of an event's data. It is
// the one rule for it, whatever of a document ends up in an event:
//
//	null, undefined          null
//	bool                     true, false
//	int32, double            a number
//	int64                    a number within ±2^53; beyond it is refused, since
//	                         most readers of JSON would round it without a word
//	NaN, infinities          refused, as JSON has none
//	Decimal128               text, with all of its digits
//	string, symbol, code     text
//	ObjectId                 its 24 hex digits
//	date                     RFC 3339 in UTC, with milliseconds where there are any,
//	                         as events write their own times; the years 0 to 9999
//	UUID                     its usual form
//	other binaries           base64
//	timestamp                "seconds.increment"
//	regular expression       "/pattern/options"
//	documents, arrays        objects with the order of their fields, and arrays
//	minKey, maxKey, others   refused
//
// Nothing is changed silently: what has no faithful form is an [Err], and whoever
// writes the event says what it is to be.
package bsonjson

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
)

var (
	// Err is why a value has no JSON.
	Err = errors.New("cannot be written")
	// ErrInexact is an Err too: an integer that readers would round.
	ErrInexact = errors.New("where most readers of JSON round")
)

// Unfit is an Err about the type of a value.
func Unfit(v bson.RawValue, as string) error {
	return fmt.Errorf("%w as %s: its type is %s", Err, as, v.Type)
}

// maxExact is up to where a double, which is what most readers of JSON make of
// a number, holds every integer.
const maxExact = 1<<53 - 1

// maxDepth leaves room for the event and its data.
const maxDepth = events.MaxDepth - 2

// Append appends v as JSON.
func Append(b []byte, v bson.RawValue) ([]byte, error) { return appendValue(b, v, 1) }

func appendValue(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	// The accessors of a value that is cut short panic, and a valid document may
	// have one inside of an array.
	if err := v.Validate(); err != nil {
		return b, fmt.Errorf("%w: %w", Err, err)
	}
	switch v.Type {
	case bson.TypeNull, bson.TypeUndefined:
		return append(b, "null"...), nil
	case bson.TypeBoolean:
		return strconv.AppendBool(b, v.Boolean()), nil
	case bson.TypeInt64:
		if n := v.Int64(); n > maxExact || n < -maxExact {
			return b, fmt.Errorf("%w: the integer %d is beyond 2^53, %w", Err, n, ErrInexact)
		}
		return AppendNumber(b, v)
	case bson.TypeInt32, bson.TypeDouble:
		return AppendNumber(b, v)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return appendNested(b, v, depth)
	}
	text, err := Text(v)
	if err != nil {
		return b, err
	}
	return AppendText(b, text)
}

func appendNested(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return b, fmt.Errorf("%w: nested deeper than %d", Err, depth)
	}
	elements, err := bson.Raw(v.Value).Elements()
	if err != nil {
		return b, fmt.Errorf("%w: %w", Err, err)
	}
	begin, end := byte('{'), byte('}')
	if v.Type == bson.TypeArray {
		begin, end = '[', ']'
	}
	b = append(b, begin)
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		if v.Type != bson.TypeArray {
			if b, err = AppendText(b, e.Key()); err != nil {
				return b, err
			}
			b = append(b, ':')
		}
		if b, err = appendValue(b, e.Value(), depth+1); err != nil {
			return b, fmt.Errorf("%s: %w", Brief(e.Key()), err)
		}
	}
	return append(b, end), nil
}

// AppendText appends a text in quotes.
func AppendText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, fmt.Errorf("%w: text that is not UTF-8", Err)
	}
	quoted, err := json.Marshal(s)
	return append(b, quoted...), err
}

// AppendNumber appends a number with all of its digits, those of Decimal128 and
// beyond 2^53 included.
func AppendNumber(b []byte, v bson.RawValue) ([]byte, error) {
	switch v.Type {
	case bson.TypeInt32:
		return strconv.AppendInt(b, int64(v.Int32()), 10), nil
	case bson.TypeInt64:
		return strconv.AppendInt(b, v.Int64(), 10), nil
	case bson.TypeDouble:
		d := v.Double()
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return b, fmt.Errorf("%w: JSON has no %v", Err, d)
		}
		number, err := json.Marshal(d)
		return append(b, number...), err
	case bson.TypeDecimal128:
		if d := v.Decimal128(); !d.IsNaN() && d.IsInf() == 0 {
			return append(b, d.String()...), nil
		}
	}
	return b, Unfit(v, "number")
}

// Time is RFC 3339.
func Time(t time.Time) (string, error) {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return "", fmt.Errorf("%w: the year %d is not between 0 and 9999", Err, y)
	}
	return t.Format(time.RFC3339Nano), nil
}

// Text is any value but null as text, without quotes; documents and arrays are
// written as JSON.
func Text(v bson.RawValue) (string, error) {
	switch v.Type {
	case bson.TypeString:
		s, ok := v.StringValueOK()
		return whole(s, ok)
	case bson.TypeSymbol:
		s, ok := v.SymbolOK()
		return whole(s, ok)
	case bson.TypeJavaScript:
		s, ok := v.JavaScriptOK()
		return whole(s, ok)
	case bson.TypeObjectID:
		return v.ObjectID().Hex(), nil
	case bson.TypeBoolean:
		return strconv.FormatBool(v.Boolean()), nil
	case bson.TypeDateTime:
		return Time(time.UnixMilli(v.DateTime()))
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64:
		number, err := AppendNumber(nil, v)
		return string(number), err
	case bson.TypeDecimal128:
		return v.Decimal128().String(), nil
	case bson.TypeTimestamp:
		t, i := v.Timestamp()
		return fmt.Sprintf("%d.%d", t, i), nil
	case bson.TypeBinary:
		return binaryText(v.Binary()), nil
	case bson.TypeRegex:
		pattern, options := v.Regex()
		return "/" + pattern + "/" + options, nil
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		nested, err := Append(nil, v)
		return string(nested), err
	}
	return "", Unfit(v, "text")
}

// whole refuses a text without its end, which counts as valid BSON elsewhere.
func whole(s string, ok bool) (string, error) {
	if !ok {
		return "", fmt.Errorf("%w: text that is cut short", Err)
	}
	return s, nil
}

func binaryText(subtype byte, data []byte) string {
	if subtype == bson.TypeBinaryUUID && len(data) == len(uuid.UUID{}) {
		return uuid.UUID(data).String()
	}
	return base64.StdEncoding.EncodeToString(data)
}

// Brief keeps what came from outside from filling a message.
func Brief(s string) string {
	const most = 80
	s = strings.ToValidUTF8(s, "?")
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
