// Package changes follows the change stream of an entity's collection and applies it to
// the target. Of all processes that call [Follower.Follow] one follows at a time; the
// others wait until it has ended. [Barriers] are how anybody waits until everything that
// was acknowledged before has been applied.
//
// A change replaces only what is of an earlier epoch, or of the same and of an older source
// time, and a delete leaves a tombstone. So a process that was paused and wakes, and a change that is applied twice,
// do no harm.
//
// One follower applies [Follower.Appliers] changes at once, in as many lanes by a hash of the
// document's _id; there is no follower for each part of the documents. Several would divide only
// the applying, which is waiting: every one of them would read the whole stream, since MongoDB
// cannot select by a hash before 7.0, and the position, the barriers and what happens to the
// collection as a whole would then stand where the slowest is, agreed upon by all. What bounds a
// follower is its processor: where each request takes 10 ms longer, 16 lanes keep up with half
// a thousand changes a second and 64 with one and a half thousand, on two cores with ten times
// as much other work, at 0.2 ms of processor time for each (`make bench-migrate`). An entity that
// changes more often than some 4,000 times a second has outgrown one follower.
package changes
