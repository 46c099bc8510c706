package kinesis

import "time"

// window is one shard's allowance of the current second of the clock, as the
// service states its limits: so many calls and so many bytes a second.
//
// One unit larger than a second's bytes (a raised record size, a big read) is
// let in when nothing of the allowance is used, and its excess is paid off by
// the seconds that follow.
type window struct {
	second int64
	count  int
	bytes  int
}

// maxDebt bounds, in seconds, what an excess can cost; no call is as large.
const maxDebt = 60

// take admits n bytes as one unit, or reports false and takes nothing.
func (w *window) take(now time.Time, n, maxCount, maxBytes int) bool {
	w.advance(now.Unix(), maxBytes)
	if w.count+1 > maxCount || w.bytes > 0 && w.bytes+n > maxBytes {
		return false
	}
	w.count++
	w.bytes += n
	return true
}

func (w *window) advance(second int64, maxBytes int) {
	passed := second - w.second
	if passed == 0 {
		return
	}
	w.second, w.count = second, 0
	if passed < 0 || passed > maxDebt {
		w.bytes = 0
		return
	}
	w.bytes = max(0, w.bytes-maxBytes*int(passed))
}
