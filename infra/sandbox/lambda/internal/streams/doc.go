// Package streams reads a stream or a queue for an event source mapping and
// hands what is there to a function in batches.
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
// A queue has pollers instead (queue.go): each receives a batch, has it handled,
// and deletes what succeeded. What failed is left to the queue, whose visibility
// timeout brings it back, whose redrive policy gives up on it, and which hands out
// the messages of a FIFO queue's group in their order.
//
// The rules are those of the Lambda developer guide, "How Lambda processes
// records from stream and queue-based event sources", "Using Lambda to process
// records from Amazon Kinesis Data Streams" and "Configuring partial batch
// response with Kinesis Data Streams and Lambda", "Using Lambda with Amazon SQS"
// with the pages below it, and of the API reference,
// CreateEventSourceMapping.
package streams
