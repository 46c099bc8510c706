package bsonjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

func value(t testing.TB, v any) bson.RawValue {
	t.Helper()
	kind, data, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: kind, Value: data}
}

func decimal(t testing.TB, s string) bson.Decimal128 {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAppend(t *testing.T) {
	for want, v := range map[string]any{
		`null`:                                   bson.Null{},
		`true`:                                   true,
		`-7`:                                     int32(-7),
		`9007199254740991`:                       int64(1)<<53 - 1,
		`-9007199254740991`:                      -(int64(1)<<53 - 1),
		`1.5`:                                    1.5,
		`3`:                                      3.0,
		`1e+300`:                                 1e300,
		`"1E+3"`:                                 decimal(t, "1E+3"),
		`"0.10"`:                                 decimal(t, "0.10"),
		`"NaN"`:                                  decimal(t, "NaN"),
		`"é\n\"\u003c"`:                          "é\n\"<",
		`"2016-11-21T12:00:00.12Z"`:              time.Date(2016, 11, 21, 13, 0, 0, 120_999_999, time.FixedZone("", 3600)),
		`"2016-11-21T12:00:00Z"`:                 time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC),
		`"1969-12-31T23:59:59.999Z"`:             bson.DateTime(-1),
		`"59b99db4cfa9a34dcd7885b6"`:             bson.ObjectID{0x59, 0xb9, 0x9d, 0xb4, 0xcf, 0xa9, 0xa3, 0x4d, 0xcd, 0x78, 0x85, 0xb6},
		`"00000000-0000-0000-0000-000000000000"`: bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		`"AAAAAAAAAAAAAAAAAAAAAA=="`:             bson.Binary{Subtype: 3, Data: make([]byte, 16)}, // whose order of bytes is anybody's guess
		`"AQI="`:                                 []byte{1, 2},
		`"1480000000.5"`:                         bson.Timestamp{T: 1480000000, I: 5},
		`"/^a/i"`:                                bson.Regex{Pattern: "^a", Options: "i"},
		`{"b":[1,{}],"":{"a":null}}`:             bson.D{{Key: "b", Value: bson.A{1, bson.D{}}}, {Key: "", Value: bson.D{{Key: "a", Value: nil}}}},
	} {
		if got, err := bsonjson.Append(nil, value(t, v)); string(got) != want || err != nil {
			t.Errorf("%v is written as %s, %v; want %s", v, got, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	deep := any(1)
	for range 70 {
		deep = bson.A{deep}
	}
	for want, v := range map[string]any{
		"NaN":                 math.NaN(),
		"+Inf":                math.Inf(1),
		"-9007199254740992":   -(int64(1) << 53),
		"9223372036854775807": int64(math.MaxInt64),
		"the year 33658":      bson.DateTime(999999999999999),
		"min key":             bson.MinKey{},
		"not UTF-8":           "\xff",
		"nested deeper":       deep,
		"a: 1: b: cannot be":  bson.D{{Key: "a", Value: bson.A{1, bson.D{{Key: "b", Value: math.NaN()}}}}},
	} {
		got, err := bsonjson.Append(nil, value(t, v))
		if !errors.Is(err, bsonjson.Err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s, %v; want an error about %q", v, got, err, want)
		}
	}
}

// FuzzAppend: whatever BSON makes JSON that can be read, or an error.
func FuzzAppend(f *testing.F) {
	for _, v := range []any{bson.D{{Key: "a", Value: bson.A{1.5, "x", bson.DateTime(1)}}}, bson.D{{Key: "n", Value: int64(1) << 60}}} {
		b, err := bson.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bson.Raw(b).Validate() != nil {
			t.Skip("a server stores no such thing")
		}
		got, err := bsonjson.Append(nil, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: b})
		if err == nil && !json.Valid(got) || err != nil && !errors.Is(err, bsonjson.Err) {
			t.Fatalf("%x is written as %s, %v", b, got, err)
		}
	})
}
