package preflight_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/wire"
)

// answers are what a server that the sandbox cannot imitate answers to some commands, as
// MongoDB's manual shows them: by the command's name, or by name and collection. A nil
// document leaves the command to the sandbox.
type answers map[string]func(command bson.Raw) bson.D

// always gives one answer, with ok: 1 unless it says otherwise.
func always(reply bson.D) func(bson.Raw) bson.D {
	return func(bson.Raw) bson.D { return reply }
}

// refusal is an error of the server.
func refusal(code int32, text string) func(bson.Raw) bson.D {
	return always(bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "errmsg", Value: text}})
}

// cursorOf is a reply with one batch.
func cursorOf(docs ...any) func(bson.Raw) bson.D {
	return always(bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "legacy.users"},
		{Key: "firstBatch", Value: append(bson.A{}, docs...)}}}})
}

// dialer makes connections to the sandbox on which some commands are answered otherwise.
// The driver, its protocol and everything else are the real ones.
type dialer struct {
	t       *testing.T
	answers answers
	wg      sync.WaitGroup
}

// DialContext implements the driver's ContextDialer.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	server, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	d.wg.Go(func() {
		defer server.Close()
		defer ours.Close()
		for d.exchange(ours, server) == nil {
		}
	})
	return theirs, nil
}

// exchange passes one request and its answer.
func (d *dialer) exchange(client, server net.Conn) error {
	request, err := readMessage(client)
	if err != nil {
		return err
	}
	m, err := wire.Read(bytes.NewReader(request))
	if err != nil {
		return err
	}
	if reply := d.reply(bson.Raw(m.Body)); reply != nil {
		raw, err := bson.Marshal(reply)
		if err != nil {
			d.t.Error(err)
			return err
		}
		return wire.Write(client, m, m.ID, bsoncore.Document(raw))
	}
	if _, err := server.Write(request); err != nil || m.NoReply {
		return err
	}
	answer, err := readMessage(server)
	if err != nil {
		return err
	}
	_, err = client.Write(answer)
	return err
}

func (d *dialer) reply(command bson.Raw) bson.D {
	first, err := command.IndexErr(0)
	if err != nil {
		return nil
	}
	target, _ := first.Value().StringValueOK()
	for _, name := range []string{first.Key() + " " + target, first.Key()} {
		if answer := d.answers[name]; answer != nil {
			if reply := answer(command); reply != nil {
				for _, e := range reply {
					if e.Key == "ok" {
						return reply
					}
				}
				return append(reply, bson.E{Key: "ok", Value: 1})
			}
		}
	}
	return nil
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.LittleEndian.Uint32(length[:]))
	copy(message, length[:])
	_, err := io.ReadFull(r, message[4:])
	return message, err
}
