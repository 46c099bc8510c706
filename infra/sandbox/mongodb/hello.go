package mongodb

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/wire"
)

const (
	setName = "rs0"
	version = "7.0.0"
	// maxWireVersion is that of MongoDB 7.0.
	maxWireVersion = 21
)

// hello tells a driver whom it talks to: the primary of a replica set of one.
// There is no topologyVersion, so drivers poll instead of holding a request
// open.
func hello(r *request, out *reply) error {
	if client, ok := r.field("client").DocumentOK(); ok {
		app, _ := value.Lookup(client, value.Path{"application", "name"}).StringValueOK()
		r.mu.Lock()
		r.app, r.driver = app, slices.Clone(client)
		r.mu.Unlock()
	}
	if r.name != "hello" {
		out.bool("ismaster", true)
	}
	out.bool("helloOk", true)
	out.bool("isWritablePrimary", true)
	out.bool("secondary", false)
	addr := value.String(r.server.Addr())
	out.string("setName", setName)
	out.int32("setVersion", 1)
	out.add("hosts", value.Array(addr))
	passives := make([]V, len(r.server.cfg.Passives))
	for i, other := range r.server.cfg.Passives {
		passives[i] = value.String(other)
	}
	out.add("passives", value.Array(passives...))
	out.add("primary", addr)
	out.add("me", addr)
	out.out = bsoncore.AppendObjectIDElement(out.out, "electionId", [12]byte{0x7f, 0xff, 0xff, 0xff, 11: 1})
	r.lastWrite(out)
	out.int32("maxBsonObjectSize", value.MaxDocumentSize)
	out.int32("maxMessageSizeBytes", wire.MaxMessage)
	out.int32("maxWriteBatchSize", maxWrites)
	out.out = bsoncore.AppendDateTimeElement(out.out, "localTime", r.engine.Wall().UnixMilli())
	out.int32("logicalSessionTimeoutMinutes", sessionMinutes)
	out.int32("connectionId", int(r.id))
	out.int32("minWireVersion", 0)
	out.int32("maxWireVersion", maxWireVersion)
	out.bool("readOnly", false)
	return nil
}

func (r *request) lastWrite(out *reply) {
	now := r.engine.Now()
	op := bsoncore.BuildDocument(nil, bsoncore.AppendTimestampElement(nil, "ts", now.T, now.I), bsoncore.AppendInt64Element(nil, "t", 1))
	date := int64(now.T) * 1000
	out.add("lastWrite", value.Document(bsoncore.BuildDocument(nil,
		bsoncore.AppendDocumentElement(nil, "opTime", op),
		bsoncore.AppendDateTimeElement(nil, "lastWriteDate", date),
		bsoncore.AppendDocumentElement(nil, "majorityOpTime", op),
		bsoncore.AppendDateTimeElement(nil, "majorityWriteDate", date))))
}

func buildInfo(_ *request, out *reply) error {
	out.string("version", version)
	out.add("versionArray", value.Array(value.Int32(7), value.Int32(0), value.Int32(0), value.Int32(0)))
	return nil
}

func connectionStatus(_ *request, out *reply) error {
	out.add("authInfo", value.Document(bsoncore.BuildDocument(nil,
		bsoncore.AppendValueElement(nil, "authenticatedUsers", value.Array()),
		bsoncore.AppendValueElement(nil, "authenticatedUserRoles", value.Array()))))
	return nil
}
