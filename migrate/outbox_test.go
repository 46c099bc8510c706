package migrate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// keepEvent has an event wait in a document, with a write of it.
func (w *world) keepEvent(user int) {
	w.t.Helper()
	_, err := w.users.UpdateByID(w.ctx, userID(user), bson.D{{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}},
		{Key: "$push", Value: bson.D{{Key: "_outbox", Value: bson.D{{Key: "id", Value: "event"}}}}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// removeEvents removes what waits, as whoever publishes it, wherever the collection is by now.
func (w *world) removeEvents(collection string) (removed bool) {
	out, err := w.db.Collection(collection).UpdateMany(w.ctx, bson.D{{Key: "_outbox.id", Value: bson.D{{Key: "$exists", Value: true}}}},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "_outbox", Value: ""}, {Key: "_outbox_cleared", Value: ""}}}})
	return err == nil && out.ModifiedCount > 0
}

func (w *world) putEvent() { w.put("users-outbox", dynamo.Key("user", "event")) }

func (w *world) removeEvent() {
	if _, err := w.ddb.DeleteItem(w.ctx, &dynamodb.DeleteItemInput{TableName: aws.String("users-outbox"), Key: dynamo.Key("user", "event")}); err != nil {
		w.t.Error(err)
	}
}

// before runs do before a step.
func before(step string, do func()) cutover.Options {
	return cutover.Options{NoMembers: true, Before: func(_ context.Context, now string) error {
		if now == step {
			do()
		}
		return nil
	}}
}

// mustWait tries, by an engine that gives up soon where events wait, until that is the reason
// for failing: a busy machine finds others, and is given more and more time.
func mustWait(w *world, why error, change func(impatient *migrate.Engine) error) {
	w.t.Helper()
	budget := 250 * time.Millisecond
	waitFor(w.t, func() bool {
		budget = min(2*budget, longHold)
		err := change(w.engine(func(c *migrate.Config) {
			own := *w.plan
			own.Budgets.Hold, own.Budgets.Lag = budget, budget
			c.Plan = &own
		}))
		if err == nil {
			w.t.Fatal("the owner has changed, and an event waits in the store that it left")
		}
		w.follow()
		return errors.Is(err, why) && strings.Contains(err.Error(), "to be published")
	})
}

// TestNoEventIsLeftBehind: what waits in documents is neither copied nor compared, nor is its
// end a write of somebody else. A cut-over waits for it, before the hold and behind the fence,
// and is refused or undone where nobody publishes it.
func TestNoEventIsLeftBehind(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.keepEvent(3)
	w.shadowed()
	for _, item := range w.scan("users") {
		if item["_outbox"] != nil {
			t.Errorf("the table has %v", item)
		}
	}
	mustWait(w, cutover.ErrRefused, func(impatient *migrate.Engine) error {
		_, err := impatient.Cutover(w.ctx, cutover.Options{NoMembers: true})
		return err
	})
	w.removeEvents(w.users.Name())
	mustWait(w, cutover.ErrUndone, func(impatient *migrate.Engine) error {
		w.removeEvents(w.users.Name())
		_, err := impatient.Cutover(w.ctx, before(cutover.StepHold, func() { w.keepEvent(4) }))
		return err
	})
	w.removeEvents(w.users.Name())
	removed := make(chan bool)
	_, err := w.engine().Cutover(w.ctx, before(cutover.StepFence, func() {
		w.keepEvent(4)
		to := w.phase().Move.To
		go func() {
			for !w.removeEvents(to) && w.ctx.Err() == nil {
				_ = pause(w.ctx, time.Millisecond)
			}
			removed <- true
		}()
	}))
	if err != nil {
		t.Fatal(err)
	}
	<-removed
	w.mustBeOwned(ownership.DynamoDB, 2, ownership.Switched)
	if s, err := w.engine().Status(w.ctx); err != nil || s.Changes.OutOfBand.Writes > 0 {
		t.Errorf("%+v %v", s.Changes.OutOfBand, err)
	}
	w.verified()
}

// TestNoDeletedDocumentIsLeftBehind: one that is marked, and waits with its events, is nothing to the
// migration before and goes with the last of them, which is carried, also from behind the fence.
func TestNoDeletedDocumentIsLeftBehind(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.shadowed()
	box := outbox.DefaultField
	mark := func(user int) {
		_, err := w.users.UpdateByID(w.ctx, userID(user), bson.D{{Key: "$set", Value: bson.D{{Key: box.Deleted(), Value: int64(2)}}},
			{Key: "$push", Value: bson.D{{Key: string(box), Value: bson.D{{Key: "id", Value: "gone"}}}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(collection string, user int) bool {
		removals := box.Remove(bson.D{{Key: "_id", Value: userID(user)}}, bson.A{"gone"})
		out, err := w.db.Collection(collection).DeleteOne(w.ctx, removals[len(removals)-1].Filter)
		return err == nil && out.DeletedCount > 0
	}
	mark(3)
	mustWait(w, cutover.ErrRefused, func(impatient *migrate.Engine) error {
		_, err := impatient.Cutover(w.ctx, cutover.Options{NoMembers: true})
		return err
	})
	w.verified()
	if !remove(w.users.Name(), 3) {
		t.Fatal("no document was removed")
	}
	removed := make(chan bool)
	_, err := w.engine().Cutover(w.ctx, before(cutover.StepFence, func() {
		mark(4)
		to := w.phase().Move.To
		go func() {
			for !remove(to, 4) && w.ctx.Err() == nil {
				_ = pause(w.ctx, time.Millisecond)
			}
			removed <- true
		}()
	}))
	if err != nil {
		t.Fatal(err)
	}
	<-removed
	w.mustBeOwned(ownership.DynamoDB, 2, ownership.Switched)
	if s, err := w.engine().Status(w.ctx); err != nil || s.Changes.OutOfBand.Writes > 0 {
		t.Errorf("%+v %v", s.Changes.OutOfBand, err)
	}
	w.verified()
	if out, err := w.rollBack(); err != nil || out.Step != cutover.StepDone {
		t.Fatalf("%+v %v", out, err)
	}
	for _, user := range []int{3, 4} {
		if n, err := w.users.CountDocuments(w.ctx, bson.D{{Key: "_id", Value: userID(user)}}); err != nil || n > 0 {
			t.Errorf("%s is back: %d, %v", userID(user), n, err)
		}
	}
}

// TestNoEventIsLeftBehindOnTheWayBack: in the table's outbox.
func TestNoEventIsLeftBehindOnTheWayBack(t *testing.T) {
	w := switched(t, 20)
	if _, err := w.ddb.CreateTable(w.ctx, dynamo.CompositeTable("users-outbox")); err != nil {
		t.Fatal(err)
	}
	w.putEvent()
	mustWait(w, cutover.ErrRefused, func(impatient *migrate.Engine) error {
		_, err := impatient.Rollback(w.ctx, cutover.Options{NoMembers: true})
		return err
	})
	mustWait(w, cutover.ErrUndone, func(impatient *migrate.Engine) error {
		w.removeEvent()
		_, err := impatient.Rollback(w.ctx, before(cutover.StepHold, w.putEvent))
		return err
	})
	w.removeEvent()
	if sum, err := w.rollBack(); err != nil || sum.Step != cutover.StepDone {
		t.Fatalf("%+v %v", sum, err)
	}
	w.mustBeOwned(ownership.MongoDB, 3, ownership.Shadowing)
}
