package migrate_test

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate"
)

// TestEncapsulateNeedsWhatPlanNeeds: an index that would be lost stops it until the plan
// says so, and nothing was touched.
func TestEncapsulateNeedsWhatPlanNeeds(t *testing.T) {
	w := newWorld(t)
	w.seed(3)
	index := mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}, {Key: "bio", Value: 1}}}
	if _, err := w.users.Indexes().CreateOne(w.ctx, index); err != nil {
		t.Fatal(err)
	}
	before := w.collections()
	_, err := w.engine().Encapsulate(w.ctx, willing)
	if !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), "index:name_1_bio_1: ") {
		t.Errorf("%v", err)
	}
	if now := w.collections(); now != before {
		t.Errorf("%s, before %s", now, before)
	}
	w.plan.Acknowledge = []string{"index:name_1_bio_1"}
	w.encapsulate()
}

// Collections that have names like the migration's, and are somebody else's, are refused in
// a sentence, and left alone.
func TestEncapsulateBesideCollectionsThatLookLikeItsOwn(t *testing.T) {
	for _, name := range []string{"users__banyan_g1", "users__banyan_stray_g1"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.seed(3)
			if _, err := w.db.Collection(name).InsertOne(w.ctx, bson.D{}); err != nil {
				t.Fatal(err)
			}
			before := w.collections()
			_, err := w.engine().Encapsulate(w.ctx, willing)
			if !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), w.db.Name()+"."+name+" has a name that the migration would give") {
				t.Errorf("%v", err)
			}
			if now := w.collections(); now != before || w.phase().Generation != 0 {
				t.Errorf("%s, before %s", now, before)
			}
		})
	}
}
