// Package kinesis publishes events to an Amazon Kinesis data stream, in order and
// aggregated. [New] starts a [Publisher], [Publisher.Publish] waits until an event is
// on the stream, [Publisher.Enqueue] returns a receipt at once, and [Publisher.Close]
// sends what is left.
//
// # What is promised
//
// For one partition key, the first occurrences of events on the stream are in the order
// of Publish. Where an event occurs again, every event that was published after it and
// already is on the stream occurs again behind that. A Publish that returned without
// error is in the stream.
//
// # Caveats
//
//   - An enqueued event cannot be withdrawn: when the context of a Publish ends, its
//     event is still queued and will be sent.
//   - Duplicates happen. A request whose outcome is unknown (a time-out, a lost
//     connection) is sent again as it was. Consumers must be idempotent, by the id of
//     the event or by its position.
//   - The order holds for one partition key, within one Publisher, for calls of which one
//     returned before the other began. Two processes have no order between them, and no
//     publisher could give them one.
//   - Kinesis cannot be told to forget a request: one that timed out here may, in theory,
//     take effect after requests that were sent later. Then old events appear once more
//     behind newer ones of their key. A guard that compares the sequence or the id of
//     events recognizes that.
//   - Right after a split, an aggregate in flight lands whole in one of the two children.
//     Its events that belong to the other child are sent again, to that one, before any
//     of their successors; the copies in the wrong child are duplicates with an earlier
//     position.
//   - An event whose request Kinesis refuses, for instance because rights are missing,
//     fails, and its successors are sent without it. Publishing it again puts it behind
//     them. A relay, which must not lose the order over that, sets Config.RetryRefused:
//     then it waits until the cause is corrected.
//   - A full publisher makes its callers wait. Where one goroutine publishes events of
//     many keys, one shard that accepts nothing makes it wait for all of them, as soon as
//     half of the capacity is in use by that shard: see Config.RefuseWhenFull.
//   - Nothing is kept on disk: what is pending when the process dies is lost. None of it
//     was acknowledged. Package spool keeps events on disk.
//
// # The way of an event
//
// Publish encodes the event, checks its size, and finds its shard by the MD5 of the
// partition key and the ranges that ListShards returns (keys.go, shards.go). While the
// publisher is full, the event waits to be admitted (admission.go). Then it is in the
// queue of its shard, which a goroutine of its own empties (shardwriter.go): it lingers a
// little, packs what fits into one request (pack.go), sends that until each record is in
// the stream (deliver.go), and completes the results, which wakes the callers
// (complete.go).
//
// A shard writer has one PutRecords in flight, and sends nothing else to its shard before
// each record of it is in the stream. A request carries records for one shard. Several
// shards in one request would save requests when there are more shards than work, but
// then the slowest shard of a request holds up all of them, one time-out leaves all of
// them unknown, and a throttled shard's back-off slows the others. Aggregation makes up
// for the requests.
//
// No two records of a request share a partition key. PutRecords may refuse any record and
// keep a later one, so two records with one key could end up in the wrong order for good:
// whatever is sent again then comes behind the later one. The hash of a key decides which
// aggregate of a request its events go into, which Kinesis keeps or refuses as a whole;
// what does not fit waits for the next request. Thus a refused record can be sent again
// without its neighbours, which have no key in common with it. (Debezium's sink and
// a8m/kinesis-producer send the refused subset again behind its successors, and lose the
// order by that.)
//
// An aggregate holds events of one shard only, and carries an explicit hash key of that
// shard's range. When an answer names another shard than expected, the stream was
// resharded (reshard.go): the shards are listed anew, the writers of closed shards hand
// their queues over to the writers of their children, in order, and those do not start
// before that.
//
// The SDK's own retries are switched off for these calls. Retrying needs to know which
// records failed, and a time-out needs to be bounded per attempt.
//
// # One shard never slows another
//
// A shard that throttles is sent to after a pause that doubles with each failure, and
// under a rate limit: a throttle sets it to what the shard accepted in the last second, or
// to 0.7 of what it was if that is more, and it grows by a tenth of itself each second
// (ShardStats.Rate). Requests are made smaller when the limit is low.
//
// The capacity is shared by all shards, but none may have more pending than it leaves
// free: a shard that accepts nothing at all gets half of the capacity, and the others
// continue with the other half.
//
// # What it costs
//
// A call takes one short lock and allocates nothing, but for the encoded event of Enqueue;
// results are allocated some hundreds at a time. A partition key is checked and hashed
// once, as long as it is remembered: those of pending events and some thousands more.
// `make bench-publisher` measures it.
package kinesis
