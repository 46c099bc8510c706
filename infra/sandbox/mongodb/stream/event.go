package stream

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// event makes the event of an oplog entry; nil if the stream does not show it.
func (s *Stream) event(e *store.Entry) (D, error) {
	if !s.sees(e) {
		return nil, nil
	}
	b := s.header(e, string(e.Kind))
	switch e.Kind {
	case store.Inserted, store.Replaced, store.Updated, store.Deleted:
		if err := s.describe(b, e); err != nil {
			return nil, err
		}
	case store.Renamed:
		b.add("ns", namespace(e.NS))
		b.add("to", namespace(e.To))
		if s.expanded {
			b.add("operationDescription", value.Document(renamed(e)))
		}
	case store.DatabaseDropped:
		b.add("ns", value.Document(build("db", value.String(e.NS.DB))))
	default:
		b.add("ns", namespace(e.NS))
	}
	return s.shape(b.end())
}

// sees says whether the entry is the stream's matter at all.
func (s *Stream) sees(e *store.Entry) bool {
	switch e.Kind {
	case store.Created, store.Modified, store.IndexesCreated, store.IndexesDropped:
		if !s.expanded {
			return false
		}
	}
	switch {
	case s.ns.DB == "":
		return e.NS.DB != "admin" && e.NS.DB != "config" && e.NS.DB != "local"
	case e.NS.DB != s.ns.DB && !(e.Kind == store.Renamed && e.To.DB == s.ns.DB):
		return false
	case s.ns.Coll == "":
		return true
	}
	return e.NS == s.ns || e.Kind == store.Renamed && e.To == s.ns
}

type builder struct {
	at  int32
	out []byte
}

func (b *builder) add(key string, v V) { b.out = bsoncore.AppendValueElement(b.out, key, v) }

func (b *builder) end() D {
	d, _ := bsoncore.AppendDocumentEnd(b.out, b.at)
	return d
}

func build(key string, v V) D {
	return bsoncore.BuildDocument(nil, bsoncore.AppendValueElement(nil, key, v))
}

func namespace(ns store.Namespace) V {
	return value.Document(bsoncore.BuildDocument(nil,
		bsoncore.AppendStringElement(nil, "db", ns.DB), bsoncore.AppendStringElement(nil, "coll", ns.Coll)))
}

func renamed(e *store.Entry) D {
	b := &builder{}
	b.at, b.out = bsoncore.AppendDocumentStart(nil)
	b.add("to", namespace(e.To))
	if target, dropped := e.DroppedTarget(); dropped {
		b.out = bsoncore.AppendBinaryElement(b.out, "dropTarget", 4, target[:])
	}
	return b.end()
}

// header is what all events begin with.
func (s *Stream) header(e *store.Entry, kind string) *builder {
	b := &builder{}
	t := token{Position: e.Position, kind: tokenEvent}
	if kind == "invalidate" {
		t.kind = tokenInvalidate
	}
	b.at, b.out = bsoncore.AppendDocumentStart(make([]byte, 0, 512+len(e.After)))
	b.add("_id", value.Document(t.document()))
	b.add("operationType", value.String(kind))
	b.out = bsoncore.AppendTimestampElement(b.out, "clusterTime", e.At.T, e.At.I)
	if s.expanded && e.UUID != ([16]byte{}) {
		b.out = bsoncore.AppendBinaryElement(b.out, "collectionUUID", 4, e.UUID[:])
	}
	b.out = bsoncore.AppendDateTimeElement(b.out, "wallTime", e.Wall.UnixMilli())
	if e.Session != nil {
		b.add("lsid", value.Document(e.Session))
		b.out = bsoncore.AppendInt64Element(b.out, "txnNumber", e.TxnNumber)
	}
	return b
}

// describe adds what an event of a document has.
func (s *Stream) describe(b *builder, e *store.Entry) error {
	full, err := s.fullDocument(e)
	if err != nil {
		return err
	}
	if !value.Missing(full) {
		b.add("fullDocument", full)
	}
	b.add("ns", namespace(e.NS))
	b.add("documentKey", value.Document(e.Key))
	if e.Changes != nil {
		b.add("updateDescription", value.Document(description(e.Changes)))
	}
	return s.beforeChange(b, e)
}

func (s *Stream) fullDocument(e *store.Entry) (V, error) {
	switch {
	case e.Kind == store.Inserted || e.Kind == store.Replaced:
		return value.Document(e.After), nil
	case e.Kind == store.Deleted || s.full == "default":
		return V{}, nil
	case s.full == "updateLookup":
		return s.lookup(e), nil
	case e.PrePost:
		return value.Document(e.After), nil
	case s.full == "required":
		return V{}, noImage("post-image", e)
	}
	return value.Null, nil
}

// lookup reads the document as it is now, in the collection the event names.
func (s *Stream) lookup(e *store.Entry) V {
	f, err := query.CompileFilter(e.Key)
	if err != nil {
		return value.Null
	}
	if i, ok := s.engine.Lookup(e.NS); !ok || i.UUID != e.UUID {
		return value.Null
	}
	docs, _, err := s.engine.Find(store.When{}, e.NS, store.Query{Filter: f, Limit: 1})
	if err != nil || len(docs) == 0 {
		return value.Null
	}
	return value.Document(docs[0])
}

func (s *Stream) beforeChange(b *builder, e *store.Entry) error {
	switch {
	case s.before == "off" || e.Kind == store.Inserted:
	case e.PrePost:
		b.add("fullDocumentBeforeChange", value.Document(e.Before))
	case s.before == "required":
		return noImage("pre-image", e)
	default:
		b.add("fullDocumentBeforeChange", value.Null)
	}
	return nil
}

func noImage(which string, e *store.Entry) error {
	return failure.New(failure.NoMatchingDocument, "Change stream was configured to require a %s for all update, delete and replace "+
		"events, but the %s was not found for event on %s", which, which, e.NS).
		WithLabels("NonResumableChangeStreamError")
}

func description(c *query.Description) D {
	at, removed := bsoncore.AppendArrayStart(nil)
	for i, path := range c.Removed {
		removed = bsoncore.AppendStringElement(removed, strconv.Itoa(i), path)
	}
	removed, _ = bsoncore.AppendArrayEnd(removed, at)
	start, truncated := bsoncore.AppendArrayStart(nil)
	truncated = append(truncated, c.Truncated...)
	truncated, _ = bsoncore.AppendArrayEnd(truncated, start)
	return bsoncore.BuildDocument(nil,
		bsoncore.AppendDocumentElement(nil, "updatedFields", c.Updated),
		bsoncore.AppendArrayElement(nil, "removedFields", removed),
		bsoncore.AppendArrayElement(nil, "truncatedArrays", truncated))
}
