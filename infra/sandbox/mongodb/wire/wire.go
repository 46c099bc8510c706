// Package wire reads and writes MongoDB's wire protocol: OP_MSG, and OP_QUERY
// with OP_REPLY for a driver's first hello.
//
// Caveats: compression is never negotiated, so OP_COMPRESSED is refused; other
// old operations are refused too. Reading trusts nothing: a length is believed
// only as far as bytes arrive, and every document is validated before it is
// given out.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Op codes.
const (
	OpReply = 1
	OpQuery = 2004
	OpMsg   = 2013
)

// MaxMessage is the longest message, as MongoDB's maxMessageSizeBytes.
const MaxMessage = 48_000_000

// Flags of OP_MSG.
const (
	checksumPresent = 1 << 0
	moreToCome      = 1 << 1
	requiredFlags   = 0xffff
)

// ErrMalformed is wrapped by every error that is the peer's fault; the
// connection must be closed after it.
var ErrMalformed = errors.New("malformed MongoDB message")

// Message is a request.
type Message struct {
	ID       int32
	Legacy   bool // came as OP_QUERY: answer with OP_REPLY
	NoReply  bool // moreToCome: the peer wants no answer
	Body     bsoncore.Document
	Sections map[string][]bsoncore.Document // document sequences by name
}

// Read reads one message. The documents point into memory that belongs to the
// message.
func Read(r io.Reader) (*Message, error) {
	var header [16]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := int64(int32(binary.LittleEndian.Uint32(header[:])))
	if length < 16 || length > MaxMessage {
		return nil, fmt.Errorf("%w: length %d is not within 16 and %d", ErrMalformed, length, MaxMessage)
	}
	body, err := readBody(r, length-16)
	if err != nil {
		return nil, err
	}
	m := &Message{ID: int32(binary.LittleEndian.Uint32(header[4:]))}
	switch op := int32(binary.LittleEndian.Uint32(header[12:])); op {
	case OpMsg:
		return m, m.parse(header[:], body)
	case OpQuery:
		return m, m.parseQuery(body)
	default:
		return nil, fmt.Errorf("%w: op code %d is not spoken here", ErrMalformed, op)
	}
}

// readBody grows with what arrives, so that a lie about the length costs the
// liar and not this process.
func readBody(r io.Reader, n int64) ([]byte, error) {
	if n <= 1<<16 {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var buf bytes.Buffer
	buf.Grow(1 << 16)
	if got, err := io.CopyN(&buf, r, n); err != nil {
		return nil, fmt.Errorf("%w: %d of %d bytes: %w", ErrMalformed, got, n, err)
	}
	return buf.Bytes(), nil
}

func (m *Message) parse(header, b []byte) error {
	if len(b) < 4 {
		return fmt.Errorf("%w: no flags", ErrMalformed)
	}
	flags := binary.LittleEndian.Uint32(b)
	if unknown := flags & requiredFlags &^ (checksumPresent | moreToCome); unknown != 0 {
		return fmt.Errorf("%w: unknown required flags %#x", ErrMalformed, unknown)
	}
	if flags&checksumPresent != 0 {
		if len(b) < 8 {
			return fmt.Errorf("%w: no room for the checksum", ErrMalformed)
		}
		if err := checkSum(header, b); err != nil {
			return err
		}
		b = b[:len(b)-4]
	}
	m.NoReply = flags&moreToCome != 0
	for b = b[4:]; len(b) > 0; {
		var err error
		if b, err = m.section(b); err != nil {
			return err
		}
	}
	if m.Body == nil {
		return fmt.Errorf("%w: no body section", ErrMalformed)
	}
	return nil
}

func checkSum(header, b []byte) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(header, table), table, b[:len(b)-4])
	if sum != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return fmt.Errorf("%w: wrong checksum", ErrMalformed)
	}
	return nil
}

func (m *Message) section(b []byte) ([]byte, error) {
	switch kind := b[0]; kind {
	case 0:
		if m.Body != nil {
			return nil, fmt.Errorf("%w: two body sections", ErrMalformed)
		}
		d, rest, err := document(b[1:])
		m.Body = d
		return rest, err
	case 1:
		return m.sequence(b[1:])
	default:
		return nil, fmt.Errorf("%w: section of kind %d", ErrMalformed, kind)
	}
}

func (m *Message) sequence(b []byte) ([]byte, error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: short document sequence", ErrMalformed)
	}
	n := int64(int32(binary.LittleEndian.Uint32(b)))
	if n < 5 || n > int64(len(b)) {
		return nil, fmt.Errorf("%w: document sequence of length %d", ErrMalformed, n)
	}
	part, rest := b[4:n], b[n:]
	end := bytes.IndexByte(part, 0)
	if end < 0 {
		return nil, fmt.Errorf("%w: document sequence without a name", ErrMalformed)
	}
	name := string(part[:end])
	if _, twice := m.Sections[name]; twice {
		return nil, fmt.Errorf("%w: two document sequences %.64q", ErrMalformed, name)
	}
	list := []bsoncore.Document{}
	for part = part[end+1:]; len(part) > 0; {
		d, more, err := document(part)
		if err != nil {
			return nil, err
		}
		list, part = append(list, d), more
	}
	if m.Sections == nil {
		m.Sections = map[string][]bsoncore.Document{}
	}
	m.Sections[name] = list
	return rest, nil
}

func document(b []byte) (bsoncore.Document, []byte, error) {
	if len(b) < 5 {
		return nil, nil, fmt.Errorf("%w: short document", ErrMalformed)
	}
	n := int64(int32(binary.LittleEndian.Uint32(b)))
	if n < 5 || n > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: document of length %d", ErrMalformed, n)
	}
	if err := value.Validate(b[:n], value.MaxDepth); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return b[:n:n], b[n:], nil
}

// parseQuery reads OP_QUERY: flags, collection name, skip, return count, query.
func (m *Message) parseQuery(b []byte) error {
	m.Legacy = true
	if len(b) < 4 {
		return fmt.Errorf("%w: short OP_QUERY", ErrMalformed)
	}
	end := bytes.IndexByte(b[4:], 0)
	if end < 0 || len(b) < 4+end+1+8 {
		return fmt.Errorf("%w: short OP_QUERY", ErrMalformed)
	}
	d, _, err := document(b[4+end+1+8:])
	if err != nil {
		return err
	}
	m.Body = d
	if wrapped := value.Field(d, "$query"); wrapped.Type == bsoncore.TypeEmbeddedDocument {
		m.Body = wrapped.Data
	}
	return nil
}

// Write answers a message with one document.
func Write(w io.Writer, to *Message, id int32, d bsoncore.Document) error {
	var b []byte
	if to.Legacy {
		b = header(len(d)+36, id, to.ID, OpReply)
		b = binary.LittleEndian.AppendUint32(b, 8) // AwaitCapable
		b = append(b, make([]byte, 12)...)         // cursor id, starting from
		b = binary.LittleEndian.AppendUint32(b, 1)
	} else {
		b = header(len(d)+21, id, to.ID, OpMsg)
		b = append(b, 0, 0, 0, 0, 0)
	}
	_, err := w.Write(append(b, d...))
	return err
}

func header(length int, id, to, op int32) []byte {
	b := make([]byte, 0, length)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint32(b, uint32(id))
	b = binary.LittleEndian.AppendUint32(b, uint32(to))
	return binary.LittleEndian.AppendUint32(b, uint32(op))
}
