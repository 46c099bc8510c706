// Package events defines what is on the stream: the envelope of an event, the
// registry of its types, and the codec.
//
// # Types of your own
//
// A payload is a struct with the methods of [Payload]. [Define] describes one by an
// example and what its partition key is; [NewRegistry] makes a registry of several.
// [New] makes an event of a payload, [Registry.Decode] a payload of an event, in the
// newest version of its type: [DefineOld] keeps an older one and lifts it.
// [Registry.Check] says whether an event keeps the promise of its type; publishers,
// relays and consumers are configured with it. See the examples, and the
// README beside this file.
//
// An event whose type a registry does not have is intact and passes through.
//
// # Caveats
//
//   - The order of two events is the order on the stream, that is their
//     [Position], and only for one partition key. Neither Time nor Sequence
//     says anything about two processes: both come from the clock of the machine
//     that made the event.
//   - Every event may be delivered more than once. ID is what repeats, Position
//     is what a guard compares.
//   - No secret, no e-mail address and no password hash belongs into an event:
//     an event is kept for ever, and every consumer can read it. What is about a person
//     can be declared personal and sealed, see package personal.
//
// # The Kinesis binding
//
// CloudEvents defines no protocol binding for Amazon Kinesis Data Streams; this
// is Banyan's.
//
//   - Content mode: structured only. The Data of a Kinesis record (or of one
//     sub-record of a KPL aggregate, see package aggregate) is one event in the
//     CloudEvents 1.0 JSON format, "application/cloudevents+json", UTF-8,
//     without a byte order mark. Kinesis records have no headers, so a binary
//     mode is impossible, and the content type is not transmitted: it is always this one.
//   - Batches: none. Many events in one record are an aggregate, never a JSON
//     array.
//   - Partition key: the PartitionKey of the (sub-)record equals the extension
//     "partitionkey" (CloudEvents Partitioning extension), 1 to 256 characters.
//   - Explicit hash key: belongs to the record that carries an aggregate and is
//     chosen by the publisher. It is not a property of an event.
//   - Data: a JSON value under "data", with "datacontenttype"
//     "application/json" (or absent, which means the same). "data_base64" is
//     refused.
//   - Required besides the attributes that CloudEvents requires: "time",
//     "partitionkey", "sequence" and "dataversion".
//   - Attribute order in the bytes is fixed (specversion, id, source, type,
//     dataversion, subject, time, partitionkey, sequence, traceparent,
//     correlationid, causationid, callchain, debuglog, datacontenttype, data), so that
//     one event has one encoding. A reader must not depend on it.
//   - Extensions that a reader does not know are skipped.
//
// # Extensions
//
//	partitionkey   String    CloudEvents Partitioning extension
//	sequence       String    CloudEvents Sequence extension, 20 digits
//	traceparent    String    CloudEvents Distributed Tracing extension (W3C)
//	dataversion    Integer   version of the payload, from 1
//	correlationid  String    what the whole chain of requests and events shares
//	causationid    String    id of the event or request that led to this one
//	callchain      Integer   how many functions handled what led to it; absent when none
//	debuglog       Boolean   whoever handles it logs in detail; absent when not
package events
