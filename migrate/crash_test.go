package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// shadowing brings a small world to the point where it can be cut over.
func shadowing(t *testing.T, users int) *world {
	t.Helper()
	w := newWorld(t)
	w.seed(users)
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	return w
}

// afterACrash is a hold for cut-overs that crash: the next process waits for as
// long before it undoes.
const afterACrash = 1500 * time.Millisecond

// mustDie runs a verb by a process that dies within, once more with more time where a busy
// machine has undone it before.
func (w *world) mustDie(choose func() func(linktest.Command) linktest.Fate, verb func(context.Context, *migrate.Engine) error) {
	w.t.Helper()
	var err error
	for range 8 {
		l := &linktest.Link{Choose: choose()}
		if err = verb(l.Context(w.ctx), w.process(l)); l.Killed() {
			return
		}
		w.plan.Budgets.Hold = min(2*w.plan.Budgets.Hold, longHold)
	}
	w.t.Fatalf("it was not killed: %v", err)
}

// cutOver tries with more and more time while that was too short, as an operator
// would on a slow machine.
func (w *world) cutOver() (control.Switch, error) {
	w.t.Helper()
	return w.changeOwner((*migrate.Engine).Cutover)
}

func (w *world) changeOwner(change func(*migrate.Engine, context.Context, cutover.Options) (control.Switch, error)) (sum control.Switch, err error) {
	w.t.Helper()
	hold := w.plan.Budgets.Hold
	for range 8 {
		sum, err = change(w.engine(func(c *migrate.Config) {
			own := *w.plan
			own.Budgets.Hold = hold
			c.Plan = &own
		}), w.ctx, cutover.Options{NoMembers: true})
		if !errors.Is(err, cutover.ErrUndone) && !errors.Is(err, worker.ErrLeaseLost) && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
		hold = min(2*hold, longHold)
	}
	return sum, err
}

