package wire_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/wire"
)

func marshal(t testing.TB, d any) []byte {
	t.Helper()
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func frame(flags uint32, sections ...[]byte) []byte {
	body := binary.LittleEndian.AppendUint32(nil, flags)
	for _, s := range sections {
		body = append(body, s...)
	}
	length := 16 + len(body)
	if flags&1 != 0 {
		length += 4
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(length))
	b = append(b, 7, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0)
	b = append(b, body...)
	if flags&1 != 0 {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	}
	return b
}

func body(d []byte) []byte { return append([]byte{0}, d...) }

func sequence(name string, docs ...[]byte) []byte {
	part := append([]byte(name), 0)
	for _, d := range docs {
		part = append(part, d...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte{1}, uint32(4+len(part))), part...)
}

func TestRead(t *testing.T) {
	command := marshal(t, bson.D{{Key: "insert", Value: "c"}, {Key: "$db", Value: "d"}})
	one, two := marshal(t, bson.D{{Key: "_id", Value: 1}}), marshal(t, bson.D{{Key: "_id", Value: 2}})
	for _, flags := range []uint32{0, 1, 2} {
		for _, in := range [][]byte{
			frame(flags, body(command), sequence("documents", one, two)),
			frame(flags, sequence("documents", one, two), body(command)),
		} {
			m, err := wire.Read(bytes.NewReader(in))
			if err != nil {
				t.Fatalf("flags %d: %v", flags, err)
			}
			if !bytes.Equal(m.Body, command) || len(m.Sections["documents"]) != 2 || m.ID != 7 || m.NoReply != (flags == 2) {
				t.Errorf("flags %d: %+v", flags, m)
			}
		}
	}
}

func TestWriteIsReadable(t *testing.T) {
	var out bytes.Buffer
	d := marshal(t, bson.D{{Key: "ok", Value: 1.0}})
	if err := wire.Write(&out, &wire.Message{ID: 3}, 9, d); err != nil {
		t.Fatal(err)
	}
	m, err := wire.Read(&out)
	if err != nil || m.ID != 9 || !bytes.Equal(m.Body, d) {
		t.Errorf("%+v, %v", m, err)
	}
}

// FuzzRead: no bytes make the reader panic, and what it gives out is valid.
func FuzzRead(f *testing.F) {
	command := marshal(f, bson.D{{Key: "find", Value: "c"}, {Key: "filter", Value: bson.D{{Key: "a", Value: bson.A{1, "x"}}}}})
	f.Add(frame(0, body(command)))
	f.Add(frame(1, body(command)))
	f.Add(frame(2, body(command), sequence("documents", command)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		documents := []bsoncore.Document{m.Body}
		for _, s := range m.Sections {
			documents = append(documents, s...)
		}
		for _, d := range documents {
			if err := value.Validate(d, value.MaxDepth); err != nil {
				t.Fatalf("gave out %x: %v", d, err)
			}
			if err := bsoncore.Document(d).Validate(); err != nil {
				t.Fatalf("the driver's own validation refuses %x: %v", d, err)
			}
		}
	})
}
