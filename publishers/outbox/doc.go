// Package outbox keeps events in MongoDB in the same step as the change that
// they are about, and relays them to a publisher.
//
// There are two forms. In the first, a document carries its events in an array,
// "_outbox": [Push] adds them to an update and [Embed] to an insert, so one atomic
// write of one document is enough:
//
//	update, err := outbox.Push(bson.D{{"$set", bson.D{{"name", "Ada"}}}}, renamed)
//	...
//	_, err = users.UpdateByID(ctx, id, update)
//
// In the second, events are documents of a collection of their own, which [Insert]
// adds in the transaction that makes the change:
//
//	err := outbox.InTransaction(ctx, client, func(ctx context.Context) error {
//		if _, err := users.DeleteOne(ctx, bson.D{{"_id", id}}); err != nil {
//			return err
//		}
//		return outbox.Insert(ctx, db.Collection("outbox"), left)
//	})
//
// Programs in other languages write the same with plain fields, see below. A [Relay]
// (banyan-publish relay) follows the change stream, publishes the events in its order,
// and removes from the database what is published.
//
// # Caveats first
//
//   - Events are published at least once. The id of an event is made where it is
//     written and never changes, so consumers that know an event again by its id
//     or its sequence have each effect once.
//   - A document that is deleted has its waiting events deleted with it. The change
//     stream still has them, as long as the oplog reaches back to the write; but the
//     sweep, which compensates for a lost history, finds only what exists. To publish
//     a deletion, write the event in the collection form in the
//     transaction that deletes, or mark the document as deleted with [Push] and
//     delete it later. The same goes for replacements: [Replace] makes an update
//     of one, which leaves waiting events alone.
//   - The ids of the events that wait in one document must differ.
//   - A process that is paused for longer than its lease, right between the last
//     look at the lease and the request to the publisher, may repeat old events
//     behind newer ones when it wakes. Nothing in Kinesis could refuse them.
//   - The promise about first occurrences below needs a publisher that does not
//     give up on an event and then publish its successor. That of Kinesis is one with
//     kinesis.Config.RetryRefused, which banyan-publish relay sets.
//   - The sweep keeps the order of the events of each document. In which order
//     different documents were written it reads from the sequence of the events,
//     for 10,000 at a time: it is right for those of one process.
//   - It needs MongoDB 5.0 or newer (snapshot reads), as a replica set or a sharded
//     cluster, and the right to read, update and index the collections. A validator
//     must allow the fields "_outbox" and "_outbox_cleared". Updates that do not
//     touch the array are sent to the relay too, without documents.
//
// # What is promised
//
// Every event whose write was acknowledged by a majority is published, whichever
// process dies when, with the exception of the first caveats.
//
// For one partition key, the first occurrences of events are in the order of the
// change stream, which is that of the commits. Where an event occurs again, every
// event behind it that is on the stream already occurs again behind that: after a
// restart all is read again from the last stored position, never picked. Writes of
// one document are in the order of the writes. Writes of different documents, also
// on different shards of a cluster, are ordered by cluster time: one that began
// after another was acknowledged, in a causally consistent session or by a client
// that saw its cluster time, comes later; writes at the same time come in any
// order, the same for all readers. A transaction's events come in the order in which
// it wrote them, at the time of its commit. On a sharded cluster the stream waits
// for the slowest shard, up to ten seconds for one without writes.
//
// A position is stored when all events before it are published and removed. An
// event that waits in the database and that the stream has passed (it was
// written before there was a relay, or the position fell off the oplog) is found
// by the sweep: see [Config].SweepEvery. So a lost history is no reason to stop. The
// order holds then too: of one key, events are removed in the order in which they were
// published, so what still waits are the last ones, and they come again in theirs.
//
// Nothing is dropped. An entry that cannot be an event, or that the publisher
// refuses for good, is moved to a collection of refused ones, whole, with where it
// was found and why it was refused; the next ones are published. [Redrive] (banyan-publish
// relay redrive) puts it back.
//
// # While migrate moves a collection
//
// migrate gives a collection that it moves names of its own, <name>__banyan_g<n>, and puts
// a view in its place. The relay follows it there without being told, by the renames in
// the change stream and by listCollections, a right that it needs then. A clean-up that
// finds nothing looks whether the collection has left the name, and is repeated where it
// is. A cut-over waits behind its fence until no event waits any more, where the entity's plan
// names the array as its outbox. A relay that registers as a member of the entity, as
// banyan-publish relay --entities does, is known to the migration, which takes it for a
// stranger otherwise; see [Config].Admit.
//
// # The stored form
//
// An entry that this package writes has four fields. As a document of an outbox
// collection, it also has the id as its _id.
//
//	{
//	  v:     1,
//	  id:    "0158864a-9a00-7000-8000-000000000001",
//	  key:   "59b99db4cfa9a34dcd7885b6",   // the partition key, for people
//	  event: BinData(0, "..."),            // the encoded event, see events.Encode
//	}
//
// Other versions may add fields; what these mean stays. Other languages may write
// the event as a text:
//
//	db.users.updateOne({_id: id}, {
//	  $set:  {name: "Ada"},
//	  $push: {_outbox: {id: event.id, event: JSON.stringify(event)}},
//	})
//
// or, without "event", the attributes of a CloudEvent as fields:
//
//	db.users.updateOne({_id: id}, {
//	  $set:  {name: "Ada", _correlation: {correlationid: request.id}},
//	  $push: {_outbox: {
//	    id: new ObjectId(), type: "user.joined", source: "/monolith",
//	    partitionkey: id.toHexString(), data: {userId: id, name: "Ada"},
//	  }},
//	})
//
// Of those, id and type are required, and what is left out gets a default, the same
// each time the stream shows the write:
//
//	id            text, ObjectId, UUID or whole number; in an outbox collection _id
//	              will do
//	source        Config.Source
//	dataversion   1
//	time          a date or an RFC 3339 text; else the time in the id (ObjectId,
//	              UUIDv7), else that of the write
//	partitionkey  the _id of the document; required in an outbox collection
//	sequence      made of the cluster time of the write
//	data          null; any value, which becomes JSON: dates in RFC 3339, ObjectIds in
//	              hex, UUIDs in their usual form, other bytes in base64, Decimal128
//	              as text. Integers beyond ±2^53 and numbers that JSON lacks (NaN)
//	              are refused: store them as texts. So is what does not fit a type
//	              that Config.Check knows
//	traceparent, correlationid, causationid
//	              where all three are left out, those of the document's
//	              sub-document "_correlation" right after the write; where that is
//	              too long ago to be read, none
//
// # Cleaning up
//
// When nothing else waits in a document, the array is removed, and the document is
// what it was. Else the published events are pulled out of it, and the field
// "_outbox_cleared" gets a new value: the change stream shows the rest of the array
// as if it was new, and that value shows the relay that it is not.
package outbox
