// Package deadletter keeps the events that consumers gave up on, in DynamoDB, and the
// notes by which they know when to.
//
// A dead letter is identified by its consumer, its stream and its position there; it is
// written once, whole, and stays after it was redriven, marked, until somebody discards
// it ([Store.Delete]).
//
// # Table
//
// One table, keys pk and sk (texts):
//
//	pk                     sk          what
//	consumer#C             position@S  the dead letter: reason, times, ids, and its bytes if few
//	bytes#C#position@S     000000      a chunk of the bytes, where they are many
//	notes#C@S              position    what was in hand when a process began with a batch (consumers.Notes)
//	attempts#C@S           position    how often an event used up its share
//
// C is a consumer, S the ARN of its stream. Letters without @S came from no stream, or were
// written before letters had one; functions of before that cannot read those that have. Chunks are
// written before the dead letter itself, and deleted before it, so that nothing stays that is not
// listed. An item holds at most 400 KB; a Kinesis record up to 10 MiB. Notes
// and attempts have the attribute "expires", for the table's time to live: without it they stay,
// with about 200 bytes each.
package deadletter
