package outbox_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/publishers/outbox"
)

func (w *world) rename(from, to string) {
	w.t.Helper()
	w.must(w.client.Database("admin").RunCommand(w.ctx, bson.D{{Key: "renameCollection", Value: "legacy." + from}, {Key: "to", Value: "legacy." + to}}).Err())
}

// waiting counts the documents of a collection that have events.
func (w *world) waiting(name string) int64 {
	w.t.Helper()
	n, err := w.db.Collection(name).CountDocuments(w.ctx, bson.D{{Key: "_outbox.0", Value: bson.D{{Key: "$exists", Value: true}}}})
	w.must(err)
	return n
}

func (w *world) pushTo(collection, key string, n int) {
	w.t.Helper()
	update, err := outbox.Push(bson.D{{Key: "$inc", Value: bson.D{{Key: "changes", Value: 1}}}}, event(key, n))
	w.must(err)
	_, err = w.db.Collection(collection).UpdateOne(w.ctx, bson.D{{Key: "_id", Value: "doc"}}, update, options.UpdateOne().SetUpsert(true))
	w.must(err)
}

// TestMigrateMovesTheDocuments while a relay works, and while none does: each event comes
// once, in its order, and no document keeps one.
func TestMigrateMovesTheDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var admitted atomic.Int64
	admit := func(c *outbox.Config) {
		c.Admit = func(ctx context.Context, write func(context.Context) error) error {
			if admitted.Add(1)%2 == 1 {
				return fmt.Errorf("writes are held")
			}
			return write(ctx)
		}
	}
	_, stop := w.relay(admit)
	name, n := "users", 0
	push := func(times int) {
		for range times {
			w.pushTo(name, "key", n)
			n++
		}
	}
	for generation := 1; generation <= 6; generation++ {
		push(5)
		next, running := fmt.Sprintf("users__banyan_g%d", generation), generation%2 == 0
		if !running {
			w.stop(stop)
			push(1)
		}
		w.rename(name, next)
		w.must(w.db.CreateView(w.ctx, name, next, mongo.Pipeline{}))
		if name = next; !running {
			push(1)
			_, stop = w.relay(admit)
		}
	}
	push(1)
	w.await("all events to be removed", func() bool { return w.waiting(name) == 0 })
	w.stop(stop)
	w.check(map[string]int{"key": n})
}

// TestCleanUpNeverWritesToAVacatedName: neither while nothing is there, nor a view, nor
// what somebody has written there.
func TestCleanUpNeverWritesToAVacatedName(t *testing.T) {
	t.Parallel()
	for name, vacated := range map[string]func(w *world){
		"vacant": func(*world) {},
		"a view": func(w *world) { w.must(w.db.CreateView(w.ctx, "users", "users__banyan_g1", mongo.Pipeline{})) },
		"a stray": func(w *world) {
			_, err := w.db.Collection("banyan_claims").InsertOne(w.ctx, bson.D{{Key: "_id", Value: "users"}})
			w.must(err)
			w.pushTo("users", "other", 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r, err := outbox.New(outbox.Config{Database: w.db, Documents: []string{"users"}, Publisher: w.publisher()})
			w.must(err)
			w.pushTo("users", "key", 0)
			w.rename("users", "users__banyan_g1")
			vacated(w)
			document, err := bson.Marshal(bson.D{{Key: "_id", Value: "doc"}})
			w.must(err)
			w.must(r.CleanUp(w.ctx, "users", document, "key/0"))
			if w.waiting("users__banyan_g1") > 0 {
				t.Error("the event waits in the collection still")
			}
			if name == "a stray" && w.waiting("users") != 1 {
				t.Error("the stray was changed")
			}
		})
	}
}
