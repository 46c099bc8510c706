package changestream

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// A form is a way to write a value of a document into an event.
type form string

// The forms of the key "as". Natural, for a field that names none, is the rule of
// bsonjson. It refuses integers beyond ±2^53: say number or text.
const (
	natural   form = ""
	asText    form = "text"    // any single value as text
	asNumber  form = "number"  // all digits unchanged, also of texts and beyond 2^53
	asInteger form = "integer" // a whole number, also one that was stored as double or text
	asBool    form = "bool"    // true or false only
	asTime    form = "time"    // RFC 3339 of dates, such texts, and milliseconds since 1970
)

var forms = []form{asText, asNumber, asInteger, asBool, asTime}

// appendValue appends v as JSON.
func (f form) appendValue(b []byte, v bson.RawValue) ([]byte, error) {
	switch f {
	case natural:
		b, err := bsonjson.Append(b, v)
		if errors.Is(err, bsonjson.ErrInexact) {
			err = fmt.Errorf("%w; declare the field as: text or as: number", err)
		}
		return b, err
	case asText:
		s, err := bsonjson.Text(v)
		if err != nil {
			return b, err
		}
		return bsonjson.AppendText(b, s)
	case asBool:
		if t, ok := v.BooleanOK(); ok {
			return strconv.AppendBool(b, t), nil
		}
		return b, bsonjson.Unfit(v, "bool")
	case asTime:
		return appendTime(b, v)
	case asInteger:
		return appendInteger(b, v)
	}
	return appendNumber(b, v)
}

// appendNumber accepts texts of digits too.
func appendNumber(b []byte, v bson.RawValue) ([]byte, error) {
	if s, ok := v.StringValueOK(); ok && isNumber(s) {
		return append(b, s...), nil
	}
	return bsonjson.AppendNumber(b, v)
}

// isNumber reports whether s is a number as JSON writes them.
func isNumber(s string) bool {
	var n json.Number
	return s != "" && s[0] != '"' && json.Unmarshal([]byte(s), &n) == nil && string(n) == s
}

// maxIntegerDigits bounds the digits that an exponent is expanded to.
const maxIntegerDigits = 40

func appendInteger(b []byte, v bson.RawValue) ([]byte, error) {
	number, err := appendNumber(nil, v)
	if err != nil {
		return b, bsonjson.Unfit(v, "integer")
	}
	if f, err := strconv.ParseFloat(string(number), 64); err != nil || math.Abs(f) >= 1e40 {
		return b, bsonjson.Unfit(v, "integer")
	}
	r, ok := new(big.Rat).SetString(string(number))
	if !ok || !r.IsInt() || len(r.Num().String()) > maxIntegerDigits {
		return b, fmt.Errorf("%w as integer: it is %s", bsonjson.Err, bsonjson.Brief(string(number)))
	}
	return append(b, r.Num().String()...), nil
}

func appendTime(b []byte, v bson.RawValue) ([]byte, error) {
	t, err := timeOf(v)
	if err != nil {
		return b, err
	}
	return bsonjson.AppendText(b, t)
}

func timeOf(v bson.RawValue) (string, error) {
	switch v.Type {
	case bson.TypeDateTime:
		ms, _ := v.DateTimeOK()
		return bsonjson.Time(time.UnixMilli(ms))
	case bson.TypeTimestamp:
		t, _, _ := v.TimestampOK()
		return bsonjson.Time(time.Unix(int64(t), 0))
	case bson.TypeInt64:
		return bsonjson.Time(time.UnixMilli(v.Int64()))
	case bson.TypeDouble:
		if d := v.Double(); math.Abs(d) < 1e15 {
			return bsonjson.Time(time.UnixMilli(int64(d)))
		}
	case bson.TypeString:
		if t, err := time.Parse(time.RFC3339Nano, v.StringValue()); err == nil {
			return bsonjson.Time(t)
		}
	}
	return "", bsonjson.Unfit(v, "time")
}
