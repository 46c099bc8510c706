// Package counting is a Kinesis that keeps nothing and counts: the other side of
// a benchmark.
//
// # Caveats
//
//   - Nothing can be read back, no signature is checked, and the only calls are
//     ListShards (JSON) and PutRecords (JSON and CBOR).
//   - A stream that checks (see [Stream.Check]) opens every record. That is for
//     finding out whether a publisher does what it says, not for measuring it.
//
// What a publisher depends on is as the service has it: one answer for each
// record, the shard by the MD5 of the partition key or by the explicit hash key,
// sequence numbers that grow, and refusals of single records while a shard is
// throttled.
package counting
