package mongodb_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// model is what a collection of {_id, n, tag} should be.
type model map[int]thing

type thing struct {
	n   int
	tag string
}

func (m model) String() string {
	var lines []string
	for id, v := range m {
		lines = append(lines, fmt.Sprintf("%03d:%d%s", id, v.n, v.tag))
	}
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

func read(t *testing.T, coll *mongo.Collection) model {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{})
	do(t, err)
	var docs []struct {
		ID  int `bson:"_id"`
		N   int
		Tag string
	}
	do(t, cur.All(t.Context(), &docs))
	m := model{}
	for _, d := range docs {
		m[d.ID] = thing{d.N, d.Tag}
	}
	return m
}

// testSimulation does random writes to a collection with indexes and to a map,
// and compares.
func testSimulation(t *testing.T, s *suite) {
	coll := s.collection(t)
	index(t, coll, `{"n": 1, "tag": -1}`, nil)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	m := model{}
	for step := range 400 {
		what := simulate(t, r, coll, m)
		if step%20 != 0 {
			continue
		}
		if got := read(t, coll); got.String() != m.String() {
			t.Fatalf("seed %d, step %d, after %s:\n%s\nshould be\n%s", seed, step, what, got, m)
		}
		low := r.IntN(10)
		n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gte", Value: low}}}})
		do(t, err)
		if want := m.atLeast(low); int(n) != want {
			t.Fatalf("seed %d, step %d: %d documents with n >= %d, should be %d", seed, step, n, low, want)
		}
	}
}

func (m model) atLeast(low int) (count int) {
	for _, v := range m {
		if v.n >= low {
			count++
		}
	}
	return count
}

// simulate does one random write to both, and says which.
func simulate(t *testing.T, r *rand.Rand, coll *mongo.Collection, m model) string {
	t.Helper()
	ctx, id, n, tag := t.Context(), r.IntN(40), r.IntN(10), string(rune('a'+r.IntN(3)))
	one := bson.D{{Key: "_id", Value: id}}
	old, there := m[id]
	switch r.IntN(6) {
	case 0, 1:
		_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "n", Value: n}, {Key: "tag", Value: tag}})
		if mongo.IsDuplicateKeyError(err) != there || err != nil && !there {
			t.Fatalf("inserting %d, there %v: %v", id, there, err)
		}
		if !there {
			m[id] = thing{n, tag}
		}
		return "insert"
	case 2:
		res, err := coll.UpdateOne(ctx, one, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
		do(t, err)
		if there {
			m[id] = thing{old.n + 1, old.tag}
		}
		if (res.MatchedCount == 1) != there {
			t.Fatalf("updating %d, there %v: %+v", id, there, res)
		}
		return "update"
	case 3:
		_, err := coll.ReplaceOne(ctx, one, bson.D{{Key: "n", Value: n}, {Key: "tag", Value: tag}}, options.Replace().SetUpsert(true))
		do(t, err)
		m[id] = thing{n, tag}
		return "replace"
	case 4:
		res, err := coll.DeleteOne(ctx, one)
		do(t, err)
		if (res.DeletedCount == 1) != there {
			t.Fatalf("deleting %d, there %v: %+v", id, there, res)
		}
		delete(m, id)
		return "delete"
	}
	_, err := coll.UpdateMany(ctx, bson.D{{Key: "n", Value: n}, {Key: "tag", Value: tag}}, bson.D{{Key: "$set", Value: bson.D{{Key: "tag", Value: "z"}}}})
	do(t, err)
	for id, v := range m {
		if v.n == n && v.tag == tag {
			m[id] = thing{n, "z"}
		}
	}
	return "update many"
}
