package kinesis

import (
	"sort"
	"sync"
	"time"
)

const (
	statusCreating = "CREATING"
	statusActive   = "ACTIVE"
	statusUpdating = "UPDATING"
	statusDeleting = "DELETING"
	statusGone     = "" // deleted for good; the name is free again
)

const (
	modeProvisioned = "PROVISIONED"
	modeOnDemand    = "ON_DEMAND"
)

// stream is the state of one stream. All fields are guarded by mu but those
// set at creation.
type stream struct {
	name, arn string
	created   time.Time
	maxBytes  int64

	mu        sync.Mutex
	status    string
	settleAt  time.Time // when the transition is over
	onSettle  func(now time.Time)
	mode      string
	scaled    []time.Time // the last UpdateShardCount calls
	monitored []string    // shard-level metrics that are wanted

	clock  uint64   // nanoseconds since 1970, never twice the same
	shards []*shard // by number, closed ones until their records expire
	open   []*shard // by hash range
	issued int      // shard numbers given out

	bytes                   int64
	throttled, trimmedEarly int64
}

// shard is a range of the hash space and its records, oldest first.
type shard struct {
	number           int
	parent, adjacent *int
	first, last      hashKey
	opened, closed   uint64 // clock; closed is 0 while open
	records          []record
	writes           window
}

// record is kept once; readers share its data.
type record struct {
	clock uint64
	key   string
	data  []byte
}

func (r record) size() int { return len(r.key) + len(r.data) }

// tick advances the stream's clock: the time, or just past the last tick where
// time stood still or went back.
func (st *stream) tick(now time.Time) uint64 {
	st.clock = max(st.clock+1, uint64(max(now.UnixNano(), 0)))
	return st.clock
}

// begin starts a transition that ends with then.
func (st *stream) begin(status string, now time.Time, d time.Duration, then func(now time.Time)) {
	st.status, st.settleAt, st.onSettle = status, now.Add(d), then
}

// settle ends a transition whose time has come, and lets old records go. It
// runs at every access, so no timer is needed.
func (st *stream) settle(now time.Time) {
	if st.onSettle != nil && !now.Before(st.settleAt) {
		then := st.onSettle
		st.onSettle = nil
		st.status = statusActive
		then(st.settleAt)
	}
	st.expire(now)
}

// shard finds a shard by number.
func (st *stream) shard(number int) *shard {
	i := sort.Search(len(st.shards), func(i int) bool { return st.shards[i].number >= number })
	if i == len(st.shards) || st.shards[i].number != number {
		return nil
	}
	return st.shards[i]
}

// route finds the open shard that holds a hash key.
func (st *stream) route(h hashKey) *shard {
	i := sort.Search(len(st.open), func(i int) bool { return st.open[i].last.compare(h) >= 0 })
	return st.open[i]
}

// openShard adds a shard; the caller keeps st.open in order.
func (st *stream) openShard(first, last hashKey, clock uint64, parent, adjacent *int) *shard {
	sh := &shard{number: st.issued, first: first, last: last, opened: clock, parent: parent, adjacent: adjacent}
	st.issued++
	st.shards = append(st.shards, sh)
	return sh
}

func (sh *shard) isOpen() bool { return sh.closed == 0 }

// from finds the first kept record at or after a clock.
func (sh *shard) from(clock uint64) int {
	return sort.Search(len(sh.records), func(i int) bool { return sh.records[i].clock >= clock })
}
