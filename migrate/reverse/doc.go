// Package reverse is the way back: it reads the stream of the target table and carries what
// the owning service writes there to the collection in MongoDB, so that a rollback finds it
// complete. [Reverse.Follow] carries, in any number of processes; [Reverse.Drain] waits
// until everything that was written before is in MongoDB; [Reverse.Health] says how far
// behind it is and for how long it can still be.
//
// How it keeps its promises:
//   - The position in each shard of the stream is a document of MongoDB, and moves in the
//     transaction that writes the documents. So each change is carried once, in order, and a
//     reader that was paused and wakes fails at the position. Leases only keep readers apart.
//   - A shard begins when its parent is done. Items are carried by whole images, so several
//     changes of one item within a page become one write.
//   - Where keys are made of fields that change, an item that its document's entry does not name
//     is passed over: the item that it does name has records of its own.
//   - While MongoDB owns the entity nothing is carried. Positions move, so that nothing is
//     missed from the switch on, and what somebody writes to the table nevertheless is kept
//     as a [LateWrite]: it refuses the next cut-over until an operator has looked at it, and
//     ends verifications. So does what the stream dropped before anybody had read it.
//   - What MongoDB refuses, or has no document for, is set aside as a misfit of the way back
//     and tried again; the shard goes on.
//
// Caveats:
//   - The stream keeps records for 24 hours. A way back that was not followed for so long
//     has ended ([ErrEnded]); before the switch it begins anew by itself.
//   - A reader that dies within a transaction keeps its shard from all others until that is
//     ended: who comes next ends its session (killSessions, which a user may send for its own
//     sessions), or MongoDB does after a minute (transactionLifetimeLimitSeconds).
//   - Hints of the codec that a service's write made wrong are passed over: such fields are
//     read by the type that the plan declares, or by their kind (codec.Codec.Read).
//   - A document that was deleted and made again under another key before the way back has
//     carried that keeps the fields that the plan drops: it looks like one that has moved.
//   - Unique indexes of the collection hold at every moment, those of the table's owner
//     across items only at the end of a transaction: where two items exchange a value, one
//     document is gone from MongoDB until its own change is carried.
//   - Before MongoDB 6.0 a transaction that meets the moment between a rename and the view
//     under the old name writes to a new collection of that name: the fence finds it as a
//     stray. No write of the owner is on its way then, since the rollback has drained.
package reverse
