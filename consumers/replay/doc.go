// Package replay invokes one function again with events of the past, from an archive and from
// what the stream still holds.
//
// [Replay] delivers as an event source mapping would: batches of one shard, in the order of the
// stream for each partition key, and from the record on once more that the answer names. What
// differs from a mapping: it never gives a batch up, several shards' batches go out together
// only where no shard is the parent of another, and a [Progress] says where the next run goes
// on. Events are delivered at least once, to a function that had them before: its effects must
// be guarded, as those of package once are. A read model that had them ignores them; give the
// function an empty table to build it anew.
//
// # Some of an aggregate's events
//
// A record whose events are all replayed is an ordinary one, an aggregate where it was one.
// Where a filter leaves some out, each of the others is a record of its own, whose event id ends
// in its index in the aggregate: "shardId-000000000003:49...:2". The runtime of package consumers
// makes the event's position of that, so its guards know it. A function that does not use it
// sees several records with one sequence number, as it does inside of an aggregate.
//
// # A read model anew, beside the live one
//
// Package rebuild does that: it replays to a second function, whose table it compares with the
// live one and lets readers follow to.
package replay
