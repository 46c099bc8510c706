// Package written remembers how far each subject's own writes are on the stream, so that its
// reads can be asked to contain them, whichever proxy they come to.
//
//   - [Positions] has them in the process. That suffices where a subject's requests come to one
//     proxy.
//   - [Clients] gives the position to the client, signed, in a cookie or a header, and reads it
//     from what the client sends back. It costs no store, but changes answers: a route file
//     says which.
//   - [Table] keeps it in DynamoDB, by subject, for clients that keep nothing.
//
// Of all of them the latest position counts.
//
// # Caveats
//
//   - What is remembered is a help, and no promise: a subject that fell out of the bounds, or
//     whose position could not be stored or read in time, may read from a read model that has
//     not caught up with its last write. That is counted, and delays a request by 100 ms at most.
//   - Positions of different streams cannot be compared. A subject's writes must be on one.
package written

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/banyan-fig/banyan/events"
)

// maxSubjects bounds what is remembered. A subject that falls out, the least recently
// active first, may read from a read model that has not caught up with its last write.
const maxSubjects = 200_000

// maxReaders bounds the readers that are remembered for each write.
const maxReaders = 64

// Positions has the position of each subject's last write, and which readers have shown that
// they applied it. It is safe for concurrent use.
type Positions struct {
	table *Table
	stats counters

	mu        sync.Mutex // looking and adding is one step: the newest must stay
	bySubject *simplelru.LRU[string, last]
}

// last is a subject's last write.
type last struct {
	at    events.Position
	shown []string // readers that have it
}

// counters of what went wrong.
type counters struct{ slow, failed, skipped, refused, malformed atomic.Int64 }

// Stats count what went wrong since the process began.
type Stats struct {
	Slow    int64 `json:"tableSlow"`    // no answer of the table in time
	Failed  int64 `json:"tableFailed"`  // it refused, or could not be reached
	Skipped int64 `json:"tableSkipped"` // it was not asked, because it did not answer before
	Refused int64 `json:"refused"`      // positions from clients that were not signed for their subject

	Malformed int64 `json:"malformed"` // Banyan-Written of answers that is no position
}

// New has none. A nil table leaves other processes out.
func New(table *Table) *Positions {
	c, err := simplelru.NewLRU[string, last](maxSubjects, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	p := &Positions{table: table, bySubject: c}
	if table != nil {
		table.stats = &p.stats
	}
	return p
}

// Stats returns the counters.
func (w *Positions) Stats() Stats {
	c := &w.stats
	return Stats{c.slow.Load(), c.failed.Load(), c.skipped.Load(), c.refused.Load(), c.malformed.Load()}
}

var missedFigure = prometheus.NewDesc("banyan_proxy_positions_missed_total",
	"Positions of subjects' last writes that could not be stored or read in the table, "+
		"that a client sent and that were not its own, or that an upstream gave and that are none, by why.",
	[]string{"why"}, nil)

// Describe implements [prometheus.Collector].
func (w *Positions) Describe(to chan<- *prometheus.Desc) { to <- missedFigure }

// Collect implements [prometheus.Collector].
func (w *Positions) Collect(to chan<- prometheus.Metric) {
	s := w.Stats()
	for why, n := range map[string]int64{"slow": s.Slow, "failed": s.Failed, "skipped": s.Skipped, "refused": s.Refused, "malformed": s.Malformed} {
		to <- prometheus.MustNewConstMetric(missedFigure, prometheus.CounterValue, float64(n), why)
	}
}

// Parse reads the position that an upstream says it wrote; what is none is counted.
func (w *Positions) Parse(text string) events.Position {
	at, err := events.ParsePosition(text)
	if err != nil {
		w.stats.malformed.Add(1)
	}
	return at
}

// Remember keeps the position of a write, here and in the table, unless a later one is known.
// It does nothing for nobody, or without a position.
func (w *Positions) Remember(ctx context.Context, subject string, at events.Position) {
	if subject == "" || at.IsZero() {
		return
	}
	w.learn(subject, at)
	if w.table != nil {
		w.table.put(ctx, subject, at)
	}
}

func (w *Positions) learn(subject string, at events.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.bySubject.Peek(subject); !ok || old.at.Before(at) {
		w.bySubject.Add(subject, last{at: at})
	}
}

// Pending is what a reader must have applied for the subject, "" for nothing: the latest of
// what is known here, in the table, and to the client. Different readers catch up at
// different times.
func (w *Positions) Pending(ctx context.Context, subject, reader string, clients events.Position) string {
	if subject == "" {
		return ""
	}
	if !clients.IsZero() {
		w.learn(subject, clients)
	}
	if w.table != nil {
		if at := w.table.get(ctx, subject); !at.IsZero() {
			w.learn(subject, at)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.bySubject.Get(subject)
	if !ok || slices.Contains(l.shown, reader) {
		return ""
	}
	return l.at.String()
}

// CaughtUp says that a reader has shown the position, unless another write came meanwhile.
func (w *Positions) CaughtUp(subject, reader, position string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.bySubject.Peek(subject)
	if ok && l.at.String() == position && len(l.shown) < maxReaders && !slices.Contains(l.shown, reader) {
		l.shown = append(slices.Clip(l.shown), reader)
		w.bySubject.Add(subject, l)
	}
}
