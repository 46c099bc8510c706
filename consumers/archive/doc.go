// Package archive keeps every event of a stream for ever: in S3, or in local files.
//
// [Writer] is what Lambda invokes with batches, see consumers/cmd/archive. [Reader] gives the
// records back in the order of the stream, [Seal] and [Verify] are the manifests.
//
// # Format
//
// An archive has one stream. Its address, s3://bucket/prefix/<stream> for the function, is
// followed by
//
//	events/day=2026-11-30/shard=shardId-000000000003/<first>-<last>-<sha256>.ndjson.gz
//	manifests/day=2026-11-30/shard=shardId-000000000003/0001-<sha256>.json
//
// An object has the records of one batch that arrived on one day (UTC), gzipped. first and last
// are their sequence numbers in 64 digits, so that the order of names is that of the stream,
// and sha256 is that of the object's bytes. Each line is an event:
//
//	{"position":"<sequence, 64 digits>.<index in the aggregate, 6>","arrived":"2026-11-30T09:00:00.123Z",
//	 "key":"<partition key>","event":{...}}
//
// The value of event is the bytes that were published, not one of them touched. Where these
// are not a JSON object in one line, "data" has them in base64 instead: an event that no
// consumer can decode is archived as well. What an aggregate holds are events of their own; an
// aggregate of none is one event, as it is to consumers. Not kept are explicit hash keys.
//
// gzip and JSON were chosen since every tool reads them, in ten years and in Athena, and
// since they need no library in the function.
//
// # Once
//
// Names follow from the content: a batch that is delivered again is written again, to the
// same object. One that is cut another way overlaps; the reader gives each record once, and
// refuses two that differ. No condition is needed for a write, and no table.
//
// # Manifests
//
// The function cannot know what other batches there were, so what is complete is written down
// when a day is over: [Seal] lists its objects with counts, and first and last position.
// Without a manifest, verification finds what was altered or truncated, not what is missing.
//
// # Order
//
// Records come in the order of sequence numbers over all shards. For one partition key that is
// the order of the stream, see [events.Position].
//
// # Caveats
//
//   - Use one mapping for an archive, with a parallelization factor of 1 (the default): only
//     then each shard is archived from its begin to some record, without gaps behind it.
//   - Large batches make large objects: a batch size of 10,000 and a window of 60 to 300 s.
//     Small objects cost as many requests, both ways.
//   - Who can replace an object can replace its manifest. Against that the bucket has versions
//     and Object Lock.
//   - An archive keeps plaintext for as long as its bucket's lifecycle says.
//   - Firehose can deliver a stream to S3 as well, without a function. It writes records, not
//     events (aggregates are split only if told so), without sequence numbers, at least once
//     and with no name to find a duplicate by: neither Reader nor Verify can use it.
package archive
