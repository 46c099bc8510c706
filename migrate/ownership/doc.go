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
//     impossible.
//   - The service depends on the control table. An instance that cannot reach it
//     for longer than its lease (2 s) serves neither reads nor writes.
//   - A function given to Read or Write may run more than once. A run that returned
//     an error or was repeated must have no effect besides what is in the store.
//   - Hold is a courtesy. Its end, HoldUntil, is compared with each member's wall
//     clock; a wrong clock lets writes run into the fence, where they wait.
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
package ownership
