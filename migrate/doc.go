// Package migrate moves one entity from a MongoDB collection to a DynamoDB
// table behind the service that owns it, while traffic runs.
//
// Caveats first:
//   - The source must be a replica set or sharded cluster that keeps enough
//     oplog: a position that is no longer in it stops the migration
//     (ErrHistoryLost), since deletes may have been missed. Copy afresh then.
//   - The switch cannot be undone. Before it, every process can be killed at any
//     instant and started again.
//   - A process that is paused for longer than its lease between checking the lease
//     and a write is stopped by the write's condition on the item that it read. There
//     is one exception: two changes of one document inside one MongoDB transaction,
//     applied by two processes at once, one of which was paused for seconds. A
//     verification finds it.
//   - Only the migration and the service may write to a target table. What another
//     program writes after a verification is found by the next verification, but not
//     by the cut-over, unless the document changed in between. Verifications
//     therefore expire.
//
// The parts, in the order they run: a Plan names what moves; Preflight reads
// every document and reports those that do not fit; Run copies ranges of _id
// (backfill) and follows the change stream (changes); Verify compares both
// sides; Cutover fences the collection in MongoDB, drains, compares the tail and
// changes the owner; Status shows all of it. What they share is in the control
// table, so any number of processes can take part and be killed.
//
// Every item carries the source's cluster time of the content it holds, and
// every write is conditional on it: backfill puts only what is absent, changes
// replace only what is older, deletes leave tombstones. That, and not the order
// in which processes happen to run, is what keeps deleted documents deleted and
// newer content in place.
package migrate
