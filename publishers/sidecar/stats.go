package sidecar

import (
	"net/http"
	"sync/atomic"
)

// Stats is a snapshot for metrics. All are counts since the start.
type Stats struct {
	Requests  int64 // received
	Kept      int64 // events that are on the stream or in the spool
	NotKept   int64 // events that were understood and are not kept
	Unknown   int64 // events with an unknown outcome
	Malformed int64 // requests refused with a status of 400 to 499, 429 aside
	Busy      int64 // requests refused with 429
	Failed    int64 // requests that got a status of 500 or more
}

type counters struct {
	requests, kept, notKept, unknown, malformed, busy, failed atomic.Int64
}

// Stats returns the current counts.
func (h *Handler) Stats() Stats {
	c := &h.counted
	return Stats{
		Requests: c.requests.Load(), Kept: c.kept.Load(), NotKept: c.notKept.Load(), Unknown: c.unknown.Load(),
		Malformed: c.malformed.Load(), Busy: c.busy.Load(), Failed: c.failed.Load(),
	}
}

func (c *counters) count(items []item) {
	for _, it := range items {
		switch it.kept {
		case keptStream, keptSpool:
			c.kept.Add(1)
		case keptUnknown:
			c.unknown.Add(1)
		default:
			c.notKept.Add(1)
		}
	}
}

func (c *counters) countStatus(status int) {
	switch {
	case status >= http.StatusInternalServerError:
		c.failed.Add(1)
	case status == http.StatusTooManyRequests:
		c.busy.Add(1)
	default:
		c.malformed.Add(1)
	}
}
