package attribute

import (
	"encoding/base64"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// MaxNesting is how many levels an attribute may have; a scalar has one, a list of scalars two.
const MaxNesting = 32

// ValidationError is a value that the service refuses with a ValidationException; its text is the
// service's message.
type ValidationError string

func (e ValidationError) Error() string { return string(e) }

const (
	errSet     = ValidationError("not implemented by the sandbox: the sets SS, NS and BS")
	errEmpty   = ValidationError("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	errSeveral = ValidationError("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	errNull    = ValidationError("One or more parameter values were invalid: Null attribute value types must have the value of true")
	errNesting = ValidationError("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
	errName    = ValidationError("One or more parameter values were invalid: Attribute name is too large, must be less than 65536 bytes")
	errTwice   = ValidationError("One or more parameter values were invalid: an attribute name is given twice")
)

// ReadItem consumes an object of attribute values. Errors are a ValidationError or wrap
// wire.ErrSyntax.
func ReadItem(s *wire.Scanner) (Item, error) { return readItem(s, 0) }

// ReadValue consumes one attribute value.
func ReadValue(s *wire.Scanner) (Value, error) { return readValue(s, 0) }

func readItem(s *wire.Scanner, depth int) (Item, error) {
	it := Item{}
	err := s.Object(func(name string) error {
		v, err := readValue(s, depth)
		if err != nil {
			return err
		}
		if len(name) >= 64<<10 {
			return errName
		}
		if len(it) == 0 {
			it = make(Item, 0, 8)
		}
		it = append(it, Field{name, v})
		return nil
	})
	if err == nil && !it.sorted() {
		err = errTwice
	}
	return it, err
}

func readValue(s *wire.Scanner, depth int) (Value, error) {
	if depth >= MaxNesting {
		return Value{}, errNesting
	}
	var v Value
	count := 0
	err := s.Object(func(name string) error {
		kind := KindOf(name)
		if name == "SS" || name == "NS" || name == "BS" {
			return errSet
		}
		if kind == Invalid || s.Null() {
			return s.Skip()
		}
		if count++; count > 1 {
			return errSeveral
		}
		var err error
		v, err = readKind(s, kind, depth)
		return err
	})
	if err == nil && count == 0 {
		err = errEmpty
	}
	return v, err
}

func readKind(s *wire.Scanner, kind Kind, depth int) (Value, error) {
	switch kind {
	case S:
		text, err := s.String()
		return String(text), err
	case N:
		text, err := s.String()
		if err != nil {
			return Value{}, err
		}
		return Number(text)
	case B:
		raw, err := readBinary(s)
		return Binary(raw), err
	case BOOL:
		b, err := s.Bool()
		return Bool(b), err
	case NULL:
		b, err := s.Bool()
		if err == nil && !b {
			err = errNull
		}
		return Null(), err
	}
	return readNested(s, kind, depth+1)
}

func readNested(s *wire.Scanner, kind Kind, depth int) (Value, error) {
	if kind == M {
		fields, err := readItem(s, depth)
		return Map(fields), err
	}
	list := []Value{}
	err := s.Array(func() error {
		v, err := readValue(s, depth)
		list = append(list, v)
		return err
	})
	return List(list), err
}

func readBinary(s *wire.Scanner) (string, error) {
	encoded, err := s.Bytes()
	if err != nil {
		return "", err
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(raw, encoded)
	if err != nil {
		return "", SerializationError("a binary value is not base64")
	}
	return string(raw[:n]), nil
}

// SerializationError is a value that is not of the protocol's shape.
type SerializationError string

func (e SerializationError) Error() string { return string(e) }

// AppendJSON appends the item as the protocol writes it.
func (it Item) AppendJSON(out []byte) []byte {
	out = append(out, '{')
	for i := range it {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, it[i].Name)
		out = append(out, ':')
		out = it[i].Value.AppendJSON(out)
	}
	return append(out, '}')
}

// AppendJSON appends the value as the protocol writes it.
func (v Value) AppendJSON(out []byte) []byte {
	out = append(out, '{', '"')
	out = append(out, v.kind.String()...)
	out = append(out, '"', ':')
	switch v.kind {
	case B:
		out = appendBinary(out, v.text)
	case BOOL:
		out = appendBool(out, v.truth)
	case NULL:
		out = append(out, "true"...)
	case M:
		out = v.Map().AppendJSON(out)
	case L:
		out = appendList(out, len(v.List()), func(out []byte, i int) []byte { return v.List()[i].AppendJSON(out) })
	default:
		out = wire.AppendString(out, v.text)
	}
	return append(out, '}')
}

func appendBinary(out []byte, raw string) []byte {
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, []byte(raw))
	return append(out, '"')
}

func appendBool(out []byte, b bool) []byte {
	if b {
		return append(out, "true"...)
	}
	return append(out, "false"...)
}

func appendList(out []byte, n int, element func([]byte, int) []byte) []byte {
	out = append(out, '[')
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = element(out, i)
	}
	return append(out, ']')
}
