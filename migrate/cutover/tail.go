package cutover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/source"
)

// maxTail bounds how many changed keys a cut-over keeps to compare again.
const maxTail = 200_000

// tailAwait is how long the source may hold back an empty answer.
const tailAwait = 150 * time.Millisecond

// tail collects the keys that changed since a verification, from a change stream of its
// own, and on the way back from the table's stream as well: so a change of owner that is
// killed has no state to restore.
type tail struct {
	e     *Cutover
	items *reverse.Tail // of the table; nil on the way forth
	token bson.Raw
	start stamp.ClusterTime
	place changes.Place

	mu       sync.Mutex
	keys     map[string]bson.RawValue
	barriers map[string]bool
	failed   error
	own      string // the name behind the fence, where this cut-over's own collMods are
	modified int    // collMods there
}

func (e *Cutover) newTail(v *control.Verification, d direction) (t *tail, err error) {
	t = &tail{e: e, token: bson.Raw(v.Token), start: v.AsOf,
		place: changes.Place{Names: e.Source.Names, Database: e.Source.DB.Name(), UUID: e.Source.UUID, Name: v.Collection},
		keys:  map[string]bson.RawValue{}, barriers: map[string]bool{}}
	if d == back {
		t.items, err = e.Reverse.Tail(v.Place)
	}
	return t, err
}

// whileCollecting runs fn while the keys are collected. The context of fn ends when that
// fails.
func (t *tail) whileCollecting(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var collecting sync.WaitGroup
	collect := func(from func(context.Context) error) {
		collecting.Go(func() {
			err := from(ctx)
			t.mu.Lock()
			if t.failed == nil {
				t.failed = err
			}
			t.mu.Unlock()
			cancel(err)
		})
	}
	collect(t.collectUntilDone)
	if t.items != nil {
		collect(t.items.Collect)
	}
	err := fn(ctx)
	cause := t.failure()
	cancel(nil)
	collecting.Wait()
	if err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// failure is why collecting has ended, nil while it goes on.
func (t *tail) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// collectUntilDone collects until ctx ends, from the place of the verification.
func (t *tail) collectUntilDone(ctx context.Context) error {
	for i := 0; ; i++ {
		err := t.collect(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(mongostream.Permanent(err), mongostream.ErrHistoryLost):
			return fmt.Errorf("compare what changed since the verification: %w; verify again", err)
		case retry.IsPermanent(err) || i >= retry.Attempts:
			return fmt.Errorf("compare what changed since the verification: %w", err)
		}
		if err := retry.Wait(ctx, i); err != nil {
			return err
		}
	}
}

var (
	errTailFull error = retry.Permanent(fmt.Sprintf("more than %d documents changed since; verify again, and cut over soon after", maxTail))
	errModified error = retry.Permanent("the collection's options were changed (collMod); verify again")
)

func (t *tail) collect(ctx context.Context) error {
	stream, err := changes.Stream(t.e.Source, "").Open(ctx, mongostream.Position{Token: t.token, Start: t.start.Timestamp()}, tailAwait)
	if err != nil {
		return err
	}
	defer stream.Close(ctx)
	for ctx.Err() == nil {
		c, err := stream.Next(ctx)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if err := t.recordChange(c); err != nil {
			return err
		}
		t.token = c.Token
	}
	return ctx.Err()
}

func (t *tail) recordChange(c *mongostream.Change) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case c.Collection == source.Barriers:
		if id, ok := c.ID().StringValueOK(); ok && c.Operation == "insert" {
			t.barriers[id] = true
		}
	case c.Operation == "modify" && t.place.Concerns(c):
		if c.Collection != t.own {
			return errModified
		}
		t.modified++
	case !c.IsOfDocument():
		_, err := t.place.Pass(*c)
		return err
	case t.place.Concerns(c) && !changes.OfOutbox(c, t.e.Plan.Outbox):
		t.keys[side.IDKey(c.ID())] = c.ID()
		if len(t.keys) > maxTail {
			return errTailFull
		}
	}
	return nil
}

// expectCollMods says that this cut-over changes the options of the collection under a name
// that it has just been given: they are counted.
func (t *tail) expectCollMods(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own = name
}

// collMods is how many there were behind the fence, up to where the tail has come.
func (t *tail) collMods() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.modified
}

// removeKeys returns the collected keys and starts a new collection.
func (t *tail) removeKeys() []bson.RawValue {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.items != nil {
		maps.Copy(t.keys, t.items.RemoveIDs())
	}
	ids := make([]bson.RawValue, 0, len(t.keys))
	for _, id := range t.keys {
		ids = append(ids, id)
	}
	t.keys = map[string]bson.RawValue{}
	return ids
}

// addKeys adds keys that have to be compared again.
func (t *tail) addKeys(ids []bson.RawValue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.keys[side.IDKey(id)] = id
	}
}

func (t *tail) hasPassed(barrier string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.barriers[barrier] {
		delete(t.barriers, barrier)
		return true
	}
	return false
}

// awaitBarrier returns when the tail has everything that MongoDB acknowledged before the
// call, and so has the table on the way forth; on the way back, the tail has everything that
// was carried back.
func (t *tail) awaitBarrier(ctx context.Context, poll time.Duration) error {
	return t.e.Barriers.With(ctx, func(id string) error {
		if t.items == nil {
			if _, err := t.e.Barriers.AwaitPassed(ctx, id, poll); err != nil {
				return err
			}
		}
		for !t.hasPassed(id) {
			if err := backoff.Sleep(ctx, poll); err != nil {
				return fmt.Errorf("wait until the tail has passed a barrier: %w", err)
			}
		}
		return t.awaitItems(ctx, poll)
	})
}

// awaitItems waits until the tail has what is in MongoDB of the table.
func (t *tail) awaitItems(ctx context.Context, poll time.Duration) error {
	if t.items == nil {
		return nil
	}
	place, err := t.e.Reverse.Place(ctx)
	if err != nil {
		return err
	}
	for {
		has, err := t.items.Has(place)
		if err != nil || has {
			return err
		}
		if err := backoff.Sleep(ctx, poll); err != nil {
			return fmt.Errorf("wait until the tail has read the table's stream: %w", err)
		}
	}
}
