package changes

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
)

// To is the side that changes are applied to.
type To interface {
	// Apply writes a version unless what stands there is newer. It fails with
	// side.ErrServiceOwned, side.ErrSameTime, and with a *side.Misfit for a document
	// that does not fit.
	Apply(ctx context.Context, v side.Version) error
}

// change is one change on its way to the other side.
type change struct {
	side.Version
	lookUp bool // the document is not known, but must be read
}

// appliers apply changes: in parallel across documents and serially for each. The changes
// of a document that wait for the one before are applied as one, which is the last of them:
// what the others said is gone in the source too, and so are the unique values that they
// held, since an entry names the holders that the items say. So a document may change faster
// than the other side answers. How many wait is bounded by the stream's window.
type appliers struct {
	apply   func(context.Context, *change) error
	lanes   []*lane
	stopped chan struct{} // closed when run has ended, with failure set
	failure error
}

// lane is what one applier has to do.
type lane struct {
	mu      sync.Mutex
	waiting []*pending
	byKey   map[string]*pending
	wake    chan struct{} // holds one element when something may wait
}

// pending are the changes of one document that wait.
type pending struct {
	key     string
	last    *change
	applied chan struct{} // closed once it is
}

func newAppliers(n int, apply func(context.Context, *change) error) *appliers {
	a := &appliers{apply: apply, stopped: make(chan struct{})}
	for range n {
		a.lanes = append(a.lanes, &lane{byKey: map[string]*pending{}, wake: make(chan struct{}, 1)})
	}
	return a
}

// enqueue hands a change to the applier of its document; ack waits until it, or a later one
// of the document, is applied. Those of one document must come in their order.
func (a *appliers) enqueue(c *change) (ack func(context.Context) error) {
	key := side.IDKey(c.ID)
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	p := a.lanes[h.Sum32()%uint32(len(a.lanes))].add(key, c)
	return func(ctx context.Context) error {
		select {
		case <-p.applied:
			return nil
		case <-a.stopped:
			return a.failure
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *lane) add(key string, c *change) *pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.byKey[key]
	if p == nil {
		p = &pending{key: key, applied: make(chan struct{})}
		l.byKey[key] = p
		l.waiting = append(l.waiting, p)
	}
	p.last = c
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return p
}

// next removes what has waited longest, nil for nothing.
func (l *lane) next() *pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil
	}
	p := l.waiting[0]
	l.waiting = l.waiting[1:]
	delete(l.byKey, p.key)
	return p
}

// run applies what is enqueued until ctx ends or a change cannot be applied. beside, if
// set, runs along, and ends it with its error.
func (a *appliers) run(ctx context.Context, beside func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	if beside != nil {
		g.Go(func() error { return beside(ctx) })
	}
	for _, l := range a.lanes {
		g.Go(func() error { return a.drain(ctx, l) })
	}
	a.failure = g.Wait()
	close(a.stopped)
	return a.failure
}

func (a *appliers) drain(ctx context.Context, l *lane) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wake:
		}
		for p := l.next(); p != nil; p = l.next() {
			if err := a.apply(ctx, p.last); err != nil {
				return err
			}
			close(p.applied)
		}
	}
}

// applyUntilDone retries while the stores fail for a time.
func (s *session) applyUntilDone(ctx context.Context, c *change) error {
	for i := 0; ; i++ {
		if err := s.mayWrite(); err != nil {
			return err
		}
		err := s.setAside(ctx, c.At, s.applyChange(ctx, c))
		if err == nil || retry.IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		s.Log.Warn("apply a change: failed, retrying", "document", codec.Show(c.ID), "error", err)
		if err := retry.Wait(ctx, min(i+3, 7)); err != nil {
			return err
		}
	}
}

// applyChange applies a change. The document's present state is applied instead where the
// stream did not carry it (a rename hides it from the server's lookup), where it does not
// fit, since a later event may have repaired or removed it, and where another change of
// the same transaction was applied before.
func (s *session) applyChange(ctx context.Context, c *change) error {
	if !c.lookUp {
		err := s.applyVersion(ctx, c.Version)
		if _, misfit := errors.AsType[*side.Misfit](err); !misfit && !errors.Is(err, side.ErrSameTime) {
			return err
		}
	}
	doc, err := s.current(ctx, c.ID)
	if deleted := c.Doc == nil && !c.lookUp; err != nil || doc == nil && !deleted {
		return err // without a document, a deletion is still to come
	}
	return s.applyVersion(ctx, side.Version{ID: c.ID, Doc: doc, At: c.At, Read: true})
}

// applyVersion applies a version unless the epoch has ended in which this side's documents
// were right. If another such has begun since, this session ends.
func (s *session) applyVersion(ctx context.Context, v side.Version) error {
	err := s.to.Apply(ctx, v)
	if !errors.Is(err, side.ErrServiceOwned) {
		return err
	}
	rec, loadErr := s.Owners.Load(ctx, s.Plan.Entity)
	switch {
	case loadErr != nil || rec.Epoch == s.row.Epoch:
		return err
	case rec.Owner == ownership.MongoDB:
		return worker.ErrLeaseLost
	}
	return nil
}
