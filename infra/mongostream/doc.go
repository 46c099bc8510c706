// Package mongostream follows a MongoDB change stream from a stored position, so
// that every change is handled and none is skipped, whatever process dies when.
//
//	f, err := mongostream.New(mongostream.Config{
//		Name:   "search-index",
//		Source: mongostream.Source{Database: db, Collection: "users"},
//		Handle: func(ctx context.Context, c mongostream.Change) (mongostream.Ack, error) {
//			return nil, index(ctx, c.ID(), c.Full)
//		},
//	})
//	...
//	err = f.Run(ctx)
//
// A [Follower] handles changes one at a time, in the order of the stream; what Handle
// only begins it reports complete by an [Ack], in any order. A [Checkpoint] stores the
// position and makes sure that one process follows at a time. A [Stream] is the lower
// half alone, for readers that store nothing.
//
// # Caveats
//
//   - A change is handled at least once, not once. What was handled and not stored
//     yet when a process died is handled again by the next, in the same order. The
//     handler must be idempotent, by an id made from the change.
//   - A lease keeps other processes out, it cannot call back what was handed to a
//     publisher: a process that is paused and wakes after its lease ran out notices
//     before the next change and handles no more, and the store refuses its position;
//     but events that its publisher holds may still go out, behind newer ones. They
//     are repeats, and a guard that compares their sequence or id recognizes them.
//   - The history of a change stream is as long as the server's oplog. A follower
//     that was away longer stops with [ErrHistoryLost].
//   - It needs MongoDB 4.2 or newer, as a replica set or a sharded cluster.
//   - With FullDocument updateLookup the server reads the document when it sends the
//     change: it may be newer than the change, or deleted (Full is nil then).
//
// # The position
//
// The start is stored before anything is handled: a follower that is killed at once
// and started again later begins where the first one would have.
//
// The position moves over a change when everything before it is acknowledged: the
// Acks in the order of the stream, then Done. A heartbeat (the position of a stream
// that holds nothing more) waits in the same queue as the changes. In gh-ost#1684
// heartbeats overtook changes that were not applied, which were lost at the next
// resume.
//
// # Errors
//
// Transient errors (a lost connection, a killed cursor, an election) are retried with
// a growing delay for as long as Run's context lives; the stream is then read again
// from the position on, after everything in flight is acknowledged, so that the order
// stays. Others end Run.
//
// # Drops and renames
//
// When the followed collection is dropped, renamed or replaced by a rename onto its
// name, its documents disappear or appear without an event for each. Run acknowledges
// what came before, stores the position behind it, and stops with [ErrInvalidated],
// once: Run again follows whatever collection has the name then. Config.FollowOn makes
// it resume by itself, Config.DDL decides case by case.
//
// A rename onto a name is an event of the other collection, and behind the end of its
// database the server closes a stream without an error. So a pipeline that selects by ns
// alone misses both: use [Collections.Match]. A stream that ends without showing why
// is [ErrInvalidated] too, since it would end so at each opening.
//
// # Large changes
//
// An event with its documents may be larger than the 16 MB that the server sends. From
// MongoDB 6.0.9 and 7.0 on the server splits it, and the change comes whole. An older
// one fails: then that change, and it alone, is read without documents, and says so
// (Change.Stripped), so that Handle reads the document itself.
package mongostream
