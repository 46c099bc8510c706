// Package outboxtable is the outbox of services whose data is in DynamoDB: a
// table in which the events of a write are kept by the write's own transaction,
// and the relay that publishes them to the stream.
//
// # Caveats first
//
//   - An event is published at least once. Its id repeats, and so does whatever
//     was published after it for its key (see below).
//   - The order of a key's events is that of the sort key: the Sequence of the
//     events, which is a clock, or a number that grows with the entity, such as
//     its version ([NewEntry]). Two processes that write one key should give the
//     latter: their clocks differ.
//   - All events that one transaction makes for one key belong into one [Entry].
//     A query may see one item of a transaction before it sees the other.
//   - A table has one relay at work at a time for each key, by a claim that runs
//     out by the clocks of the relays; these may differ by a few seconds, not by
//     [Config.Claim]. A relay that is stopped for longer than that with events on
//     their way to Kinesis repeats them late when it wakes. Where that matters,
//     end the process instead ([ErrInFlight]).
//   - [TimeToLive] is a last resort against a table that grows because nothing
//     relays it: what expires was never published, and nothing reports it.
//   - An owner that publishes by itself, and uses the table for what it did not get
//     to publish, does so by package direct with a [Box].
//
// # The table
//
//	pk       S   partition key of the events
//	sk       S   the order in 20 digits, a dot, the id of the first event
//	events   L   of B: encoded events, at least one, in their order
//	at       N   when the events were made, milliseconds since 1970
//	expires  N   30 days later, seconds since 1970; in force by [TimeToLive] only
//	relay    S   the relay that claimed the key, and until when, in milliseconds
//	until    N   since 1970; on the first item of a key, while a relay works on it
//
// It holds only events that are not published yet, so a scan of it costs next to
// nothing. An event costs: the item written in a transaction (2 units a KB), a
// claim of its key (1 unit a KB), a query (1 read unit each 4 KB), and the
// deletion (1 unit a KB; 2 where several items of a key go at once).
//
// # The stream of the table only wakes the relay
//
// AWS documents for DynamoDB Streams that each record appears exactly once, and
// that "for each item that is modified", the records appear in the order of the
// modifications: an item is one partition and sort key. About two items of one
// partition key it promises nothing; in fact one transaction's items have been
// seen in the other order, and a collection of items that is split for its heat
// is in two shards. With a ParallelizationFactor above 1, Lambda keeps the order
// by item, too. And the stream keeps records for 24 hours only.
//
// So [Relay.Handle] reads from a record only which key has something to relay,
// queries the table (consistently) for all items of this key, and publishes
// them in the order of the sort key. The stream may be KEYS_ONLY, invocations stay
// small, records may come twice, late, in any order and from any number of
// concurrent invocations, and what a mapping missed is published with the next event of its key, in its
// place. [Relay.Sweep] finds the rest.
//
// # A round
//
// A relay queries the first items of a key, at most 100; claims the key, by a
// conditional write on the first of them; publishes them in order and waits for
// the receipts, renewing the claim; and deletes all of them in one transaction,
// on condition that it still has the claim. It repeats this while there are more than
// it read. A relay that dies in between leaves items, and a claim that runs out.
//
// # What is promised
//
// Every event whose transaction committed is published, and none other. For one
// key, first occurrences on the stream are in the order of the sort key, as far
// as the transactions were committed in that order. Where an event occurs again,
// every event of its key that is on the stream already and comes after it occurs
// again behind it: items are only ever deleted from the front, so what remains
// when a relay dies is a tail, and the next relay publishes all of it. Two
// relays that race, of either form, do not touch each other's keys.
//
// # Filtering
//
// Claims and deletions are changes of the table as well. Give the mapping the
// filter {"eventName":["INSERT"]}, so that they do not invoke the function; it
// ignores them otherwise. No other option of the mapping matters for safety.
package outboxtable
