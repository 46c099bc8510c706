// Package streams reads a stream for an event source mapping and hands its
// records to a function in batches.
//
// Caveats first: checkpoints are kept in memory, so a mapping starts over with
// the sandbox, and AWS documents what happens at a failure but not the length
// of the pauses between retries, so those are the sandbox's own.
//
// A Mapping runs one reader for each shard and, for each shard, as many lanes
// as the parallelization factor says; records go to lanes by the hash of their
// partition key, and each lane has at most one invocation under way, so order
// per key holds. A shard is read only when its parents have been finished.
//
// The rules are those of the Lambda developer guide, "How Lambda processes
// records from stream and queue-based event sources", "Using Lambda to process
// records from Amazon Kinesis Data Streams" and "Configuring partial batch
// response with Kinesis Data Streams and Lambda", and of the API reference,
// CreateEventSourceMapping.
package streams
