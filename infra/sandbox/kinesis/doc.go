// Package kinesis is a stand-in for Amazon Kinesis Data Streams: an
// http.Handler that speaks the service's wire protocol (AWS JSON 1.1, target
// Kinesis_20131202), for the official clients of any language that send JSON.
//
// Caveats first.
//   - Everything is in memory and gone with the process. A stream keeps at most
//     Config.MaxStreamBytes; beyond that its oldest records are trimmed, as if
//     their retention had passed, and counted in [Stats].
//   - Not implemented, and said so when called: enhanced fan-out (consumers,
//     SubscribeToShard), encryption, resource policies, channels, tags,
//     changes of retention, records over 1 MiB, warm throughput, the record
//     distribution strategy AUTO.
//     Enhanced monitoring is noted and makes no metrics.
//   - On-demand streams have four shards and stay with them unless resharded.
//   - There are no permissions; signatures are not looked at.
//
// What holds, as in the real service: a partition key's MD5 (or the explicit
// hash key) chooses the open shard; sequence numbers have 56 digits and grow
// within a stream, so for one key they grow across a reshard too; each record
// of a PutRecords call succeeds or fails for itself, so a throttled one can be
// overtaken by its successors; a reshard closes the parents and opens the
// children after a short UPDATING during which the parents go on serving.
//
// Limits: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html.
package kinesis
