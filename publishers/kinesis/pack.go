package kinesis

import (
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

const (
	// mostHeld ends the search for events that fit into a request, when so many
	// did not because their key has to wait.
	mostHeld = 1000
	// spareRecords is how many emptied records a packer keeps for their memory.
	spareRecords = 32
	// heldBack stands for a record's index at a key that waits for the next request.
	heldBack = -1
)

// packer makes the records of one request, with no key in two of them. It and
// its memory are used again for the next.
type packer struct {
	cfg     *Config
	hashKey *string // explicit hash key of aggregates

	records []*record
	owner   map[string]int // index of the record that has the key, or heldBack
	bytes   int            // of all records with their keys
	held    int
	full    bool // no more events need be offered
	spare   []*record
}

// record is one record of a request and the events in it: one as it is, or more
// as an aggregate.
type record struct {
	results []*Result // the index is the sub of the position
	builder aggregate.Builder
	bytes   int
	buffer  []byte
	entry   types.PutRecordsRequestEntry
}

func (k *packer) reset() {
	k.drop(k.records)
	k.records = k.records[:0]
	if k.owner == nil {
		k.owner = make(map[string]int)
	}
	clear(k.owner)
	k.bytes, k.held, k.full = 0, 0, false
}

// drop keeps some records for their memory.
func (k *packer) drop(records []*record) {
	for _, r := range records {
		if len(k.spare) < spareRecords {
			clear(r.results)
			r.results = r.results[:0]
			r.builder.Reset()
			k.spare = append(k.spare, r)
		}
	}
}

// take puts r into a record, or refuses, after which every later event of its
// key is refused too.
func (k *packer) take(r *Result) bool {
	i, known := k.owner[r.key]
	switch {
	case i == heldBack && known:
	case known && k.join(k.records[i], r):
		return true
	case !known && k.place(r):
		return true
	}
	k.owner[r.key] = heldBack
	k.held++
	k.full = k.full || k.held >= mostHeld
	return false
}

// place finds a record for an event whose key is new in the request: the last
// one, which has the most room, or another.
func (k *packer) place(r *Result) bool {
	last := len(k.records) - 1
	if last >= 0 && k.join(k.records[last], r) {
		k.owner[r.key] = last
		return true
	}
	size := len(r.data) + len(r.key)
	if len(k.records) == k.cfg.MaxRequestRecords || k.bytes+size > k.cfg.MaxRequestBytes {
		k.full = true
		return false
	}
	rec := k.newRecord()
	rec.results = append(rec.results, r)
	rec.builder.Add(aggregate.Record{PartitionKey: r.key, Data: r.data})
	rec.bytes = size
	k.bytes += size
	k.owner[r.key] = len(k.records)
	k.records = append(k.records, rec)
	return true
}

// join adds r to a record that has some already.
func (k *packer) join(rec *record, r *Result) bool {
	if k.cfg.NoAggregation {
		return false
	}
	sub := aggregate.Record{PartitionKey: r.key, Data: r.data}
	outer := len(rec.results[0].key)
	size := rec.builder.SizeWith(sub) + outer
	if size > min(k.cfg.AggregateBytes+outer, k.cfg.MaxRecordBytes) || k.bytes-rec.bytes+size > k.cfg.MaxRequestBytes ||
		len(rec.results) == aggregate.MaxRecords {
		return false
	}
	rec.builder.Add(sub)
	rec.results = append(rec.results, r)
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

// seal writes the entries of the request.
func (k *packer) seal() {
	for _, rec := range k.records {
		first := rec.results[0]
		rec.entry = types.PutRecordsRequestEntry{PartitionKey: &first.key, Data: first.data}
		if len(rec.results) > 1 {
			rec.buffer = rec.builder.Append(rec.buffer[:0])
			rec.entry.Data, rec.entry.ExplicitHashKey = rec.buffer, k.hashKey
		}
	}
}

func (k *packer) entries() []types.PutRecordsRequestEntry {
	entries := make([]types.PutRecordsRequestEntry, len(k.records))
	for i, rec := range k.records {
		entries[i] = rec.entry
	}
	return entries
}

// results are those of all records, in order for each key.
func (k *packer) results() []*Result {
	var all []*Result
	for _, rec := range k.records {
		all = append(all, rec.results...)
	}
	return all
}

// keep replaces the records by those that are still to be sent.
func (k *packer) keep(left []*record) {
	k.records = left
	k.bytes = 0
	for _, rec := range left {
		k.bytes += rec.bytes
	}
}

// locate gives the results of a record their positions.
func (rec *record) locate(sequence string) {
	for sub, r := range rec.results {
		r.pos = events.Position{Sequence: sequence, Sub: sub}
	}
}
