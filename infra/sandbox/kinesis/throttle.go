package kinesis

import "time"

// window is what a shard has taken in the current second of the clock.
type window struct {
	second       int64
	count, bytes int
}

// take admits a record of n bytes, or reports false and takes nothing.
func (w *window) take(now time.Time, n int) bool {
	if second := now.Unix(); second != w.second {
		*w = window{second: second}
	}
	if w.count == shardRecords || w.bytes+n > shardBytes {
		return false
	}
	w.count++
	w.bytes += n
	return true
}
