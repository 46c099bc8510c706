package demo

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets of about 3 percent width, from 1 us
// to hours, in constant memory. Safe for concurrent use; the zero value works.
type histogram struct {
	buckets [64 * subBuckets]atomic.Int64
	n       atomic.Int64
	max     atomic.Int64
}

const subBuckets = 32

func bucketOf(us uint64) int {
	if us < subBuckets {
		return int(us)
	}
	shift := bits.Len64(us) - 6 // leaves six bits: 32..63
	return (shift+1)*subBuckets + int(us>>shift) - subBuckets
}

// upper is the largest duration that falls into bucket i, in microseconds.
func upper(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return (uint64(i%subBuckets+subBuckets)+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	us := uint64(max(d, 0) / time.Microsecond)
	h.buckets[bucketOf(us)].Add(1)
	h.n.Add(1)
	for {
		old := h.max.Load()
		if int64(d) <= old || h.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// quantile returns the upper bound of the bucket that holds quantile q.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q*float64(h.n.Load())) + 1
	var seen int64
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen >= rank {
			return min(time.Duration(upper(i))*time.Microsecond, time.Duration(h.max.Load()))
		}
	}
	return time.Duration(h.max.Load())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
