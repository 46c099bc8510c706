package spool

import (
	"os"
	"time"
)

// Status is a snapshot for metrics.
type Status struct {
	Path   string `json:"path"`
	Events uint64 `json:"events"` // kept, and not yet known to be on the stream
	Bytes  uint64 `json:"bytes"`  // of these on disk, without the overhead of the file
	// OldestAge is for how long the first of these has been in the spool.
	OldestAge time.Duration `json:"oldestAge"`
	Pending   int           `json:"pending"`  // enqueued, not yet kept
	Waiting   int           `json:"waiting"`  // callers that wait for capacity
	InFlight  int           `json:"inFlight"` // forwarded, not yet acknowledged
	Draining  bool          `json:"draining"`
	Refused   uint64        `json:"refused"` // kept apart, until redriven or removed
	// Enqueued and Forwarded count since the file was made; what was sent again
	// counts once.
	Enqueued  uint64 `json:"enqueued"`
	Forwarded uint64 `json:"forwarded"`
	FileBytes int64  `json:"fileBytes"`
	MaxBytes  int64  `json:"maxBytes"`
	MaxEvents int64  `json:"maxEvents,omitempty"`

	// LastError is the last failure of the destination or the disk, Failing
	// whether nothing has worked since.
	LastError   string    `json:"lastError,omitempty"`
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`
	Failing     bool      `json:"failing"`
	// Broken is why the spool accepts no more events.
	Broken string `json:"broken,omitempty"`
	// Salvages are the reports on damaged files that were found at this path.
	Salvages []Salvage `json:"salvages,omitempty"`
}

// Status returns the current numbers.
func (s *Spool) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Path:   s.cfg.Path,
		Events: s.kept.Events, Bytes: s.kept.Bytes, Pending: s.queue.events, Waiting: len(s.queue.waiting),
		InFlight: int(s.inFlight.Load()), Draining: s.drain.cancel != nil,
		Refused: s.kept.Refused, Enqueued: s.kept.Enqueued, Forwarded: s.kept.Forwarded,
		MaxBytes: s.cfg.MaxBytes, MaxEvents: s.cfg.MaxEvents,
		Failing: s.trouble.lasts, LastErrorAt: s.trouble.at, Salvages: s.salvages,
	}
	if s.kept.Events > 0 {
		st.OldestAge = max(s.cfg.Now().Sub(s.oldest), 0)
	}
	if s.trouble.err != nil {
		st.LastError = s.trouble.err.Error()
	}
	if s.broken != nil {
		st.Broken = s.broken.Error()
	}
	if info, err := os.Stat(s.cfg.Path); err == nil {
		st.FileBytes = info.Size()
	}
	return st
}
