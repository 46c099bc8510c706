package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// maxTail bounds how many changed keys a cut-over keeps to compare again.
const maxTail = 200_000

// tailAwait is how long the source may hold back an empty answer.
const tailAwait = 150 * time.Millisecond

// tail collects the keys that changed since a verification, from a change stream of its
// own: so a cut-over that is killed has no state to restore.
type tail struct {
	e        *Engine
	mu       sync.Mutex
	keys     map[string]bson.RawValue
	barriers map[string]bool
}

func (e *Engine) newTail() *tail {
	return &tail{e: e, keys: map[string]bson.RawValue{}, barriers: map[string]bool{}}
}

// follow collects until ctx ends, from the place where v stood.
func (t *tail) follow(ctx context.Context, v *Verification, epoch int64) error {
	token := bson.Raw(v.Token)
	for i := 0; ; i++ {
		err := t.collect(ctx, &token, v.AsOf, epoch)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(mongostream.Permanent(err), mongostream.ErrHistoryLost):
			return fmt.Errorf("compare what changed since the verification: %w; verify again", err)
		case retry.IsPermanent(err) || i >= retry.Attempts || errors.Is(err, errTailFull):
			return fmt.Errorf("compare what changed since the verification: %w", err)
		}
		if err := retry.Wait(ctx, i); err != nil {
			return err
		}
	}
}

var errTailFull = fmt.Errorf("more than %d documents changed since; verify again, and cut over soon after", maxTail)

func (t *tail) collect(ctx context.Context, token *bson.Raw, start stamp.ClusterTime, epoch int64) error {
	stream, err := t.e.changes(epoch, "").Open(ctx, mongostream.Position{Token: *token, Start: start.Timestamp()}, tailAwait)
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
		*token = c.Token
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
	case c.IsOfDocument():
		t.keys[source.IDKey(c.ID())] = c.ID()
		if len(t.keys) > maxTail {
			return errTailFull
		}
	}
	return nil
}

// removeKeys returns the collected keys and starts a new collection.
func (t *tail) removeKeys() []bson.RawValue {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := make([]bson.RawValue, 0, len(t.keys))
	for _, id := range t.keys {
		ids = append(ids, id)
	}
	t.keys = map[string]bson.RawValue{}
	return ids
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

// awaitBarrier returns when both the target and this tail have everything that was
// acknowledged before the call.
func (t *tail) awaitBarrier(ctx context.Context, epoch int64, poll time.Duration) error {
	return t.e.withBarrier(ctx, epoch, func(id string) error {
		if _, err := t.e.awaitBarrierPassed(ctx, id, poll); err != nil {
			return err
		}
		for !t.hasPassed(id) {
			if err := backoff.Sleep(ctx, poll); err != nil {
				return fmt.Errorf("wait until the tail has passed a barrier: %w", err)
			}
		}
		return nil
	})
}

// compare checks keys as they are now. Everything that was read has been
// applied, so a difference is a mismatch, unless the source changed in between.
func (t *tail) compare(ctx context.Context, ids []bson.RawValue, epoch int64) (bad []target.Mismatch, unstable []bson.RawValue, err error) {
	for len(ids) > 0 {
		n := min(len(ids), 500)
		b, u, err := t.e.compareNow(ctx, ids[:n], epoch)
		if err != nil {
			return nil, nil, err
		}
		bad, unstable, ids = append(bad, b...), append(unstable, u...), ids[n:]
	}
	return bad, unstable, nil
}
