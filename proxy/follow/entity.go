package follow

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// entity is one that is followed.
type entity struct {
	name   string
	cfg    Config
	state  atomic.Pointer[state]
	sent   atomic.Pointer[time.Time] // when the last reading that succeeded was, or the following began
	failed atomic.Pointer[string]    // why the last one did not

	waiting, waited, gaveUp atomic.Int64

	stop     context.CancelFunc
	watching sync.WaitGroup
}

// state is a record as it was read. It does not change.
type state struct {
	record  ownership.Record
	known   bool          // the record was read
	since   time.Time     // when its hold was first seen
	changed chan struct{} // closed when another state is in force
}

func newEntity(name string, cfg Config) *entity {
	e, now := &entity{name: name, cfg: cfg}, time.Now()
	e.sent.Store(&now)
	e.state.Store(&state{record: ownership.Record{Entity: name}, changed: make(chan struct{})})
	return e
}

func (e *entity) start(ctx context.Context, table *ownership.Table) {
	ctx, e.stop = context.WithCancel(ctx)
	e.watching.Go(func() { e.watch(ctx, table) })
}

// end ends the watching, and the hold for those who wait.
func (e *entity) end() {
	e.stop()
	e.watching.Wait()
	e.put(ownership.Record{Entity: e.name})
}

func (e *entity) watch(ctx context.Context, table *ownership.Table) {
	for {
		pause := e.cfg.Every
		if e.state.Load().record.Changing() {
			pause = e.cfg.EveryChanging
		}
		if (backoff.Backoff{Min: pause}).Wait(ctx, 0) != nil {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, readTimeout)
		err := e.read(attempt, table)
		cancel()
		if ctx.Err() == nil {
			e.tell(ctx, err)
		}
	}
}

// tell logs that the record cannot be read, and that it can be again.
func (e *entity) tell(ctx context.Context, err error) {
	before := e.failed.Load()
	switch {
	case err != nil:
		text := err.Error()
		e.failed.Store(&text)
		if stays := "the last one known stays in force"; before == nil {
			if !e.state.Load().known {
				stays = "writes of its routes are refused until it can"
			}
			e.cfg.Log.WarnContext(ctx, "the owner of an entity cannot be read, "+stays, "entity", e.name, "error", text)
		}
	case before != nil:
		e.failed.Store(nil)
		e.cfg.Log.InfoContext(ctx, "the owner of an entity can be read again", "entity", e.name)
	}
}

// read reads the record once.
func (e *entity) read(ctx context.Context, table *ownership.Table) error {
	sent, before := time.Now(), e.state.Load().record
	rec, err := table.Load(ctx, e.name)
	if err != nil {
		return err
	}
	if rec.Revision < before.Revision {
		return fmt.Errorf("revision %d of %s after %d: the control table was replaced; start the proxy again where that was meant",
			rec.Revision, e.name, before.Revision)
	}
	if e.sent.Store(&sent); rec.Revision != before.Revision || before.Epoch == 0 {
		e.put(rec)
		if rec.Owner != before.Owner || rec.Phase != before.Phase || rec.Hold != before.Hold {
			e.cfg.Log.InfoContext(ctx, "an entity's owner, phase or hold", "entity", e.name, "owner", rec.Owner, "phase", rec.Phase, "held", rec.Hold)
		}
	}
	return nil
}

// put puts a record in force, and wakes those who wait for one.
func (e *entity) put(rec ownership.Record) {
	next := &state{record: rec, known: true, changed: make(chan struct{})}
	before := e.state.Load()
	if rec.Hold {
		if next.since = before.since; !before.record.Hold || rec.Epoch != before.record.Epoch {
			next.since = time.Now()
		}
	}
	e.state.Store(next)
	close(before.changed)
}

// heldFor is how long writes wait if nothing new is read; not above zero: they do not. Writes of
// an entity that is not known yet go nowhere.
func (e *entity) heldFor(s *state, now time.Time) time.Duration {
	switch {
	case !s.known:
		return e.cfg.MaxStale
	case !s.record.Hold:
		return 0
	}
	return min(s.record.HoldLeft(now, s.since), e.sent.Load().Add(e.cfg.MaxStale).Sub(now))
}
