// Package dynamostream reads the stream of a DynamoDB table: [Stream] lists its shards and
// reads pages of them, [Reader] reads one shard from a position on, with retries, and
// [Shards] knows which shards may be read, and when all that was written before a barrier
// has been read.
//
// Facts of DynamoDB Streams that a caller meets (developer guide, "Change data capture for
// DynamoDB Streams", and the API's reference):
//   - Changes of one item are in order within a shard, and over shards when each shard is
//     read to its end before its children. A shard is closed and followed by a child every
//     few hours, and is split when its partition is.
//   - A record is kept for 24 hours ([Retention]). A position before that is [ErrTrimmed].
//   - At most two processes may read one shard; more are throttled. [Reader] asks at most
//     five times a second on average, and waits where it is throttled.
//   - An iterator lives for 15 minutes; [Reader] renews it.
//   - An empty page does not mean that the shard holds nothing more, see [Page].
package dynamostream
