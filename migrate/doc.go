// Package migrate moves one entity from a MongoDB collection to a DynamoDB
// table behind the service that owns it, while traffic runs.
//
// Caveats first:
//   - The source must be a replica set or sharded cluster that keeps enough
//     oplog: a position that fell out of it stops the migration (ErrHistoryLost),
//     for deletes may have been missed; it is copied afresh then.
//   - From the switch on there is only forward. Before it, everything can be
//     killed at any instant and run again.
//   - A pause longer than a worker's lease between the last look at the lease
//     and a write is caught by the write's condition on the item it saw, with one
//     exception: two changes of one document inside one MongoDB transaction,
//     applied by two processes at once, of which one was paused for seconds.
//     Verification finds it.
//   - A target table is for Banyan alone: who writes to it past the service after
//     a verification is found by the next one, not by the cut-over, except in
//     documents that changed meanwhile. Verifications therefore expire.
//
// The parts, in the order they happen: a Plan names what moves; Preflight reads
// every document and says which will not fit; Run copies ranges of _id
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