func (w *world) verified() control.Verification {
	w.t.Helper()
	v, err := w.engine().Verify(w.ctx, verify.Options{Report: func(m side.Mismatch) { w.t.Errorf("%+v", m) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// anyName is the probe of a member that may use any name.
func anyName(context.Context, string) error { return nil }

// is reports whether a command is a change of the ownership record, of the changes or of a
// range, or says that one is compared, or has the name.
func is(c linktest.Command, name string) bool {
	switch name {
	case "owner", "range", "changes":
		return c.Name == "PutItem" && strings.Contains(string(c.Body), `{"S":"`+name)
	case "compared":
		return is(c, "range") && strings.Contains(string(c.Body), `"found":`)
	}
	return c.Name == name
}

// at lets the nth command of a name have a fate, once.
func at(name string, nth int, fate linktest.Fate) func(linktest.Command) linktest.Fate {
	var seen atomic.Int64
	return func(c linktest.Command) linktest.Fate {
		if is(c, name) && seen.Add(1) == int64(nth) {
			return fate
		}
		return linktest.Deliver
	}
}

// fates are what can happen to a command besides its being delivered.
var fates = map[string]linktest.Fate{"killed before": linktest.KillBefore, "killed after": linktest.KillAfter, "lost": linktest.Lose,
	"late": linktest.Late, "repeated": linktest.Repeat}

// everyFate runs a test for every fate of every command of a verb.
// A command whose name ends in "!" is not repeated: what gives the public name back is
// harmless late, since its connection is seen, and comes only once over one connection.
func everyFate(t *testing.T, commands []string, test func(t *testing.T, l *linktest.Link)) {
	nth := map[string]int{}
	drawn, i := matrix.Some(1, 20), -1
	for _, command := range commands {
		name := strings.TrimSuffix(command, "!")
		nth[name]++
		n := nth[name]
		for what, fate := range fates {
			if name != command && fate == linktest.Repeat {
				continue
			}
			i++
			t.Run(fmt.Sprintf("%s %d %s", name, n, what), func(t *testing.T) {
				drawn.Skip(t, i)
				test(t, &linktest.Link{Choose: at(name, n, fate), Delay: 400 * time.Millisecond})
			})
		}
	}
}

// Whatever becomes of any command of a cut-over, the same verb called again ends it: the
// owner is DynamoDB, and late commands do no harm.
func TestACutoverWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	// announce, hold, rename, view, barrier, switch, release
	everyFate(t, []string{"owner", "owner", "renameCollection", "create", "owner", "owner"}, func(t *testing.T, l *linktest.Link) {
		w := shadowing(t, 40)
		w.plan.Budgets.Hold = afterACrash
		_, _ = w.process(l).Cutover(l.Context(w.ctx), cutover.Options{NoMembers: true}) // it may end in any way
		sum, err := w.cutOver()
		if err != nil || sum.Step != cutover.StepDone {
			t.Fatalf("%+v %v", sum, err)
		}
		l.AwaitLate()
		if r := w.phase(); r.Owner != ownership.DynamoDB || r.Epoch != 2 || r.Hold || r.Move != nil {
			t.Fatalf("%+v", r)
		}
		w.mustStand()
		w.mustBeEqual("users")
	})
}

// The same of an undo: by the cut-over itself, and by another process.
func TestAnUndoWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	everyFate(t, []string{"renameCollection", "renameCollection", "create", "create", "owner", "owner", "owner", "owner"},
		func(t *testing.T, l *linktest.Link) {
			w := shadowing(t, 40)
			w.plan.Budgets.Hold = afterACrash
			_, err := w.process(l).Cutover(l.Context(w.ctx), cutover.Options{NoMembers: true, Step: func(step string) {
				if step == cutover.StepDrain { // the tail will not be equal
					w.put("users", stamped(5, "tampered", maxStamp))
					if _, err := w.db.Collection("users__banyan_g2").UpdateByID(w.ctx, userID(5), rename("changed")); err != nil && !l.Killed() {
						t.Error(err)
					}
				}
			}})
			if err == nil {
				t.Fatal("it switched with a document that differs")
			}
			run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
			waitFor(t, func() bool { r := w.phase(); return r.Phase == ownership.Shadowing && !r.Hold && r.Move == nil })
			l.AwaitLate()
			w.follow()
			if _, err := w.users.InsertOne(w.ctx, user(5000)); err != nil {
				t.Error("MongoDB does not accept writes again: ", err)
			}
			waitFor(t, func() bool { return len(w.astray()) == 0 }) // the run mends
			if err := run(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if n, err := w.users.CountDocuments(w.ctx, bson.D{}); err != nil || n != 41 {
				t.Errorf("%d documents, %v", n, err)
			}
		})
}

// Whatever becomes of any command of an encapsulation, it ends when it is called again, or
// the name is given back.
func TestAnEncapsulationWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"encapsulate", "abandon"} {
		t.Run(end, func(t *testing.T) {
			everyFate(t, []string{"owner", "owner", "renameCollection!", "create", "owner"}, func(t *testing.T, l *linktest.Link) {
				w := newWorld(t)
				w.seed(20)
				w.plan.Budgets.Hold = afterACrash
				_, _ = w.process(l).Encapsulate(l.Context(w.ctx), willing) // it may end in any way
				if end == "abandon" {
					if _, err := w.engine().Abandon(w.ctx); err != nil {
						t.Fatal(err)
					}
					l.AwaitLate()
					w.mustBeHome(20)
				}
				w.encapsulate()
				l.AwaitLate()
				w.mustStand()
				if n, err := w.users.CountDocuments(w.ctx, bson.D{}); err != nil || n != 20 {
					t.Errorf("%d documents, %v", n, err)
				}
			})
		})
	}
}

// Whatever becomes of any command of an abandonment, it ends when it is called again: a
// drop of the view that arrives late does not drop the collection.
func TestAnAbandonmentWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	everyFate(t, []string{"owner", "drop!", "renameCollection!", "owner", "drop"}, func(t *testing.T, l *linktest.Link) {
		w := shadowing(t, 20)
		w.plan.Budgets.Hold = afterACrash
		_, _ = w.process(l).Abandon(l.Context(w.ctx)) // it may end in any way
		if _, err := w.engine().Abandon(w.ctx); err != nil {
			t.Fatal(err)
		}
		l.AwaitLate()
		w.mustBeHome(20)
		if r := w.phase(); r.Phase != ownership.Abandoned || r.Hold || r.Move != nil || r.Collection != "" {
			t.Errorf("%+v", r)
		}
	})
}

