package kinesis

import (
	"slices"
	"sync/atomic"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

const (
	// maxDeferred ends the search for events that fit into a request, when so many
	// did not because their key has to wait.
	maxDeferred = 1000
	// spareRecords is how many emptied records a packer keeps for their memory.
	spareRecords = 32
	// overheadPerEvent is about what an aggregate adds to an event.
	overheadPerEvent = 16
)

// packer makes the records of one request, with no key in two of them. It and
// its memory are used again for the next.
//
// Which record an event goes into is decided by the hash of its key, the same
// way for the whole request. When an event does not fit into its record any
// more, that is closed, and what comes later for it waits for the next request.
// So no event overtakes another of its key, and no map of keys to records is needed.
type packer struct {
	cfg      *Config
	requests *atomic.Uint64 // the number of the last request, over all shards

	request    uint64
	maxBytes   int // of all records with their keys
	maxRecords int

	slots    []*record // by hash; nil while nothing is for it
	records  []*record // those with events
	bytes    int       // of all records with their keys
	closed   int       // slots
	deferred int       // events that have to wait
	full     bool      // no more events need be offered
	spare    []*record
}

// record is one record of a request and the events in it: one as it is, or more
// as an aggregate.
type record struct {
	results []*Result // the index is the sub of the position
	builder aggregate.Builder
	bytes   int
	closed  bool
}

// beginRequest starts a request of at most so much, out of a backlog.
func (k *packer) beginRequest(maxBytes, maxRecords int, backlog load) {
	k.recycle(k.records)
	k.records = k.records[:0]
	k.request = k.requests.Add(1)
	k.maxBytes, k.maxRecords = maxBytes, maxRecords
	k.bytes, k.closed, k.deferred, k.full = 0, 0, 0, false
	n := (backlog.bytes+backlog.events*overheadPerEvent)/k.cfg.AggregateBytes + 1
	n = max(min(n, maxRecords, maxBytes/k.cfg.AggregateBytes), 1)
	clear(k.slots)
	k.slots = slices.Grow(k.slots[:0], n)[:n]
}

// recycle keeps some emptied records for their memory.
func (k *packer) recycle(records []*record) {
	for _, r := range records {
		if len(k.spare) < spareRecords {
			clear(r.results)
			r.results, r.closed = r.results[:0], false
			r.builder.Reset()
			k.spare = append(k.spare, r)
		}
	}
}

// add puts r into a record, or defers it to the next request, as it then does with
// every later event of its key.
func (k *packer) add(r *Result) bool {
	if k.cfg.NoAggregation {
		return k.addAlone(r)
	}
	slot := &k.slots[uint64(uint32(r.key.hash.lo))*uint64(len(k.slots))>>32]
	switch rec := *slot; {
	case rec == nil:
		*slot = k.startRecord(r)
		return *slot != nil
	case !rec.closed && k.extendRecord(rec, r):
		return true
	case !rec.closed:
		rec.closed = true
		k.closed++
	}
	k.deferEvent()
	return false
}

// addAlone is add where each event is a record.
func (k *packer) addAlone(r *Result) bool {
	if r.key.request == k.request {
		k.deferEvent()
		return false
	}
	if k.startRecord(r) == nil {
		return false
	}
	r.key.request = k.request
	return true
}

func (k *packer) deferEvent() {
	k.deferred++
	k.full = k.deferred >= maxDeferred || k.closed == len(k.slots)
}

// startRecord starts a record, or finds the request full and returns nil.
func (k *packer) startRecord(r *Result) *record {
	size := len(r.data) + len(r.key.text)
	if len(k.records) == k.maxRecords || k.bytes+size > k.maxBytes && len(k.records) > 0 {
		k.full = true
		return nil
	}
	rec := k.newRecord()
	rec.results = append(rec.results, r)
	rec.bytes = size
	if !k.cfg.NoAggregation {
		rec.builder.Add(aggregate.Record{PartitionKey: r.key.text, Data: r.data})
	}
	k.bytes += size
	k.records = append(k.records, rec)
	return rec
}

// extendRecord adds r to a record that has some already.
func (k *packer) extendRecord(rec *record, r *Result) bool {
	outer := len(rec.results[0].key.text)
	most := min(k.cfg.AggregateBytes, k.cfg.MaxRecordBytes-outer, k.maxBytes-k.bytes+rec.bytes-outer)
	if len(rec.results) == aggregate.MaxRecords || !rec.builder.AddWithin(aggregate.Record{PartitionKey: r.key.text, Data: r.data}, most) {
		return false
	}
	rec.results = append(rec.results, r)
	size := rec.builder.Size() + outer
	k.bytes += size - rec.bytes
	rec.bytes = size
	return true
}

func (k *packer) newRecord() *record {
	if n := len(k.spare); n > 0 {
		rec := k.spare[n-1]
		k.spare = k.spare[:n-1]
		return rec
	}
	return new(record)
}

// results are those of all records, in order for each key.
func (k *packer) results() []*Result {
	var all []*Result
	for _, rec := range k.records {
		all = append(all, rec.results...)
	}
	return all
}

// replaceRecords leaves only those that are still to be sent.
func (k *packer) replaceRecords(left []*record) {
	k.records = left
	k.bytes = 0
	for _, rec := range left {
		k.bytes += rec.bytes
	}
}

// pack moves what fits from the backlog into the packer and keeps the rest in its
// order.
func (sw *shardWriter) pack() {
	bytes, records := sw.requestLimits()
	sw.packer.beginRequest(bytes, records, load{len(sw.backlog), sw.backlogBytes})
	deferred, i := sw.deferred[:0], 0
	for ; i < len(sw.backlog) && !sw.packer.full; i++ {
		if r := sw.backlog[i]; sw.packer.add(r) {
			sw.backlogBytes -= len(r.data)
		} else {
			deferred = append(deferred, r)
		}
	}
	// Only what was deferred is moved, not all that was not looked at.
	first := i - len(deferred)
	copy(sw.backlog[first:], deferred)
	clear(sw.backlog[:first])
	sw.backlog = sw.backlog[first:]
	clear(deferred)
	sw.deferred = deferred
}

// write puts the records into a request.
func (rec *record) write(request *putrecords.Request, hashKey string) {
	first := rec.results[0]
	if len(rec.results) == 1 {
		request.Add(first.key.text, "", first.data)
	} else {
		request.AddAggregate(first.key.text, hashKey, &rec.builder)
	}
}

// setPositions gives the results of a record their positions.
func (rec *record) setPositions(sequence string) {
	for sub, r := range rec.results {
		r.pos = events.Position{Sequence: sequence, Sub: sub}
	}
}
