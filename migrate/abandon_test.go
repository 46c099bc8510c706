package migrate_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// lateOnce is a link that holds the first command of a name back, and says so, until it is told
// to deliver it.
func lateOnce(t *testing.T, command string) (l *linktest.Link, sent <-chan struct{}, deliver func()) {
	held, chosen, first := make(chan struct{}), make(chan struct{}), at(command, 1, linktest.Late)
	deliver = sync.OnceFunc(func() { close(held) })
	t.Cleanup(deliver)
	return &linktest.Link{Held: held, Choose: func(c linktest.Command) linktest.Fate {
		fate := first(c)
		if fate == linktest.Late {
			close(chosen)
		}
		return fate
	}}, chosen, deliver
}

// A command of the encapsulation that is still on its way when the name is to be given
// back: it is waited for while writes go on.
func TestAnAbandonmentHoldsNoWritesWhileItWaitsForLateCommands(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	l, _, deliver := lateOnce(t, "create")
	if _, err := w.process(l).Encapsulate(l.Context(w.ctx), willing); err != nil {
		t.Fatal(err)
	}
	abandoned := background(w.ctx, func(ctx context.Context) error { _, err := w.engine().Abandon(ctx); return err })
	for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(5 * time.Millisecond) {
		if r := w.phase(); r.Hold {
			t.Fatalf("writes are held although a command is on its way: %+v", r)
		}
	}
	deliver()
	waitFor(t, func() bool { return w.phase().Phase == ownership.Abandoned && w.phase().Collection == "" })
	if err := abandoned(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.AwaitLate()
	w.mustBeHome(20)
}

// A command of the abandonment itself that does not arrive: writes wait for one turn, then
// the collection moves on, they go on, and the name is given back once it has arrived.
func TestAnAbandonmentReleasesWritesWhileACommandOfItsIsLate(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"drop", "renameCollection"} {
		t.Run(command, func(t *testing.T) {
			w := newWorld(t)
			w.seed(20)
			w.encapsulate()
			w.plan.Budgets.Hold = 500 * time.Millisecond
			l, sent, deliver := lateOnce(t, command)
			abandoned := background(w.ctx, func(ctx context.Context) error { _, err := w.process(l).Abandon(l.Context(ctx)); return err })
			<-sent
			waitFor(t, func() bool { return !w.phase().Hold })
			if r := w.phase(); r.Phase != ownership.Abandoned || r.Move != nil {
				t.Errorf("writes are not released while the command is late: %+v", r)
			}
			w.follow()
			if _, err := w.users.UpdateByID(w.ctx, userID(2), rename("meanwhile")); err != nil {
				t.Error("MongoDB does not accept writes: ", err)
			}
			if _, err := w.engine().Encapsulate(w.ctx, willing); !errors.Is(err, migrate.ErrRefused) {
				t.Errorf("encapsulated in the midst of being abandoned: %v", err)
			}
			deliver()
			waitFor(t, func() bool { return w.phase().Collection == "" && !w.phase().Hold })
			if err := abandoned(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			l.AwaitLate()
			w.mustBeHome(20)
		})
	}
}

// Many changes of owner were undone, each of which left a name: were writes held while the
// views under these are dropped, each turn that failed would leave one more to the next.
func TestAnAbandonmentDropsTheViewsUnderFormerNamesWhileWritesGoOn(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	n := names.Names("users")
	rec, err := w.owners.Update(w.ctx, w.phase(), func(r *ownership.Record) { r.Generation += 12 })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range n.Vacated(rec.Collection, rec.Generation)[1:] {
		if err := w.db.CreateView(w.ctx, name, rec.Collection, mongo.Pipeline{}); err != nil {
			t.Fatal(err)
		}
	}
	var drops, whileHeld atomic.Int64
	l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		name, _ := bson.Raw(c.Body).Lookup("drop").StringValueOK()
		if kind, _ := n.Parse(name); kind != names.Physical {
			return linktest.Deliver
		}
		if w.phase().Hold {
			whileHeld.Add(1)
		}
		if drops.Add(1)%2 == 0 {
			return linktest.Lose
		}
		return linktest.Deliver
	}}
	if _, err := w.process(l).Abandon(l.Context(w.ctx)); err != nil {
		t.Fatal(err)
	}
	w.mustBeHome(20)
	left, err := w.db.ListCollectionNames(w.ctx, bson.D{{Key: "type", Value: "view"}})
	if err != nil || len(left) > 0 || drops.Load() < 12 || whileHeld.Load() > 0 {
		t.Errorf("left are %v, %v; %d of %d drops were while writes were held", left, err, whileHeld.Load(), drops.Load())
	}
}

// Encapsulated again while an abandonment still drops the views under former names: they are
// needed, and stay.
func TestAnAbandonmentLeavesTheViewsOfTheNextEncapsulation(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	n := names.Names("users")
	rec, err := w.owners.Update(w.ctx, w.phase(), func(r *ownership.Record) { r.Generation += 3 })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range n.Vacated(rec.Collection, rec.Generation)[1:] {
		if err := w.db.CreateView(w.ctx, name, rec.Collection, mongo.Pipeline{}); err != nil {
			t.Fatal(err)
		}
	}
	var again sync.Once
	l := &linktest.Link{Choose: func(c linktest.Command) (fate linktest.Fate) {
		name, _ := bson.Raw(c.Body).Lookup("drop").StringValueOK()
		if kind, _ := n.Parse(name); kind == names.Physical {
			again.Do(func() {
				w.encapsulate()
				fate = linktest.Lose
			})
		}
		return fate
	}}
	if _, err := w.process(l).Abandon(l.Context(w.ctx)); err != nil {
		t.Error(err)
	}
	if r := w.phase(); r.Phase != ownership.Encapsulated {
		t.Errorf("%+v", r)
	}
	w.mustStand()
}

// Somebody restored the collection from elsewhere, and somebody wrote to a name that it had
// before: what stands under the collection's own name gets the public one.
func TestAnAbandonmentOfAReplacedCollectionTakesNoStrayForIt(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.encapsulate()
	for i := range 5 {
		if _, err := w.db.Collection("restored").InsertOne(w.ctx, user(i)); err != nil {
			t.Fatal(err)
		}
	}
	command := bson.D{{Key: "renameCollection", Value: "legacy.restored"}, {Key: "to", Value: "legacy.users__banyan_g2"}, {Key: "dropTarget", Value: true}}
	if err := w.mongo.Database("admin").RunCommand(w.ctx, command).Err(); err != nil {
		t.Fatal(err)
	}
	former := w.db.Collection("users__banyan_g1")
	if _, err := former.InsertOne(w.ctx, user(98)); err == nil {
		t.Fatal("the former name is not occupied")
	}
	if err := former.Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := former.InsertOne(w.ctx, user(99)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.mustBeHome(5)
}
