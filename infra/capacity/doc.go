// Package capacity estimates what a load needs and costs: shards, requests, function
// time, write units, and dollars a month.
//
// Caveats first:
//
//   - It is a model of averages. Hot keys, retries, redeliveries, bursts within a
//     second and cold starts come on top; Load.Use leaves room for some of them.
//   - What a handler does to an event (how long, how many items) is yours to
//     measure. The defaults are those of the read models here, on a table with
//     nothing else in it; they decide most of the sum.
//   - Prices are those of prices.yaml with their dates and sources, without free
//     tiers and discounts. Nothing is more precise than two digits.
//   - Not counted: storage, logs and metrics, data transfer, NAT, KMS, the
//     publishers' own machines, reads of the tables, indexes (each copies the
//     writes of its items).
//
// # Formulas
//
// A month is 730 hours. R is the rate of events in all, e the bytes of one with
// its key, S the shards, P the publishing processes, L their linger, T the round
// trip of a PutRecords.
//
// Requests. The lane of one shard in one process gets r = R/(S·P) events a second
// and has one request in flight. The next one starts when that has ended and the
// first event after its start, which comes after a time a with the mean 1/r, has
// lingered: after max(T, a+L). So the time from one request to the next is
//
//	C = 1/r + L                      where T is at most L
//	C = T + exp(-r·(T-L))/r          where T is longer
//
// or less, where the size of an aggregate has come together before (without
// aggregation also 500 records). A request has n = r·C events. Without aggregation that many
// records, 500 at most; with it, one for each 64 KiB begun.
//
// Records. With aggregation one has m = n / (aggregates of a request) events and
// m·(e + 12) + 40 bytes: keys are written into the aggregate's table. Without, it
// is an event of e bytes. PUT payload units are ceil(bytes / 25 KiB) of each
// record; on-demand streams count ceil(bytes / 1 KiB).
//
// Shards. The largest of: bytes / 1 MiB, records / 1,000, and bytes times read
// models / 2 MiB where these read without enhanced fan-out; each divided by
// Load.Use, the part of a shard that is used. Since the records depend on the
// shards with aggregation, the least number is searched for.
//
// Functions. A mapping polls each shard once a second, and gets what came since,
// or since the window began: b = min(batch, records of a shard in max(1 s,
// window), 6 MB), so there are records/b invocations. Each takes Load.Overhead
// and Load.PerEvent for each of its events. Concurrency is invocations a second
// times seconds; beyond one a shard the mapping needs a parallelization factor,
// which is told, up to 10.
//
// Write units. R · (read models · items + fan-out) · ceil(item / 1 KB), and double
// in transactions, which the read models use throughout. That is the most:
// events of one key that are committed together share its watermark and its
// counters.
//
// Queues. The functions that invoke themselves run all the time, whatever comes:
// loops · 730 h of GB-seconds, and an invocation for each Load.LoopSeconds; a
// mapping costs the invocations that have something to do, and its five pollers,
// each of which asks every 20 s of an empty queue. Both send, receive and delete
// batches of ten.
//
// Modes. A month is charged at R throughout. What is provisioned costs most of that
// also where less comes; on demand does not. So besides the sums it is said below
// which average load, in parts of R, on demand is the cheaper one, provided that
// nothing scales what is provisioned down: the difference of what both cost idle by
// the difference of what the load adds.
//
// The counts of requests, records, payload units, invocations and written items
// are held against counted calls of the real publisher and a real consumer on the
// sandbox in the tests: to some 6 %, where the events come at random moments.
// Payload units may be a quarter off where aggregates have about 25 KiB.
package capacity
