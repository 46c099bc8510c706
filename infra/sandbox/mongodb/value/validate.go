package value

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Limits of documents, as MongoDB's.
const (
	MaxDepth        = 200      // nesting that is parsed at all; MongoDB's BSON validator has the same limit
	MaxStoredDepth  = 100      // nesting that may be stored
	MaxDocumentSize = 16 << 20 // bytes of a stored document
)

// ErrInvalid is wrapped by everything Validate returns.
var ErrInvalid = errors.New("invalid BSON")

// Validate checks a whole document before anything else looks at it: lengths,
// terminators, known types, nesting to at most depth. Every other function of
// the sandbox relies on it. It does not check UTF-8, as MongoDB does not.
func Validate(d []byte, depth int) error {
	if depth <= 0 {
		return fmt.Errorf("%w: nested too deeply", ErrInvalid)
	}
	if len(d) < 5 || int64(int32(binary.LittleEndian.Uint32(d))) != int64(len(d)) || d[len(d)-1] != 0 {
		return fmt.Errorf("%w: wrong document length", ErrInvalid)
	}
	rest := d[4 : len(d)-1]
	for len(rest) > 0 {
		end := bytes.IndexByte(rest[1:], 0)
		if end < 0 {
			return fmt.Errorf("%w: field name without an end", ErrInvalid)
		}
		t, body := bsoncore.Type(rest[0]), rest[2+end:]
		n, ok := size(t, body)
		if !ok {
			return fmt.Errorf("%w: bad value of type 0x%02x in field %.64q", ErrInvalid, byte(t), rest[1:1+end])
		}
		if err := validateValue(t, body[:n], depth); err != nil {
			return err
		}
		rest = body[n:]
	}
	return nil
}

func validateValue(t bsoncore.Type, b []byte, depth int) error {
	switch t {
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
		return Validate(b, depth-1)
	case bsoncore.TypeString, bsoncore.TypeSymbol, bsoncore.TypeJavaScript:
		return validateText(b)
	case bsoncore.TypeDBPointer:
		return validateText(b[:len(b)-12])
	case bsoncore.TypeBoolean:
		if b[0] > 1 {
			return fmt.Errorf("%w: boolean is neither 0 nor 1", ErrInvalid)
		}
	case bsoncore.TypeBinary:
		if b[4] == 2 && (len(b) < 9 || int(binary.LittleEndian.Uint32(b[5:])) != len(b)-9) {
			return fmt.Errorf("%w: binary of subtype 2 with a wrong inner length", ErrInvalid)
		}
	case bsoncore.TypeCodeWithScope:
		return validateScope(b, depth)
	}
	return nil
}

func validateText(b []byte) error {
	if len(b) < 5 || b[len(b)-1] != 0 {
		return fmt.Errorf("%w: string without an end", ErrInvalid)
	}
	return nil
}

func validateScope(b []byte, depth int) error {
	if len(b) < 14 {
		return fmt.Errorf("%w: code with scope is too short", ErrInvalid)
	}
	n, ok := size(bsoncore.TypeJavaScript, b[4:])
	if !ok {
		return fmt.Errorf("%w: code with scope has a wrong length", ErrInvalid)
	}
	if err := validateText(b[4 : 4+n]); err != nil {
		return err
	}
	return Validate(b[4+n:], depth-1)
}
