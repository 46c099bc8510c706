// Package migrate moves one entity from a MongoDB collection to a DynamoDB
// table behind the service that owns it, while traffic runs.
//
// Caveats first:
//   - The source must be a replica set that keeps enough oplog: a position that is no
//     longer in it ends the copy ([changes.ErrHistoryLost]): [RunOptions].FromStart makes
//     another over it, and removes what was deleted unseen. Sharded clusters are refused by the preflight.
//   - The way back from DynamoDB ends with [Engine.Complete], and when nobody has followed it
//     for 24 hours. Before, [Engine.Rollback] makes MongoDB the owner again. Every process can
//     be killed at any instant and started again; [Engine.Abandon] ends the migration while
//     MongoDB is the owner.
//   - An instance of the service that was paused before a rollback, and wakes behind it, may
//     change items in DynamoDB that the migration has not written since, or create some.
//     That has no effect on MongoDB: it is kept, shown, and refuses the next cut-over.
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
// This package is the table of contents: one method of [Engine] a verb. The parts, in the
// order they run: a [plan.Plan] names what moves; package preflight looks at both stores and
// reads every document, before anything is written; [Engine.Encapsulate] looks who writes
// past the service (package gate) and gives the collection a name of its own (package
// fence); [Engine.Run] copies ranges of _id (package backfill) and follows the change stream
// (package changes); [Engine.Verify] compares both sides (package verify); [Engine.Cutover]
// moves the collection on, drains, compares the tail and changes the owner (package
// cutover), and [Engine.Rollback] does so the other way, on what package reverse has carried
// back; [Engine.Complete] removes the tombstones; [Engine.Status] shows all of it.
// Package binding refuses what is not what the migration was begun with. What the processes
// share is in the control table (package control), so any number of them can take part and
// be killed.
//
// Every item carries the epoch of the content it holds, and the source's cluster time
// where that is MongoDB's, and every write is conditional on both: backfill puts only what is
// absent, changes replace only what is of an earlier epoch or older, deletes leave tombstones. That, and not the order
// in which processes happen to run, is what keeps deleted documents deleted and
// newer content in place.
//
// # The fence, point by point
//
// It holds for replica sets of MongoDB 4.2 and later; from 6.0 on the server takes
// collectionUUID, which closes more. The versions are those of MongoDB's manual: no mongod
// was available. Package fence has the reasons, package names the names, migrate/RUNBOOK.md
// what an operator does.
//
//   - Names: a generation, persisted in the ownership record before the first command that
//     uses it. None is used twice, so a late command finds nothing by its name (names, fence).
//   - Vacated names: a view stands there, and is looked at again until the switch. Writes of
//     members carry collectionUUID from 6.0 on; before, a member believes that a write
//     matched nothing only where the name has the UUID (ownership/owned). What somebody else
//     creates there is a stray: kept, shown, and it refuses the switch.
//   - The window between rename and view: members are held, the gate saw no out-of-band
//     writer, and the rest is accepted by a flag. The gate reads the change stream and
//     $currentOp; the profiler is not read yet. setUserWriteBlockMode is not called (fence).
//   - The view: it leads to the present name by way of other views. One that was dropped or
//     points elsewhere refuses the switch, is told by [Engine.Status], and is put right by
//     [Engine.Run] within a second or so. Only giving the public name back drops one; that
//     is preceded by the proof that no earlier command can arrive (fence).
//   - Fail-over: all DDL has write concern majority. A barrier is written after the fence,
//     and names and UUID are read again behind it, under the same primary.
//   - Locks: a rename waits for open transactions, and everything behind it. They are looked
//     at immediately before; the command is bounded by the hold's budget, and one without an
//     answer counts as possibly carried out.
//   - Rights: preflight checks the user of the migration on the names ahead, and each member
//     tries the next name with its own before anything moves.
//   - Old binaries: Encapsulate refuses while an instance's row does not say that it follows
//     the collection's name.
//   - What survives a rename: indexes, validators, TTL. The plan must acknowledge TTL
//     indexes. Before the fence of a cut-over what they delete is followed like every
//     delete; behind it they are suspended, until an undoing, a rollback or an abandonment. A collMod
//     ends a verification.
//   - What a view cannot do for others: told by preflight, listed in migrate/RUNBOOK.md.
//   - Ours that follow the collection: the change stream publisher goes along, and
//     publishers/outbox cleans up under the collection's present name. The relay of
//     banyan-publish is a member if it is told the entity. A change of owner waits until
//     nothing waits in the outbox that the plan names.
//   - Sharded clusters, and shards of one, are refused by the preflight.
//   - That a view refuses writes has met no mongod. SecantusDB accepts them.
package migrate
