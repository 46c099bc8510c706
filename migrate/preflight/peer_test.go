package preflight_test

import (
	"os"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/preflight"
)

// TestPeerKinds looks at collections of kinds that the sandbox does not hold, on another
// implementation of MongoDB.
func TestPeerKinds(t *testing.T) {
	uri := os.Getenv("BANYAN_CONFORMANCE_MONGODB")
	if uri == "" {
		t.Skip("BANYAN_CONFORMANCE_MONGODB names no server")
	}
	w := newWorld(t)
	w.db = w.connectTo(options.Client(), uri)
	create := func(more ...bson.E) {
		t.Helper()
		if err := w.db.Collection("users").Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.run(append(bson.D{{Key: "create", Value: "users"}}, more...))
	}
	look := func() findings {
		t.Helper()
		cfg := w.config()
		cfg.DB = w.db
		found, err := preflight.Look(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return findings{t, found}
	}
	create(bson.E{Key: "capped", Value: true}, bson.E{Key: "size", Value: 4096})
	look().want("kind", preflight.Stops, "capped")
	create(bson.E{Key: "timeseries", Value: bson.D{{Key: "timeField", Value: "at"}}})
	look().want("kind", preflight.Stops, "time-series")
	create(bson.E{Key: "clusteredIndex", Value: bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "unique", Value: true}}})
	look().want("clustered", preflight.Told, "nothing is lost")
	create(bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "fr"}}})
	w.createIndex("at_2dsphere", bson.D{{Key: "at", Value: "2dsphere"}})
	w.createIndex("any", bson.D{{Key: "$**", Value: 1}})
	got := look()
	got.want("collation", preflight.Acknowledge, `"fr"`)
	got.want("index:at_2dsphere", preflight.Acknowledge, "(geo ")
	got.want("index:any", preflight.Acknowledge, "(wildcard ")
}
