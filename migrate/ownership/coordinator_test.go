package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// publicName is what the collection is called at first; later it is a view.
const publicName = "users"

// database is a model of a store with a fence.
type database struct {
	fenced bool
	kept   map[int]bool
}

// collection is a model of one in MongoDB: it has one name at a time, and views stand,
// or are about to stand, under those that it had.
type collection struct {
	database
	name   string
	views  map[string]bool
	strays map[int]bool
}

// rename does what renameCollection does: nothing, unless it finds the collection.
func (c *collection) rename(m ownership.Move) {
	if c.name == m.From && !c.views[m.To] {
		c.name = m.To
	}
}

// occupy puts views under the names that the collection had.
func (c *collection) occupy(generations int64) {
	for g := int64(0); g <= generations; g++ {
		if name := nameOf(g); name != c.name {
			c.views[name] = true
		}
	}
}

func nameOf(g int64) string {
	if g == 0 {
		return publicName
	}
	return fmt.Sprintf("%s__banyan_g%d", publicName, g)
}

// write does what the store of a service does: it names the UUID that it was granted,
// and so is refused where the collection is not, by a view as well as by a vacant name.
func (w *world) write(g ownership.Grant) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept, refused := w.dynamo.kept, w.dynamo.fenced
	if g.Owner == ownership.MongoDB {
		name := g.Collection
		if name == "" {
			name = publicName
		}
		kept, refused = w.mongo.kept, w.mongo.fenced || w.mongo.name != name
		if refused && g.CollectionUUID == "" && !w.mongo.views[name] {
			kept, refused = w.mongo.strays, false
		}
	}
	if refused {
		return 0, fmt.Errorf("%+v: %w", g, ownership.ErrFenced)
	}
	w.next++
	kept[w.next] = true
	return w.next, nil
}

// probe fails now and then, as long as a right is missing.
func (w *world) probe() func(context.Context, string) error {
	var mu sync.Mutex
	rng := w.rng()
	return func(context.Context, string) error {
		mu.Lock()
		defer mu.Unlock()
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		if rng.IntN(8) == 0 {
			return errors.New("not authorized")
		}
		return nil
	}
}

// errDied ends a coordinator at the step after which it died.
var errDied = errors.New("the coordinator died")

// coordinator is one run of a command: it may die once it has done a step.
type coordinator struct {
	*world
	rec    ownership.Record
	diesAt string
	rng    *rand.Rand
}

var deadlySteps = []string{"announced", "held", "sent", "renamed", "occupied", "copied", "switched", "claimed", "", "", ""}

// coordinate has coordinators do one thing: encapsulate, switch to DynamoDB or back. If
// one dies, others finish or undo what it left, and may die, too.
func (w *world) coordinate(rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for {
		c := &coordinator{world: w, rng: rng, diesAt: deadlySteps[rng.IntN(len(deadlySteps))]}
		c.rec = must(w.table.Load(ctx, entity))(w.t)
		var err error
		switch left := c.rec.Move != nil || c.rec.Hold; {
		case left:
			err = c.recoverLeft(ctx)
		case c.rec.Owner == ownership.DynamoDB:
			err = c.switchBack(ctx)
		default:
			err = c.moveAndSwitch(ctx)
		}
		if errors.Is(err, ownership.ErrProbeFailed) {
			continue // announced, and not sent: undone by the next
		}
		if !errors.Is(err, errDied) {
			if err != nil {
				w.t.Errorf("the coordinator failed: %v", err)
			}
			return
		}
		w.deaths[c.diesAt]++
		time.Sleep(time.Duration(rng.IntN(12_000)) * time.Millisecond) // until somebody looks
	}
}

// did ends a step.
func (c *coordinator) did(step string) error {
	if step != "" && c.diesAt == step {
		return errDied
	}
	return nil
}

// change changes the record, and waits until all have acknowledged it.
func (c *coordinator) change(ctx context.Context, step string, change func(*ownership.Record)) error {
	next, err := c.table.Update(ctx, c.rec, change)
	if err != nil {
		return err
	}
	c.rec = next
	if err := c.did(step); err != nil {
		return err
	}
	return c.table.AwaitAck(ctx, entity, next.Revision)
}

func (c *coordinator) grant() ownership.Grant {
	return ownership.Grant{Owner: c.rec.Owner, Epoch: c.rec.Epoch, Collection: c.rec.Collection, CollectionUUID: c.rec.CollectionUUID}
}

// noteHeld notes that no write may be admitted any more under the present grant.
func (c *coordinator) noteHeld() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heldSince[c.grant()] = time.Now()
}

