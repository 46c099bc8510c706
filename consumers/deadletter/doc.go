// Package deadletter keeps the events that consumers gave up on, in DynamoDB, and the
// notes by which they know when to.
//
// A dead letter is identified by its consumer and its position on the stream;
// it is written once, whole, and stays after it was redriven, marked. Nothing
// here deletes.
//
// # Table
//
// One table, keys pk and sk (texts):
//
//	pk                    sk        what
//	consumer#C            position  the dead letter: reason, times, ids, and its bytes if few
//	bytes#C#position      000000    a chunk of the bytes, where they are many
//	notes#C@S             position  what was in hand when a process began with a batch (consumers.Notes)
//	attempts#C@S          position  how often an event used up its share
//
// C is a consumer, S the ARN of its stream. Chunks are written before the dead letter itself, so one
// that can be seen is complete. An item holds at most 400 KB; a Kinesis record up to 10 MiB. Notes
// and attempts have the attribute "expires", for the table's time to live: without it they stay,
// with about 200 bytes each.
package deadletter
