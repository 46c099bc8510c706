package awsjson

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Time is a timestamp: in AWS JSON, seconds since 1970 as a number with a
// fraction; in CBOR, milliseconds since 1970 as a whole number with the tag 1,
// against RFC 8949, which has seconds there. It keeps milliseconds, as the
// services do.
type Time struct{ time.Time }

// At wraps a time.
func At(t time.Time) *Time { return &Time{t} }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// AppendJSON appends the number to b.
func (t Time) AppendJSON(b []byte) []byte {
	return strconv.AppendFloat(b, float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	seconds, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > mostSeconds {
		return fmt.Errorf("%s is not a timestamp in seconds since 1970", b)
	}
	t.Time = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	return nil
}

// mostSeconds keeps a timestamp where a time.Time can be computed with.
const mostSeconds = 1e11

// timeTag is that of a timestamp in CBOR.
const timeTag = 1

// MarshalCBOR implements cbor.Marshaler.
func (t Time) MarshalCBOR() ([]byte, error) { return t.AppendCBOR(nil), nil }

// AppendCBOR appends the number with its tag to b.
func (t Time) AppendCBOR(b []byte) []byte {
	text, err := cbor.Marshal(cbor.Tag{Number: timeTag, Content: t.UnixMilli()})
	if err != nil {
		panic(err) // a number always encodes
	}
	return append(b, text...)
}

// UnmarshalCBOR implements cbor.Unmarshaler. The tag may be missing.
func (t *Time) UnmarshalCBOR(b []byte) error {
	var tagged cbor.RawTag
	if err := cbor.Unmarshal(b, &tagged); err == nil && tagged.Number == timeTag {
		b = tagged.Content
	}
	var milliseconds float64
	if err := cbor.Unmarshal(b, &milliseconds); err != nil {
		return fmt.Errorf("not a timestamp in milliseconds since 1970: %w", err)
	}
	if math.IsNaN(milliseconds) || math.Abs(milliseconds) > mostSeconds*1000 {
		return fmt.Errorf("%v is not a timestamp in milliseconds since 1970", milliseconds)
	}
	t.Time = time.UnixMilli(int64(milliseconds)).UTC()
	return nil
}
