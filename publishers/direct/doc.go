// Package direct publishes the events of a write right behind it, by the process that
// made it, so that its answer can name the event's position; and, out of the outbox that
// the write put them in, whatever a process that died has not published.
//
//	box, err := direct.New(direct.Config{Publisher: p, Boxes: []direct.Box{documents, table}})
//	...
//	began := time.Now()
//	before, own, err := store.Write(...) // the events are in the same atomic step
//	position, err := box.Publish(ctx, direct.Write{Box: documents, Place: id, Began: began, Before: before, Own: own})
//
// A [Box] is the outbox of one store. Entries wait in places, one for each entity: a
// document with an array, a partition of a table. The order of a place's entries is that of
// the writes.
//
// # What is promised
//
// Every event whose write took effect is published, whichever process dies when: what is not
// removed from its place within [Config.Patience] is published by any process that sweeps.
//
// First occurrences of the events of a place are in the order of its writes. So a write that
// finds entries of another process before its own waits until they are gone, and publishes
// them first where that takes longer than Patience: their process has died. Who publishes
// later than half of that behind its own write, or for another, claims the place before, which
// the database grants to one at a time; whoever holds a claim renews it while events are on
// their way.
//
// # Caveats
//
//   - An event is published at least once. One that is published twice has the same id. A
//     process that is stopped for longer than Patience with events on their way to the stream
//     repeats them late when it wakes; nothing in Kinesis could refuse them.
//   - Who reads what waits before a write must do so in the same step as the write, or before
//     it and on the condition that nothing was written in between.
//   - An event that the publisher refuses for good blocks its place, and fails the later writes
//     there: let no write leave one, by checking size and form before.
//   - Nothing else may publish out of the same places, such as the relay of package outbox.
//   - Claims run out by the clocks of the processes, which may differ by a few seconds less
//     than [Config.Claim].
//   - Published entries are removed in the background, together, within [Config.Linger].
package direct
