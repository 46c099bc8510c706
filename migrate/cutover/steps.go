package cutover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/side"
)

// probeTimeout bounds the wait for the way back to carry a probe.
const probeTimeout = time.Minute

// probe has the way back carry a barrier: one that does not would be none.
func (c *attempt) probe(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := c.Reverse.Drain(within)
	if err != nil && ctx.Err() == nil {
		return c.refuse(" the way back has not carried a probe: %w", err)
	}
	if err != nil {
		return err
	}
	h, err := c.Reverse.Health(ctx)
	c.backLag = h.Lag
	if late := (reverse.Health{LateWrites: h.LateWrites}).Problems(); len(late) > 0 {
		return c.refuse(" %s", late[0])
	}
	if err == nil && h.Lag > c.Plan.Budgets.Lag {
		return c.refuse(" the way back lags by %s, allowed are %s: wait, or start more processes of `banyan-migrate run`",
			h.Lag.Round(time.Millisecond), c.Plan.Budgets.Lag)
	}
	return err
}

// preTail compares what changed since the verification until little is left, so that
// little remains to compare while writes are held.
func (c *attempt) preTail(ctx context.Context) error {
	if err := c.Owners.Sweep(ctx, c.Plan.Entity); err != nil { // a dead member would cost the hold a lease
		return err
	}
	if err := c.passOutbox(ctx); err != nil {
		return err
	}
	for range 20 {
		if err := c.probe(ctx); err != nil {
			return err
		}
		if err := c.tail.awaitBarrier(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		ids := c.tail.removeKeys()
		suspects, moving, err := c.compare(ctx, ids)
		if err != nil {
			return err
		}
		wrong, still, err := c.Verifier.Recheck(ctx, suspects)
		if err != nil {
			return err
		}
		if len(wrong) > 0 {
			return c.refuse(" document %s is %s (%s), and %d more: run `banyan-migrate repair`", wrong[0].ID,
				wrong[0].Kind, wrong[0].Detail, len(wrong)-1)
		}
		moving = append(moving, still...)
		c.sum.Compared += int64(len(ids) - len(moving))
		c.tail.addKeys(moving)
		if len(ids) <= c.Plan.Budgets.Tail {
			return nil
		}
	}
	return c.refuse(" documents change faster than they can be compared; try again at a quieter time, or raise budgets.tail")
}

// announce writes into the record to which name the collection moves. From their
// acknowledgement on, members have tried that name, and read the record several times as
// often, so that the hold, during which clients wait, is short. A transaction that has been
// open for long would hold the rename up, and everybody behind it: refused.
func (c *attempt) announce(ctx context.Context) error {
	g, err := c.gate(ctx, c.rec)
	if err != nil {
		return err
	}
	evidence, err := g.Look(ctx)
	if err != nil {
		return err
	}
	if all, _ := gate.Judge(evidence, evidence.Clients, c.Plan.Gate); len(all) > 0 {
		return c.refuse(" %s", all[0])
	}
	if err := c.noteOrder(ctx); err != nil {
		return err
	}
	if c.rec, err = c.Fence.Announce(ctx, c.rec, c.during); err != nil {
		return err
	}
	return c.confirmOrder(ctx)
}

func (c *attempt) hold(ctx context.Context) (err error) {
	c.rec, err = c.Fence.Hold(ctx, c.rec)
	return err
}

func (c *attempt) fence(ctx context.Context) (err error) {
	if c.rec, err = c.Fence.Raise(ctx, c.rec); err != nil || c.direction == back {
		return err
	}
	c.tail.expectCollMods(c.rec.Move.To)
	c.suspended, err = c.Fence.SuspendExpiry(ctx, c.rec.Move.To)
	return err
}

// drain waits until no events are left in the documents, then for a barrier written after
// the fence. A majority has it, and so the fence too: no change of primary takes that back.
func (c *attempt) drain(ctx context.Context) error {
	if err := c.emptyOutbox(ctx); err != nil {
		return err
	}
	return c.awaitBarrier(ctx)
}

func (c *attempt) awaitBarrier(ctx context.Context) error {
	return c.tail.awaitBarrier(ctx, 5*time.Millisecond)
}

// drainBack waits until everything that the members have written to the table is published
// and in MongoDB. None of them writes any more, and what is written under their epoch from now on
// is nobody's: it is carried before the fence, and behind it kept as a late write.
func (c *attempt) drainBack(ctx context.Context) error {
	c.tail.items.Pace.Hurry(true)
	beside, within := errgroup.WithContext(ctx)
	beside.Go(func() error { return c.emptyOutbox(within) })
	beside.Go(func() (err error) {
		c.tidyUp, err = c.Reverse.DrainInAHurry(within)
		return err
	})
	return beside.Wait()
}

// compareTailBack compares behind a barrier, which a majority has, and so the fence too.
func (c *attempt) compareTailBack(ctx context.Context) error {
	if err := c.awaitBarrier(ctx); err != nil {
		return err
	}
	return c.compareTail(ctx)
}

// compareTail compares what changed since the last pass before the hold. The fence
// stands, so nothing moves any more.
func (c *attempt) compareTail(ctx context.Context) error {
	ids := c.tail.removeKeys()
	c.sum.TailKeys = int64(len(ids))
	bad, moving, err := c.compare(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range moving {
		bad = append(bad, side.Mismatch{ID: codec.Show(id), Kind: "changing behind the fence"})
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d documents of the tail differ, %s (%s) among them", len(bad), bad[0].ID, bad[0].Kind)
	}
	return nil
}

// compare compares keys as they are now. Everything that was read has been applied, so a
// difference is a mismatch, unless the source changed in between.
func (c *attempt) compare(ctx context.Context, ids []bson.RawValue) (bad []side.Mismatch, moving []bson.RawValue, err error) {
	var mu sync.Mutex
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(maxComparisons)
	for page := range slices.Chunk(ids, comparePage) {
		g.Go(func() error {
			b, m, err := c.Verifier.CompareNow(within, page)
			mu.Lock()
			defer mu.Unlock()
			bad, moving = append(bad, b...), append(moving, m...)
			return err
		})
	}
	err = g.Wait()
	return bad, moving, err
}

// comparePage documents are compared together, and maxComparisons pages at once: clients may
// be waiting.
const (
	comparePage    = 50
	maxComparisons = 8
)

var errLate = errors.New("somebody wrote to the table, which is not the owner yet: look at it with `banyan-migrate strays`")

// confirm looks, behind the barrier, that the collection is where the fence moved it, that
// nobody wrote past the fence, or to the table before it is the owner, and that plan and
// tables are still those that were verified.
func (c *attempt) confirm(ctx context.Context) error {
	if err := c.tail.failure(); err != nil {
		return err
	}
	if c.tail.collMods() > c.suspended {
		return errModified
	}
	beside, within := errgroup.WithContext(ctx)
	beside.Go(func() error {
		if late, err := c.Reverse.CountLateWrites(within); err != nil || late != c.late {
			return errors.Join(err, errLate)
		}
		return nil
	})
	beside.Go(func() error { return c.Fence.Confirm(within, c.rec.Move.To, c.rec.Generation) })
	beside.Go(func() error {
		_, err := c.Binder.Check(within)
		return err
	})
	return beside.Wait()
}

// setPosition has the changes followed, from the next epoch on, from behind the fence: so
// nothing that was carried back is read as a change. It is not set where somebody else has
// changed the record, or the position, since.
func (c *attempt) setPosition(ctx context.Context) error {
	at, name, err := changes.Beginning(ctx, c.Source)
	if err != nil {
		return err
	}
	if name != c.rec.Move.To {
		return fmt.Errorf("%w: it is called %s", fence.ErrNotFenced, name)
	}
	row, err := c.Control.Changes(ctx)
	if err != nil {
		return err
	}
	now, err := c.Owners.Load(ctx, c.Plan.Entity)
	if err != nil {
		return err
	}
	if now.Revision != c.rec.Revision {
		return ownership.ErrConflict
	}
	row.Restart(c.rec.Epoch+1, at, name)
	return c.Control.Save(ctx, row)
}

// switchOwner changes the owner, provided that nobody has changed the record since. When
// its answer is lost, undo finds out whether it took effect.
func (c *attempt) switchOwner(ctx context.Context) error {
	next, err := c.Owners.Update(ctx, c.rec, func(r *ownership.Record) {
		r.Owner, r.Epoch, r.Phase = c.to, r.Epoch+1, c.after
		r.Collection, r.Move, r.HoldUntil, r.By = r.Move.To, nil, time.Time{}, ""
		r.Changed = &ownership.Change{Evidence: c.evidence()}
	})
	if err == nil {
		c.rec = next
	}
	return err
}

// evidence is what the change of owner relies on, for its history.
func (c *attempt) evidence() []string {
	all := []string{"verification " + c.sum.Verified, fmt.Sprintf("compared %d documents that changed since, and %d while writes were held",
		c.sum.Compared, c.sum.TailKeys), fmt.Sprintf("the way back carried a probe, and lagged by %s", c.backLag.Round(time.Millisecond)),
		"writes were held before the switch: " + c.sum.Took()}
	all = append(all, c.sum.Evidence...)
	for _, w := range c.sum.Warnings {
		all = append(all, "let pass: "+w)
	}
	return all
}

// release lets writes go on in the new owner once all members know of it. MongoDB, where it
// is that, deletes by its TTL indexes again.
func (c *attempt) release(ctx context.Context) error {
	since := c.rec.HeldAt
	var beside errgroup.Group // what does not need the other
	beside.Go(func() error {
		if err := c.Owners.AwaitAck(ctx, c.Plan.Entity, c.rec.Revision); err != nil {
			return fmt.Errorf("the owner has switched, but not every instance has acknowledged it; run `%s` again to finish: %w", c.command, err)
		}
		return nil
	})
	beside.Go(func() error {
		if c.to != ownership.MongoDB {
			return nil
		}
		if err := c.Fence.RestoreExpiry(ctx, c.rec.Collection); err != nil {
			return fmt.Errorf("MongoDB is the owner, but its TTL indexes are suspended still; run `%s` again to finish: %w", c.command, err)
		}
		return nil
	})
	if err := beside.Wait(); err != nil {
		return err
	}
	c.foresee(ctx, since)
	if err := c.endHold(ctx); err != nil {
		return fmt.Errorf("the owner has switched, but writes are still held; run `%s` again to finish: %w", c.command, err)
	}
	c.store(ctx, StepDone, since)
	return nil
}

// foreseeTimeout bounds what is stored while writes are held.
const foreseeTimeout = 200 * time.Millisecond

// foresee stores the summary as it will be if this process ends right behind the release:
// nobody could tell any more for how long writes were held.
func (c *attempt) foresee(ctx context.Context, heldAt time.Time) {
	ctx, cancel := context.WithTimeout(ctx, foreseeTimeout)
	defer cancel()
	c.store(ctx, StepRelease, heldAt)
}

// endHold ends the hold, unless another cut-over has done so at the same time or the
// record has changed in another way.
func (c *attempt) endHold(ctx context.Context) error {
	for mine := c.rec; c.rec.Hold && c.rec.Epoch == mine.Epoch && c.rec.Phase == mine.Phase; {
		next, err := c.Owners.Update(ctx, c.rec, func(r *ownership.Record) { r.Hold = false })
		if err == nil {
			c.rec = next
			return nil
		}
		if !errors.Is(err, ownership.ErrConflict) {
			return err
		}
		if c.rec, err = c.Owners.Load(ctx, c.Plan.Entity); err != nil {
			return err
		}
	}
	return nil
}
