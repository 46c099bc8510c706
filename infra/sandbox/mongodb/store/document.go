package store

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// V and D are raw BSON values and documents.
type (
	V = value.V
	D = value.D
)

// builder builds a document.
type builder struct {
	at  int32
	out []byte
}

func newDocument() *builder {
	b := &builder{}
	b.at, b.out = bsoncore.AppendDocumentStart(nil)
	return b
}

func (b *builder) add(key string, v V) { b.out = bsoncore.AppendValueElement(b.out, key, v) }

func (b *builder) end() D {
	d, _ := bsoncore.AppendDocumentEnd(b.out, b.at)
	return d
}

// elements encodes two fields without a document around them.
func elements(k1 string, v1 V, k2 string, v2 V) []byte {
	return bsoncore.AppendValueElement(bsoncore.AppendValueElement(nil, k1, v1), k2, v2)
}

// idOf is the document key: {_id: ...}.
func idOf(d D) D {
	b := newDocument()
	b.add("_id", value.Field(d, "_id"))
	return b.end()
}