func (w *world) locked(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// moveAndSwitch encapsulates at first, and later makes DynamoDB the owner.
func (c *coordinator) moveAndSwitch(ctx context.Context) error {
	first := c.rec.Collection == ""
	var from string
	c.locked(func() { from = c.mongo.name })
	err := c.change(ctx, "announced", func(r *ownership.Record) {
		r.Generation++
		r.Move = move(from, nameOf(r.Generation))
	})
	if err != nil {
		return err
	}
	err = c.change(ctx, "held", func(r *ownership.Record) { r.Hold, r.HoldUntil = true, time.Now().Add(time.Second) })
	if err != nil {
		return err
	}
	c.noteHeld()
	if err := c.fence(); err != nil {
		return err
	}
	if first {
		return c.change(ctx, "", adopted(ownership.Encapsulated, c.rec))
	}
	c.locked(func() { c.copyTo(&c.dynamo) })
	if err := c.did("copied"); err != nil {
		return err
	}
	return c.switchAndRelease(ctx, func(r *ownership.Record) {
		adopted(ownership.Switched, c.rec)(r)
		r.Owner, r.Epoch, r.Hold = ownership.DynamoDB, r.Epoch+1, true
	})
}

// adopted makes the move's name the members' own.
func adopted(phase ownership.Phase, rec ownership.Record) func(*ownership.Record) {
	return func(r *ownership.Record) {
		r.Phase, r.Collection, r.CollectionUUID, r.Move, r.Hold = phase, rec.Move.To, uuidA, nil, false
	}
}

// fence renames and occupies. A coordinator that dies once it has sent the rename does
// not know when that arrives.
func (c *coordinator) fence() error {
	sent := *c.rec.Move
	if c.diesAt == "sent" {
		time.AfterFunc(time.Duration(c.rng.IntN(15_000))*time.Millisecond, func() { c.locked(func() { c.mongo.rename(sent) }) })
		return errDied
	}
	time.Sleep(30 * time.Millisecond)
	c.locked(func() { c.mongo.rename(sent) })
	if err := c.did("renamed"); err != nil {
		return err
	}
	time.Sleep(30 * time.Millisecond)
	c.locked(func() { c.mongo.occupy(c.rec.Generation) })
	return c.did("occupied")
}

// copyTo is the drain: the other store has what this one has, and is open.
func (w *world) copyTo(to *database) {
	for id := range w.mongo.kept {
		to.kept[id] = true
	}
	for id := range w.dynamo.kept {
		to.kept[id] = true
	}
	to.fenced = false
}

func (c *coordinator) switchAndRelease(ctx context.Context, change func(*ownership.Record)) error {
	if err := c.change(ctx, "switched", change); err != nil {
		return err
	}
	return c.release(ctx)
}

// release ends the hold once nobody can read from the old store any more.
func (c *coordinator) release(ctx context.Context) error {
	if err := c.table.AwaitAck(ctx, entity, c.rec.Revision); err != nil {
		return err
	}
	c.locked(func() { c.moved[c.rec.Epoch-1] = time.Now() })
	_, err := c.table.Update(ctx, c.rec, func(r *ownership.Record) { r.Hold = false })
	return err
}

// switchBack makes MongoDB the owner again, under the name that it has.
func (c *coordinator) switchBack(ctx context.Context) error {
	err := c.change(ctx, "held", func(r *ownership.Record) {
		r.Hold, r.HoldUntil, r.Phase = true, time.Time{}, ownership.RollingBack
	})
	if err != nil {
		return err
	}
	c.noteHeld()
	c.locked(func() { c.dynamo.fenced = true; c.copyTo(&c.mongo.database) })
	return c.switchAndRelease(ctx, func(r *ownership.Record) {
		r.Owner, r.Epoch, r.Phase = ownership.MongoDB, r.Epoch+1, ownership.Shadowing
	})
}

// recoverLeft finishes or undoes what a coordinator left when it died.
func (c *coordinator) recoverLeft(ctx context.Context) error {
	switch {
	case c.rec.Move == nil && c.rec.Phase == ownership.RollingBack:
		c.locked(func() { c.dynamo.fenced = false; delete(c.heldSince, c.grant()) })
		return c.change(ctx, "", func(r *ownership.Record) { r.Hold, r.Phase = false, ownership.Switched })
	case c.rec.Move == nil: // the owner has changed: forwards
		return c.release(ctx)
	case !c.rec.Hold: // nothing was sent
		return c.change(ctx, "", func(r *ownership.Record) { r.Move = nil })
	}
	time.Sleep(time.Until(c.rec.HoldUntil))
	err := c.change(ctx, "claimed", func(r *ownership.Record) {
		r.Generation++
		r.Move = move(r.Move.To, nameOf(r.Generation))
	})
	if err != nil {
		return err
	}
	c.noteHeld()
	c.locked(func() {
		c.mongo.rename(ownership.Move{From: c.mongo.name, To: c.rec.Move.To}) // wherever it is
		c.mongo.occupy(c.rec.Generation)
	})
	return c.change(ctx, "", adopted(ownership.Shadowing, c.rec))
}

func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Error(errors.Join(errors.New("the coordinator failed"), err))
		}
		return v
	}
}
