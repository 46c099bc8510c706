// Package kinesis publishes events to an Amazon Kinesis data stream, in order
// and aggregated.
//
// # Caveats first
//
//   - An event that was taken in cannot be taken back: when the context of a
//     Publish ends, its event is still queued and will be sent.
//   - Duplicates happen. A request whose outcome is unknown (a time-out, a lost
//     connection) is sent again as it was. Consumers must be idempotent, by the
//     id of the event or by its position.
//   - The order holds for one partition key, within one Publisher, for calls of
//     which one returned before the other began. Two processes have no order
//     between them, and no publisher could give them one.
//   - Kinesis cannot be told to forget a request: one that timed out here may,
//     in theory, take effect after requests that were sent later. Then old
//     events appear once more behind newer ones of their key. A guard that
//     compares the sequence or the id of events sees through that.
//   - Right after a split, an aggregate that was on its way lands whole in one
//     of the two children. Its events that belong to the other child are sent
//     again, to that one, before any of their successors; the copies in the
//     wrong child are duplicates with an earlier position.
//   - An event whose request Kinesis refuses, for instance because rights are
//     missing, fails, and its successors go on without it. Who publishes it again,
//     publishes it behind them. What must not lose the order over that, such as a
//     relay, sets Config.Insist: then it waits until the cause is mended.
//   - A publisher that is full makes its callers wait. Where one goroutine
//     publishes events of many keys, one shard that takes nothing makes it wait
//     for all of them, as soon as half of the places are taken by that shard:
//     see Config.RefuseWhenFull.
//   - Nothing is kept on disk: what is pending when the process dies is lost,
//     and nobody was told that it was kept.
//
// # What is promised
//
// For one partition key, the first occurrences of events on the stream are in
// the order of Publish. Where an event occurs again, every event that was
// published after it and already is on the stream occurs again behind that.
// A Publish that returned without error is in the stream.
//
// # How
//
// The queue is cut into lanes, one for each open shard, by the MD5 of the
// partition key and the ranges that ListShards tells. A lane has one PutRecords
// in flight, and nothing else of the lane is sent before each of its records is
// in the stream.
//
// A request carries one lane. Several lanes in one request would save requests
// when there are more shards than work, but then the slowest shard of a request
// holds up all of them, one time-out puts all of them in doubt, and a throttled
// shard's back-off slows the others. Aggregation makes up for the requests.
//
// No two records of a request share a partition key. PutRecords may refuse any
// record and keep a later one, so two records with one key could end up in the
// wrong order with no way to put it right: sending the refused one again, or it
// and all behind it, would leave the later one first on the stream. The hash of
// a key decides which aggregate of a request its events go into, which Kinesis
// keeps or refuses as a whole; what does not fit waits for the next request.
// Thus a refused record can be sent again without its neighbours, which have no
// events in common with it. (Debezium's sink and a8m/kinesis-producer send the
// refused subset again behind its successors, and lose the order by that.)
//
// An aggregate holds events of its lane's shard only, and carries an explicit
// hash key of that shard's range. When an answer names a shard that the lane
// does not expect, the stream was resharded: the shards are listed anew, lanes
// of closed shards hand over what they have to the lanes of their children, in
// order, and those do not start before they got it.
//
// The SDK's own retries are switched off for these calls. Retrying needs to
// know which records failed, and a time-out needs to be bounded per attempt.
//
// # One shard never slows another
//
// A shard that throttles is sent to after a pause that doubles with each
// failure, and at a rate that is learnt: a throttle sets it to what the shard
// took in the last second, or to 0.7 of what it was if that is more, and it grows
// by a tenth of itself each second. ShardStats tells it. Requests are made smaller
// when the rate is low.
//
// What may be pending is shared by all shards, but none may have more than it
// leaves free: so one that takes nothing at all comes to half of the places, and
// the others go on with the other half.
//
// # What it costs
//
// A call takes one short lock and allocates nothing, but for the encoded event of
// Enqueue; results are made some hundreds at a time. A partition key is checked
// and hashed once, as long as it is remembered: those of pending events and some
// thousands more. `make bench-publisher` measures it.
package kinesis
