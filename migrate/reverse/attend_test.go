package reverse

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
)

// TestReadersHurryBehindAProbeWhileWritesAreHeld: behind a barrier, whoever follows sees that
// another process holds writes, and that it does not any more. Without one nobody looks.
func TestReadersHurryBehindAProbeWhileWritesAreHeld(t *testing.T) {
	uri := mongodbtest.Start(t, nil)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	r := &Reverse{Plan: &plan.Plan{Entity: "users"}, Source: &source.Collection{DB: source.Primary(client, mongodbtest.Database(uri))}}
	s := &session{Reverse: r, probed: make(chan struct{}, 1)}
	set := func(hurry bool) {
		t.Helper()
		if _, err := r.rows().UpdateOne(t.Context(), bson.D{{Key: "_id", Value: r.rowID("", "")}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "hurry", Value: hurry}}}}, options.UpdateOne().SetUpsert(true)); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	if err := s.attend(t.Context()); err != nil || s.pace.Hurried() {
		t.Errorf("without a probe the readers hurry: %t (%v)", s.pace.Hurried(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var attending sync.WaitGroup
	attending.Go(func() {
		for s.attend(ctx) == nil {
			continue
		}
	})
	for _, hurry := range []bool{true, false, true} {
		set(hurry)
		s.probed <- struct{}{}
		for end := time.Now().Add(time.Minute); s.pace.Hurried() != hurry; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the readers do not hear that hurry is %t", hurry)
			}
		}
	}
	cancel()
	attending.Wait()
}
