package mongodb_test

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

func message(op uint32, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0)
	return append(binary.LittleEndian.AppendUint32(b, op), body...)
}

// What is no proper message ends its connection, and nobody else's.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := start(t, mongodb.Config{})
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	deep := bson.D{}
	for range 300 {
		deep = bson.D{{Key: "a", Value: deep}}
	}
	nested, err := bson.Marshal(append(bson.D{{Key: "ping", Value: 1}}, deep...))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"noise":             noise,
		"http":              []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"negative length":   {0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0},
		"oversized":         {0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0},
		"tiny":              {8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0},
		"unknown operation": message(9999, nil),
		"no section":        message(2013, []byte{0, 0, 0, 0}),
		"unknown section":   message(2013, []byte{0, 0, 0, 0, 7}),
		"unknown flag":      message(2013, []byte{4, 0, 0, 0, 0, 5, 0, 0, 0, 0}),
		"bad document":      message(2013, []byte{0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 'a', 0, 9, 0}),
		"long sequence":     message(2013, []byte{0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0x7f, 'a', 0}),
		"deep nesting":      message(2013, append([]byte{0, 0, 0, 0, 0}, nested...)),
		"wrong checksum":    message(2013, []byte{1, 0, 0, 0, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4}),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			c.Write(b)
			if _, err := io.ReadAll(c); err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Error("the connection was left open")
				}
			}
		})
	}
	if err := connect(t, s.URI()).Ping(t.Context(), nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// An announced message that does not come takes no memory and does not keep the
// server from closing.
func TestCloseDuringMessage(t *testing.T) {
	t.Parallel()
	s := start(t, mongodb.Config{})
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte{0, 0x6c, 0xdc, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestHelloByOldQuery(t *testing.T) {
	t.Parallel()
	s := start(t, mongodb.Config{})
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	hello, err := bson.Marshal(bson.D{{Key: "isMaster", Value: 1}, {Key: "helloOk", Value: true}})
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte("\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"), hello...)
	c.Write(message(2004, body))
	head := make([]byte, 36)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	d := make(bson.Raw, binary.LittleEndian.Uint32(head)-36)
	if _, err := io.ReadFull(c, d); err != nil {
		t.Fatal(err)
	}
	if name, _ := d.Lookup("setName").StringValueOK(); name != "rs0" || d.Lookup("ok").Double() != 1 {
		t.Errorf("hello answers %s", d)
	}
}
