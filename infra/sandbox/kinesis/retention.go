package kinesis

import (
	"slices"
	"time"
)

// expire lets go of what retention no longer covers: records, then closed
// shards that have none left and closed before the trim horizon.
func (st *stream) expire(now time.Time) {
	horizon := clockAt(now.Add(-retention))
	for _, sh := range st.shards {
		if len(sh.records) > 0 && sh.records[0].clock < horizon {
			st.trim(sh, sh.from(horizon))
		}
	}
	if len(st.shards) > len(st.open) {
		st.shards = slices.DeleteFunc(st.shards, func(sh *shard) bool { return !sh.isOpen() && sh.closed < horizon })
	}
}

// makeRoom keeps the stream within its memory bound by trimming the oldest
// records, whichever shard they are in.
func (st *stream) makeRoom() {
	for st.bytes > st.maxBytes {
		oldest := st.oldestShard()
		if oldest == nil {
			return
		}
		st.trimmedEarly++
		st.trim(oldest, 1)
	}
}

func (st *stream) oldestShard() *shard {
	var oldest *shard
	for _, sh := range st.shards {
		if len(sh.records) > 0 && (oldest == nil || sh.records[0].clock < oldest.records[0].clock) {
			oldest = sh
		}
	}
	return oldest
}

// trim drops a shard's n oldest records. They are cleared, not only cut off:
// the slice's array lives on until append moves it.
func (st *stream) trim(sh *shard, n int) {
	for i := range n {
		st.bytes -= int64(sh.records[i].size())
		sh.records[i] = record{}
	}
	sh.records = sh.records[n:]
	if len(sh.records) == 0 {
		sh.records = nil
	}
}

func clockAt(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) }
