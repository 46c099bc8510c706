package events

import (
	"sync/atomic"
	"time"
)

// sequenceDigits is enough for every uint64, so that text order is number order.
const sequenceDigits = 20

// Clock is a hybrid clock: it reads like the wall clock and never repeats or
// goes back, not even when the wall clock does. The zero value is ready. Safe
// for concurrent use.
//
// The guarantee ends with the process: after a restart with a wall clock that was
// set back, readings may be smaller than before. The only certain order is that
// on the stream, see [Position].
type Clock struct {
	// Now is the wall clock, time.Now when nil. Set it before the first use.
	Now  func() time.Time
	last atomic.Uint64
}

// processClock is shared by all events that this process makes, so that they
// are ordered among themselves whatever source they name.
var processClock Clock

// Next returns a reading greater than all before: nanoseconds since 1970 in 20
// digits.
func (c *Clock) Next() string {
	now := c.wall()
	for {
		last := c.last.Load()
		next := max(now, last+1)
		if c.last.CompareAndSwap(last, next) {
			return formatSequence(next)
		}
	}
}

func (c *Clock) wall() uint64 {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	return uint64(max(now().UnixNano(), 0))
}

func formatSequence(n uint64) string {
	var digits [sequenceDigits]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return string(digits[:])
}
