package ownertest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Refusal is an error in the place of a server's answer. The zero Refusal is none.
type Refusal struct {
	Code    int
	Message string
}

// OlderThan6 refuses collectionUUID as servers before MongoDB 6.0 do.
func OlderThan6(command bson.Raw) Refusal {
	if command.Lookup("collectionUUID").Type == 0 {
		return Refusal{}
	}
	return Refusal{Code: 40415, Message: "BSON field '" + nameOf(command) + ".collectionUUID' is an unknown field."}
}

// WithoutPrivilege refuses one command on one collection, as a server does to a user who
// lacks the privilege for it.
func WithoutPrivilege(command, collection string) func(bson.Raw) Refusal {
	return func(sent bson.Raw) Refusal {
		if name, _ := sent.Lookup(command).StringValueOK(); nameOf(sent) != command || name != collection {
			return Refusal{}
		}
		return Refusal{Code: 13, Message: "not authorized to execute command " + command}
	}
}

func nameOf(command bson.Raw) string {
	first, err := command.IndexErr(0)
	if err != nil {
		return ""
	}
	return first.Key()
}

// StartProxy starts a proxy before the MongoDB at an address, host and port, until the
// test ends, and returns its URI. It answers a command itself where refuse says so.
func StartProxy(t testing.TB, address string, refuse func(command bson.Raw) Refusal) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { proxy(ctx, client, address, refuse) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		running.Wait()
	})
	return fmt.Sprintf("mongodb://%s/?directConnection=true", l.Addr())
}

// proxy serves one connection until it ends, or ctx does.
func proxy(ctx context.Context, client net.Conn, address string, refuse func(bson.Raw) Refusal) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	end := func() { _ = client.Close(); _ = server.Close() }
	stop := context.AfterFunc(ctx, end)
	defer stop()
	defer end()
	var answers sync.WaitGroup
	answers.Go(func() {
		defer end()
		_, _ = io.Copy(client, server)
	})
	defer answers.Wait()
	defer end()
	for {
		message, err := readMessage(client)
		if err != nil {
			return
		}
		if command := commandOf(message); command != nil {
			if r := refuse(command); r.Code != 0 {
				message, err = answerOf(message, r)
				if err == nil {
					_, err = client.Write(message)
				}
				if err != nil {
					return
				}
				continue
			}
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// A message of MongoDB's wire protocol begins with its length, its id, the id that it
// answers and its opcode. Of opcode opMsg, flags follow, and a byte before each section.
const (
	headerBytes = 16
	opMsg       = 2013
	maxMessage  = 48_000_000
)

func readMessage(from io.Reader) ([]byte, error) {
	header := make([]byte, headerBytes)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerBytes || size > maxMessage {
		return nil, fmt.Errorf("message of %d bytes", size)
	}
	message := append(header, make([]byte, size-headerBytes)...)
	_, err := io.ReadFull(from, message[headerBytes:])
	return message, err
}

// commandOf returns the command in a message, or nil.
func commandOf(message []byte) bson.Raw {
	if len(message) < headerBytes+5+5 || binary.LittleEndian.Uint32(message[12:]) != opMsg || message[headerBytes+4] != 0 {
		return nil
	}
	body := message[headerBytes+5:]
	size := binary.LittleEndian.Uint32(body)
	if int(size) > len(body) {
		return nil
	}
	return bson.Raw(body[:size])
}

func answerOf(message []byte, r Refusal) ([]byte, error) {
	body, err := bson.Marshal(bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: r.Message}, {Key: "code", Value: int32(r.Code)}})
	if err != nil {
		return nil, err
	}
	out := make([]byte, headerBytes+5, headerBytes+5+len(body))
	binary.LittleEndian.PutUint32(out, uint32(cap(out)))
	copy(out[8:12], message[4:8]) // answers the request's id
	binary.LittleEndian.PutUint32(out[12:], opMsg)
	return append(out, body...), nil
}
