// Package sqs is a stand-in for Amazon SQS: an http.Handler that speaks the
// service's JSON protocol (AWS JSON 1.0, target AmazonSQS).
//
// Caveats first.
//   - Message move tasks, permissions, tags, system attributes of messages,
//     encryption, and of FIFO queues high throughput are not implemented, and said so
//     when asked for.
//   - Everything is in memory. A queue refuses messages beyond
//     Config.MaxQueueBytes with OverLimit, rather than lose any.
//   - The numbers that the service calls approximate are exact here. Messages
//     come in order of when they became visible, which nobody may rely on.
//   - Queues are not deleted, purged or changed.
//
// A FIFO queue hands out the messages of a group in the order of their sends, and
// none while one of the group is hidden; a message that was sent in the last five
// minutes is accepted and not delivered again.
//
// What holds, as in the real service: a received message is invisible for its
// timeout and comes again unless deleted; only the newest receipt handle
// deletes; after maxReceiveCount receives the message moves to its dead letter
// queue; long polls wait up to 20 seconds and end when the client goes away.
//
// Limits: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html.
package sqs
