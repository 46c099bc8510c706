package migrate_test

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
)

// expiry is what the TTL index of a collection says, in seconds.
func (w *world) expiry(collection string) int64 {
	w.t.Helper()
	specs, err := w.db.Collection(collection).Indexes().ListSpecifications(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range specs {
		if s.ExpireAfterSeconds != nil {
			return int64(*s.ExpireAfterSeconds)
		}
	}
	return -1
}

// A TTL index deletes nothing behind a fence, where nobody would apply it, and goes on
// deleting as before once a cut-over was undone, or the migration abandoned.
func TestExpiryIsSuspendedBehindAFence(t *testing.T) {
	const hour, never = 3600, 1<<31 - 1
	w := newWorld(t)
	w.seed(20)
	if _, err := w.users.Indexes().CreateOne(w.ctx, mongo.IndexModel{Keys: bson.D{{Key: "endsAt", Value: 1}},
		Options: options.Index().SetExpireAfterSeconds(hour)}); err != nil {
		t.Fatal(err)
	}
	w.plan.Acknowledge = []string{"index:endsAt_1"}
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		if step != cutover.StepDrain {
			return
		}
		if got := w.expiry("users__banyan_g2"); got != never {
			t.Errorf("behind the fence documents expire after %d s", got)
		}
		if _, err := w.db.Collection("users__banyan_g2").DeleteOne(w.ctx, byID(3)); err != nil { // so that it is undone
			t.Error(err)
		}
		w.put("users", stamped(3, "tampered", maxStamp))
	}})
	if !errors.Is(err, cutover.ErrUndone) {
		t.Fatal(err)
	}
	w.follow()
	if got := w.expiry(w.users.Name()); got != hour {
		t.Errorf("after the undoing documents expire after %d s", got)
	}
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.expiry("users"); got != hour {
		t.Errorf("after the abandonment documents expire after %d s", got)
	}
}

// The switch is not refused for what it has changed itself. Documents expire again once
// MongoDB is the owner again, and not before.
func TestACollectionThatExpiresIsCutOverAndRolledBack(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	if _, err := w.users.Indexes().CreateOne(w.ctx, mongo.IndexModel{Keys: bson.D{{Key: "endsAt", Value: 1}},
		Options: options.Index().SetExpireAfterSeconds(60)}); err != nil {
		t.Fatal(err)
	}
	w.plan.Acknowledge = []string{"index:endsAt_1"}
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
	w.verified()
	ctx, cancel := context.WithCancel(w.ctx)
	_, err := w.engine().Rollback(ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		if step == cutover.StepSwitch {
			cancel()
		}
	}})
	if !errors.Is(err, cutover.ErrUndone) {
		t.Fatal(err)
	}
	if w.follow(); w.expiry(w.users.Name()) != 1<<31-1 {
		t.Errorf("while DynamoDB is the owner documents expire after %d s", w.expiry(w.users.Name()))
	}
	if _, err := w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Fatal(err)
	}
	if w.follow(); w.expiry(w.users.Name()) != 60 {
		t.Errorf("after the rollback documents expire after %d s", w.expiry(w.users.Name()))
	}
}
