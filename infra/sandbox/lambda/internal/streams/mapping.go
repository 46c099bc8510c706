package streams

import (
	"context"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Config is what a mapping needs.
type Config struct {
	Source      Source
	Invoker     Invoker
	Destination Destination // may be nil
	Pace        Pace
	Status      *Status
}

// Mapping reads a stream and remembers how far it came, so that it can be run,
// stopped and run again with other settings. Run must not be called twice at
// once.
type Mapping struct {
	cfg    Config
	since  time.Time
	shards map[string]*shard
	order  []string // of their first sight
	listed bool
}

// New returns a mapping that has not begun to read. Its time of creation stands
// in for LATEST where a shard's first iterator was lost.
func New(cfg Config) *Mapping {
	return &Mapping{cfg: cfg, since: time.Now(), shards: map[string]*shard{}}
}

// Run reads until the context ends, and returns when no invocation is under
// way any more. It never gives up: what goes wrong is in the status, and is
// tried again.
func (m *Mapping) Run(ctx context.Context, s Settings) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan string)
	running := map[string]bool{}
	for failures := 0; ; {
		if err := m.discover(ctx, s); err != nil {
			m.cfg.Status.problem(err.Error())
			if backoff.Sleep(ctx, m.cfg.Pace.pause(failures)) != nil {
				return
			}
			failures++
			continue
		}
		failures = 0
		var begun sync.WaitGroup
		for _, sh := range m.readable(running) {
			running[sh.id] = true
			begun.Add(1)
			wg.Go(func() { sh.run(ctx, m.cfg, s, begun.Done, ended) })
		}
		begun.Wait()
		m.cfg.Status.begin()
		select {
		case id := <-ended:
			delete(running, id)
		case <-ctx.Done():
			return
		}
	}
}

// discover learns of shards not seen before. The shards there are at the start
// begin where the mapping says; their children, which come from a later
// reshard, begin at their beginning, so that nothing between is missed.
func (m *Mapping) discover(ctx context.Context, s Settings) error {
	found, err := m.cfg.Source.Shards(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		if _, known := m.shards[f.ID]; known {
			continue
		}
		at := s.Start
		if m.listed {
			at = Position{Start: TrimHorizon}
		}
		sh := &shard{id: f.ID, parents: f.Parents, start: at, since: m.since}
		// A shard that was closed before has nothing to offer to LATEST.
		sh.finished = !m.listed && f.Closed && s.Start.Start == Latest
		m.shards[f.ID] = sh
		m.order = append(m.order, f.ID)
	}
	m.listed = true
	return nil
}

// readable returns the shards that may be read: not finished, and their
// parents finished or no longer there.
func (m *Mapping) readable(running map[string]bool) []*shard {
	var out []*shard
	for _, id := range m.order {
		sh := m.shards[id]
		if !sh.isFinished() && !running[id] && m.parentsFinished(sh) {
			out = append(out, sh)
		}
	}
	return out
}

func (m *Mapping) parentsFinished(sh *shard) bool {
	for _, p := range sh.parents {
		if parent, known := m.shards[p]; known && !parent.isFinished() {
			return false
		}
	}
	return true
}
