// Package spool keeps events on disk until they are on the stream: a durable,
// bounded, ordered queue in one file, for a legacy app that must not wait for a
// Kinesis that cannot be reached. [Open] opens the file, [Spool.Enqueue] returns a
// receipt that completes once the event is on disk, [Spool.Drain] forwards events to a
// publisher for as long as the program runs, and [Spool.Close] ends it. [Inspect] looks
// into a file at any time.
//
// # Caveats
//
//   - An event that the spool has acknowledged is on this machine's disk and
//     nowhere else. A lost disk loses it.
//   - Events come to the destination at least once. What was in flight when the
//     process was killed is sent again, with all that follows it.
//   - The file must be on a local disk: locks and syncs of network file systems
//     promise less.
//   - One process at a time has the file. Look into it at any time by [Inspect].
//   - The file never shrinks while it is open. Pages of events that were forwarded
//     are used again; Open makes a smaller file of one that is mostly empty.
//   - Events may hold personal data, in clear. The file is for its owner alone
//     (mode 0600), as is every file beside it, damaged ones included.
//
// # What is promised
//
// Every event goes through the file, also while the destination can be reached,
// so there is one order: that in which events were enqueued. [Spool.Drain] forwards
// them in that order, and deletes from the front what was acknowledged.
// After a crash it begins with the first event that it does not know to be
// acknowledged, and sends all after it again. So of one partition key the first
// occurrences on the stream are in order, and where an event occurs again, its
// successors do too.
//
// # When an event is acknowledged
//
// An event is acknowledged when its transaction is on the disk (fdatasync, twice: data,
// then root), so that it survives a killed process and a power cut. Many events share
// one transaction.
//
// # Damage
//
// Open reads the whole file with plain reads before bbolt maps it, because on a
// damaged file bbolt panics where it cannot be caught: every page, the order of
// keys, every record with its CRC-32C, and the counts. Where anything is wrong,
// the file is set aside as a whole under a name with ".damaged-" and the time, and
// each record in it that is whole, wherever it is, goes into a new file, in order.
// The log, [Status] and [Inspection] say what was wrong, how many events were
// saved, and how many are known to be lost ([Salvage]). A write that a crash tore
// is no damage: the root before it is still valid.
//
// # When it is full
//
// At Config.MaxBytes or MaxEvents, callers wait with their context, first come,
// first served, or are refused with [ErrFull], as configured. A full disk is the
// same: what was enqueued and has no space stays in memory, its receipts open,
// and is written when there is space, in its order; or it is refused. Draining
// makes space. Any other failure of the disk ends the spool with [ErrBroken],
// because after a failed sync it is unknown what is on the disk: open it again.
//
// # What is refused
//
// An event that the destination will never accept is kept apart with the reason and
// the time, so that it does not hold up the others. It counts towards the limits until
// [Spool.Redrive] or [Spool.RemoveRefused].
package spool
