// Package ownership says which store accepts an entity's writes, since when,
// and makes every instance of a service agree on it.
//
// Caveats first:
//
//   - A lease is not a fence. A process can be stopped by the operating system
//     between being admitted and its write reaching the store, wake after the
//     switch, and still send that write. The store itself must refuse it (in
//     MongoDB a view in place of the collection; in DynamoDB the epoch on the
//     item). This package makes that rare and harmless: the refused write comes
//     back as ErrFenced and is run again with the new owner. It does not make it
//     impossible. What a store has to refuse, and what else an owner must do, is the
//     contract (CONTRACT.md), which package ownertest checks.
//   - The service depends on the control table. An instance that cannot reach it
//     for longer than its lease (2 s) serves neither reads nor writes.
//   - A function given to Read or Write may run more than once. A run that returned
//     an error or was repeated must have no effect besides what is in the store.
//   - Hold is a courtesy, which has an end only while the collection keeps its name:
//     HoldUntil is then compared with each member's wall clock, and a wrong clock lets
//     writes run into the fence, where they wait. While a Move may have been sent,
//     writes wait for the next change of the record, and fail with ErrHeld at their
//     own deadlines if its coordinator has died; another process has to undo.
//
// # The protocol
//
// A Record per entity lives in the control table. Every change of it adds one to
// its Revision and is conditional on the revision it was made from. A Member (one
// instance of the owning service) keeps a row with a beat it renews and the
// highest revision it has acknowledged.
//
// A member admits an operation only while it has a lease: both its last renewal
// and its last read of the record were sent less than MemberConfig.Lease ago, and
// that read was sent after its row was there. It acknowledges revision R when no
// write admitted under an older revision, and no read admitted under an older
// epoch, is still running.
//
// A coordinator changes the record and calls Table.AwaitAck, which returns when
// every row has acknowledged the revision, or has not changed for its lease since
// it was first seen; such a row is removed. Why that suffices: let the record be
// changed at w and AwaitAck return at a. A member that admits at t > a by a record
// read before w sent that read before w, so t < w + lease. Were its row listed,
// AwaitAck would have waited until w + lease, or for its acknowledgement. Were it
// not listed, it was removed before (then its renewals have failed since, and its
// lease ended before the removal) or was made later (then the record was read
// after w). Wall clocks play no part; only rates must agree, within 5 %.
//
// A read is checked again when it ends: if the lease was lost meanwhile and the
// epoch is no longer the one it was admitted under, its result is thrown away and
// it is run again. So no answer leaves an instance from the old store after the
// writes of the new one have begun, not even from an instance that slept.
//
// # Names
//
// What owns an entity is the database; where in MongoDB its collection is, the record
// says, too. A coordinator that is about to rename it first announces the Move. A member
// then probes the new name (MemberConfig.Probe) before it acknowledges; if it cannot use
// it, its row says why and AwaitAck fails at once with ErrProbeFailed. Writes go on
// meanwhile. Then the coordinator sets Hold, waits, and only then sends the rename. The
// change that clears the Move gives members the new name with the collection's UUID, in
// each Grant. A write names both, so that it finds the collection or nothing.
package ownership
