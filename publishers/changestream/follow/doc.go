// Package follow follows a MongoDB change stream from a stored position, so
// that every change is handled and none is passed over, whatever dies when.
//
// # Caveats first
//
//   - A change is handled at least once, not once. What was handled and not
//     stored yet when a process died is handled again by the next, in the same
//     order. Whoever handles must be idempotent, by an id made from the change.
//   - A lease keeps others out, it cannot call back what was already handed to a
//     publisher: a process that is paused and wakes after its lease ran out sees
//     it before the next change and handles no more, and the store refuses its
//     position; but events that its publisher holds may still go out, behind
//     newer ones. They are repeats, and a guard that compares their sequence or
//     id sees that.
//   - The history of a change stream is as long as the server's oplog. A follower
//     that was away longer stops with [ErrHistoryLost].
//   - It needs MongoDB 4.2 or newer, as a replica set or a sharded cluster.
//   - With FullDocument updateLookup the server reads the document when it tells
//     the change: it may be newer than the change, or gone (Full is nil then).
//
// # The position
//
// One document per follower, in the collection banyan_relays of the database
// unless told otherwise, under the follower's name:
//
//	owner, epoch, expires   who follows, the how many-th owner that is, and until
//	                        when by the server's clock; renewed by each save
//	start                   where the stream begins when there is no token yet
//	token, clusterTime, n   the last change before which everything is settled,
//	                        its time, and its number among those of that time
//	after                   the token is that of an invalidation: go on behind it
//	state                   how far an [Interleaver] is
//	rev, updatedAt          number of the save within the epoch, and when it was
//
// A save names owner and epoch in its filter, and is refused by the server if
// there is a newer owner. It names its number too, so that one that was held up
// on the network does not undo a later one.
//
// The start is stored before anything is handled: a follower that is killed at
// once and started again later begins where the first one would have.
//
// A position is stored when all that the stream told before it is settled: the
// receipts, in the order of the stream, then Done. A heartbeat (the position of
// a stream that has nothing to tell) waits in the same queue as the changes. In
// gh-ost#1684 heartbeats went past changes that were not applied, which were
// lost at the next resume.
//
// # Errors
//
// What passes (a lost connection, a killed cursor, an election) is tried again
// with a growing pause for as long as Run's context lives; the stream is then
// read again from the stored position on, after all that was in flight is
// settled, so that the order stays. What does not pass ends Run.
//
// # Drops and renames
//
// When the followed collection is dropped or renamed, its documents are gone
// without a word about each. Run settles what came before, stores the position
// behind it, and stops with [ErrInvalidated], once: run again, it goes on with
// the changes to whatever collection has the name then. Config.FollowOn makes
// it go on by itself.
package follow
