// Package sources connects event source mappings to real streams and queues,
// through the official clients: Kinesis, DynamoDB Streams and SQS to read from, SQS
// to send to.
//
// Whose servers these are is the clients' affair: the sandbox's own, or any
// other that the endpoint variables name.
package sources
