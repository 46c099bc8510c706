package owned_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
)

// Every command says whose it is, before the collection has a name of its own and after.
func TestCommandsSayWhoseTheyAre(t *testing.T) {
	b := newBench(t, nil)
	b.do(b.db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 2}}).Err())
	ctx, id := t.Context(), bson.D{{Key: "_id", Value: "b"}}
	for name, g := range map[string]ownership.Grant{"P1": b.grant, "things": {Owner: ownership.MongoDB, Epoch: 1}} {
		h := b.things.For(g)
		if name == "P1" {
			b.do(h.InsertOne(ctx, id))
			_, err := h.UpdateOne(ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}})
			b.do(err)
			_, err = h.DeleteOne(ctx, id)
			b.do(err)
			b.do(h.CreateIndexes(ctx, bson.D{{Key: "key", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "name", Value: "n_1"}}))
		}
		b.do(b.things.Probe(ctx, name))
		_, err := h.Find(ctx, bson.D{}, owned.FindOptions{})
		b.do(err)
	}
	cur, err := b.db.Collection("system.profile").Aggregate(ctx, bson.A{bson.D{{Key: "$match", Value: bson.D{
		{Key: "ns", Value: bson.D{{Key: "$in", Value: bson.A{"legacy.P1", "legacy.things"}}}}}}}})
	b.do(err)
	var all []struct {
		Op, NS  string
		Command struct{ Comment string }
	}
	b.do(cur.All(ctx, &all))
	own := 0
	for _, c := range all {
		switch c.Command.Comment {
		case "banyan-owner things":
			own++
		case mongoserver.Comment: // the one that asks whether the server takes a UUID
		default:
			t.Errorf("%+v", c)
		}
	}
	if own != 14 {
		t.Errorf("%d commands with a comment: %+v", own, all)
	}
}
