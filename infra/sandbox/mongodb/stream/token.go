// Package stream makes change streams of the store's oplog: resume tokens,
// events, and what each kind of stream sees.
//
// Caveats: tokens are this sandbox's own (a real server's are refused as
// InvalidResumeToken), though like a server's they are hex strings in _data
// that compare in the order of events. fullDocument updateLookup reads the
// document as of now, as a server does; pre- and post-images are as good as the
// oplog reaches back.
package stream

import (
	"encoding/binary"
	"encoding/hex"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// V and D are raw BSON values and documents.
type (
	V = value.V
	D = value.D
)

// token says how far a stream has read. Marks (no event) sort before the events
// of a later position and after those of their own.
type token struct {
	store.Position
	kind     byte // what it stands for, also the order at one position
	fragment byte // of an event that was split, from 1
}

const (
	tokenEvent      = 0x10
	tokenInvalidate = 0x20
	tokenMark       = 0x30
)

const tokenPrefix = 0x82

func (t token) document() D {
	b := []byte{tokenPrefix}
	b = binary.BigEndian.AppendUint32(b, t.At.T)
	b = binary.BigEndian.AppendUint32(b, t.At.I)
	b = binary.BigEndian.AppendUint32(b, t.Index)
	b = append(b, t.kind, t.fragment, 0x04)
	return bsoncore.BuildDocument(nil, bsoncore.AppendStringElement(nil, "_data", upper(hex.EncodeToString(b))))
}

func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func parseToken(v V) (token, error) {
	d, ok := v.DocumentOK()
	s, isString := value.Field(d, "_data").StringValueOK()
	if !ok || !isString {
		return token{}, failure.New(failure.TypeMismatch, "a resume token must be a document with a string in _data")
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 || b[0] != tokenPrefix {
		return token{}, failure.New(failure.InvalidResumeToken, "the resume token %.64q is none of this server's", s)
	}
	t := token{kind: b[13], fragment: b[14]}
	t.At.T, t.At.I = binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])
	t.Index = binary.BigEndian.Uint32(b[9:])
	if t.kind != tokenEvent && t.kind != tokenInvalidate && t.kind != tokenMark {
		return token{}, failure.New(failure.InvalidResumeToken, "the resume token %.64q is none of this server's", s)
	}
	return t, nil
}