// mustStand checks that views occupy all vacated names, and that nobody wrote to one.
func (w *world) mustStand() {
	w.t.Helper()
	for _, p := range w.astray() {
		w.t.Error(p)
	}
}

// astray are the problems of the names.
func (w *world) astray() (all []string) {
	w.t.Helper()
	st, err := w.engine().Status(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range st.Problems {
		if strings.Contains(p, "name") && strings.Contains(p, "vacant") || strings.Contains(p, "stands under") || strings.Contains(p, "lead") ||
			strings.Contains(p, "is called") || strings.Contains(p, "set aside") {
			all = append(all, p)
		}
	}
	return all
}

// mustBeHome checks that the collection has its public name, with all its documents, and
// accepts writes.
func (w *world) mustBeHome(documents int64) {
	w.t.Helper()
	users := w.db.Collection("users")
	if n, err := users.CountDocuments(w.ctx, bson.D{}); err != nil || n != documents {
		w.t.Errorf("%d documents, %v", n, err)
	}
	if _, err := users.UpdateByID(w.ctx, userID(1), rename("at home")); err != nil {
		w.t.Error("MongoDB does not accept writes again: ", err)
	}
}

// slowMember is an instance within a write, which ends with finish, or with the test.
func (w *world) slowMember() (m *ownership.Member, finish func()) {
	w.t.Helper()
	m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", Probe: anyName})
	if err != nil {
		w.t.Fatal(err)
	}
	inside, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- m.Write(w.ctx, func(context.Context, ownership.Grant) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	finish = sync.OnceFunc(func() {
		close(end)
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(finish)
	return m, finish
}

func TestAnUndoneCutoverLeavesEverythingAsItWas(t *testing.T) {
	w := shadowing(t, 40)
	slow, finish := w.slowMember()
	w.plan.Budgets.Hold = 300 * time.Millisecond
	sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
	if !errors.Is(err, cutover.ErrUndone) || sum.Step != cutover.StepUndone {
		t.Fatalf("%+v %v", sum, err)
	}
	if r := w.phase(); r.Owner != ownership.MongoDB || r.Phase != ownership.Shadowing || r.Hold || r.Epoch != 1 {
		t.Fatalf("%+v", r)
	}
	w.follow()
	finish()
	if _, err := w.users.InsertOne(w.ctx, user(1000)); err != nil {
		t.Error("MongoDB does not take writes again: ", err)
	}
	w.plan.Budgets.Hold = longHold
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Error(err)
	}
	if err := slow.Leave(w.ctx); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// A lease is renewed by its holder only: processes that wait for the one of a
// dead process, and die while they wait, do not make it last longer.
func TestWaitingForALeaseDoesNotRenewIt(t *testing.T) {
	w := shadowing(t, 20)
	const lease = 1500 * time.Millisecond
	held := &linktest.Link{}
	holder := w.process(held, func(c *migrate.Config) { c.Lease = lease })
	killed := background(w.ctx, func(ctx context.Context) error { return holder.Run(ctx, migrate.RunOptions{}) })
	waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && st.Changes.Followed })
	held.Kill()
	if err := killed(); err == nil {
		t.Fatal("it was not killed")
	}
	patient := background(w.ctx, func(ctx context.Context) error {
		return w.engine(func(c *migrate.Config) { c.Lease = lease }).Run(ctx, migrate.RunOptions{})
	})
	for began := time.Now(); time.Since(began) < lease; {
		l := &linktest.Link{}
		waiter := w.process(l, func(c *migrate.Config) { c.Lease = time.Hour })
		stop := background(w.ctx, func(ctx context.Context) error { return waiter.Run(ctx, migrate.RunOptions{}) })
		waitFor(t, func() bool { return l.Sent() > 30 })
		l.Kill()
		_ = stop()
	}
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("after the lease")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		st, err := w.engine().Status(w.ctx)
		return err == nil && st.Changes.Followed && st.Changes.Events > 0
	})
	if err := patient(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
