package reverse_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
)

func TestWhatAServiceWritesIsCarried(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	stop := w.follow(w.reverse())
	defer stop()
	w.put(user("a", "a@x", 2), user("b", "b@x", 2), user("d", "d@x", 2))
	w.put(user("a", "a2@x", 2))
	w.put(user("c", "c@x", 2))
	w.remove("c") // as DynamoDB does when its time is over
	w.put(tombstone("d", 2))
	w.drain()
	w.mustBeEqual()
	if n := len(w.documents()); n != 2 {
		t.Errorf("%d documents, want 2", n)
	}
	w.remove("d") // the tombstone: nothing
	w.put(user("c", "c2@x", 2), user("d", "d2@x", 2))
	w.drain()
	w.mustBeEqual()
	var h reverse.Health
	w.eventually("the lag is known, and it is followed", func() bool { h = w.health(); return h.Lag >= 0 && h.Followed })
	if h.ProbedAt.IsZero() || h.TimeLeft <= 0 || h.Shards != 1 || len(h.Problems()) > 0 || h.OutOfBand > 0 {
		t.Errorf("its health is %+v", h)
	}
	for _, it := range w.barriers() {
		t.Errorf("a barrier was left behind: %v", it)
	}
}

// barriers are those in the table.
func (w *world) barriers() (all []item) {
	for _, it := range w.scan() {
		if stamp.Of(it).Barrier != "" {
			all = append(all, it)
		}
	}
	return all
}

func TestChangesOfOneItemWithinAPageAreOneWrite(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	for i := range 200 {
		w.put(user("a", fmt.Sprint(i), 2))
	}
	var writes atomic.Int64
	l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if commandIs(c, "update", names.Names("users").Physical(1)) {
			writes.Add(1)
		}
		return linktest.Deliver
	}}
	r := w.reverse(l)
	w.drainWith(r)
	w.mustBeEqual()
	if n := writes.Load(); n > 3 {
		t.Errorf("200 changes of one item were %d writes", n)
	}
}

// Values that are unique pass from one item to another, in any order of their records, and
// two items exchange theirs in one transaction.
func TestUniqueValuesPassBetweenItems(t *testing.T) {
	for name, change := range map[string]func(*world){
		"given up first":                       func(w *world) { w.put(user("a", "a2", 2)); w.put(user("b", "a", 2)) },
		"in one transaction, the taker first":  func(w *world) { w.put(user("b", "a", 2), user("a", "a2", 2)) },
		"exchanged":                            func(w *world) { w.put(user("a", "b", 2), user("b", "a", 2)) },
		"around three":                         func(w *world) { w.put(user("a", "b", 2), user("b", "c", 2), user("c", "a", 2)) },
		"taken from one that is deleted later": func(w *world) { w.put(user("b", "a", 2), tombstone("a", 2)) },
		"of an item that has gone on since": func(w *world) {
			w.put(user("b", "a", 2), user("a", "x", 2))
			w.put(user("b", "y", 2))
			w.put(user("c", "a", 2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.switchOwner()
			r := w.reverse()
			w.put(user("a", "a", 2), user("b", "b", 2), user("c", "c", 2))
			w.drainWith(r)
			w.mustBeEqual()
			change(w)
			w.drainWith(r)
			w.mustBeEqual()
			if h := w.health(); h.Misfits > 0 {
				t.Errorf("its health is %+v", h)
			}
		})
	}
}

// unreadable is a number that no type of BSON holds.
var unreadable = &types.AttributeValueMemberN{Value: "12345678901234567890123456789012345678"}

func TestItemsThatDoNotFitAreSetAsideUntilTheyDo(t *testing.T) {
	w := newWorld(t)
	w.must(w.db.RunCommand(w.ctx, bson.D{{Key: "collMod", Value: w.collection().Name()},
		{Key: "validator", Value: bson.D{{Key: "visits", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$lt", Value: 0}}}}}}}}).Err())
	w.switchOwner()
	stop := w.follow(w.reverse(), w.reverse())
	defer stop()
	w.put(user("a", "a", 2), user("b", "b", 2))
	w.drain()
	w.put(user("a", "same", 2), user("b", "same", 2), // both hold it
		user("c", "", 2, item{"visits": dynamo.Int(-1)}), // refused by the validator
		user("d", "", 2, item{"n": unreadable}),          // no type of BSON
		user("e", "e", 2))
	w.drain()
	if h := w.health(); h.Misfits != 3 || len(h.Problems()) != 1 {
		all, _ := w.reverse().ListMisfits(w.ctx, 0)
		t.Fatalf("its health is %+v: %v", h, all)
	}
	if w.documents()["e"] == nil {
		t.Error("the shard did not go on")
	}
	w.put(user("b", "b2", 2), user("c", "", 2, item{"visits": dynamo.Int(1)}))
	w.put(tombstone("d", 2))
	w.eventually("all fit", func() bool { return w.health().Misfits == 0 })
	w.drain()
	w.mustBeEqual()
}

func TestStrangersItemsAreCarriedAndCounted(t *testing.T) {
	w := newWorld(t)
	forward := item{"id": text("f"), "email": text("f"), stamp.Attribute: &types.AttributeValueMemberM{
		Value: item{stamp.Epoch: dynamo.Int(1), stamp.Time: dynamo.Int(5)}}}
	w.put(forward)
	w.switchOwner()
	stop := w.follow(w.reverse())
	defer stop()
	w.put(item{"id": text("s"), "email": text("s")})
	w.drain()
	if w.documents()["s"] == nil || w.health().OutOfBand != 1 {
		t.Errorf("a stranger's item: %v, %+v", w.documents(), w.health())
	}
	forward["email"] = text("edited")
	w.put(forward) // by somebody who kept the mark of the migration
	w.drain()
	w.mustBeEqual()
	if w.documents()["f"] == nil {
		t.Error("an item that somebody edited and that has the migration's mark was passed over")
	}
}

// While MongoDB owns the entity, only what others write is kept, and nothing is carried.
func TestLateWritesAreKeptAndHaveNoEffect(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	stop := w.follow(w.reverse())
	defer stop()
	w.put(user("a", "a", 2))
	w.drain()
	before := w.documents()
	w.update(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.MongoDB, 3, ownership.Shadowing })
	w.put(user("a", "late", 2, item{"n": unreadable}), user("b", "b", 2), item{"id": text("stranger")})
	w.put(tombstone("a", 2))
	w.remove("b")
	w.put(item{"id": text("c"), stamp.Attribute: &types.AttributeValueMemberM{Value: item{stamp.Epoch: dynamo.Int(3), stamp.Time: dynamo.Int(5)}}})
	w.drain()
	if diff := differences(before, w.documents()); diff != "" {
		t.Errorf("MongoDB was changed: %s", diff)
	}
	r := w.reverse()
	late, err := r.ListLateWrites(w.ctx, 0)
	if err != nil || len(late) != 5 || w.health().LateWrites != 5 || len(w.health().Problems()) == 0 {
		t.Fatalf("late writes: %+v %v", late, err)
	}
	kept := map[string]reverse.LateWrite{}
	for _, l := range late {
		kept[fmt.Sprint(l.Key, l.Removed)] = l
	}
	a, b := kept[`{"id":{"S":"a"}}false`], kept[`{"id":{"S":"b"}}false`]
	if a.Epoch != 2 || a.Image == "" || a.Problem == "" || b.Document.Lookup("email").StringValue() != "b" ||
		!kept[`{"id":{"S":"b"}}true`].Removed || !kept[`{"id":{"S":"a"}}true`].Removed {
		t.Errorf("they are %+v", kept)
	}
	for _, l := range late {
		w.must(r.DiscardLateWrite(w.ctx, l.Sequence))
	}
	if err := r.DiscardLateWrite(w.ctx, "17"); err == nil || w.health().LateWrites != 0 {
		t.Errorf("discarded: %v, %+v", err, w.health())
	}
}

// What was written while MongoDB owned the entity, and is read when DynamoDB owns it again, is
// carried as the table has it by then: what an instance of epoch 2 wrote, which is the owner's
// now, but nothing that the migration has replaced.
func TestRecordsOfAnEarlierEpochAreCarriedAsTheTableIs(t *testing.T) {
	w := newWorld(t)
	forward := func(id string, epoch int64) item {
		it := user(id, id+fmt.Sprint(epoch), epoch)
		it[stamp.Attribute].(*types.AttributeValueMemberM).Value[stamp.Time] = stamp.ClusterTime(5).Value()
		return it
	}
	w.put(forward("untouched", 1))
	w.switchOwner()
	stop := w.follow(w.reverse())
	for _, id := range []string{"replaced", "removed", "gone"} {
		w.put(user(id, id, 2))
	}
	w.drain()
	stop()
	w.update(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.MongoDB, 3, ownership.Shadowing })
	w.put(user("untouched", "late", 2), user("replaced", "late too", 2))
	w.remove("removed") // when its time was over; the migration puts it again
	w.remove("gone")
	for _, id := range []string{"replaced", "removed"} {
		w.put(forward(id, 3))
		_, err := w.collection().ReplaceOne(w.ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "_id", Value: id}, {Key: "email", Value: id + "3"}})
		w.must(err)
	}
	w.update(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 4, ownership.Switched })
	defer w.follow(w.reverse())()
	w.drain()
	w.mustBeEqual()
}

// A reader that is behind a rename goes on under the new name, and writes nothing under the
// old one.
func TestTheCollectionIsRenamedUnderAReader(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	stop := w.follow(w.reverse(), w.reverse())
	defer stop()
	old, next := names.Names("users").Physical(1), names.Names("users").Physical(2)
	for i := range 30 {
		w.put(user(fmt.Sprint(i), "", 2))
		if i == 15 {
			w.update(func(r *ownership.Record) {
				r.Generation, r.Move, r.Hold = 2, &ownership.Move{From: old, To: next}, true
				r.Phase = ownership.RollingBack
			})
			w.must(w.db.Client().Database("admin").RunCommand(w.ctx, bson.D{{Key: "renameCollection", Value: w.db.Name() + "." + old},
				{Key: "to", Value: w.db.Name() + "." + next}}).Err())
			w.must(w.db.CreateView(w.ctx, old, next, mongo.Pipeline{}))
		}
	}
	w.update(func(r *ownership.Record) {
		r.Collection, r.Move, r.Hold, r.Phase = next, nil, false, ownership.Switched
	})
	w.drain()
	w.mustBeEqual()
}

// What the way back has stored is removed, and nothing that a later one stores.
func TestNothingIsLeftBehind(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	r := w.reverse()
	w.put(user("a", "same", 2), user("b", "same", 2))
	w.drainWith(r)
	late, err := r.Clear(w.ctx)
	w.must(err)
	w.must(late(w.ctx))
	for _, name := range []string{source.Positions, source.Misfits, source.LateWrites} {
		if n, err := w.db.Collection(name).CountDocuments(w.ctx, bson.D{}); n != 0 || err != nil {
			t.Errorf("%s has %d documents, %v", name, n, err)
		}
	}
	w.update(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.MongoDB, 3, ownership.Shadowing })
	w.drainWith(r)
	w.must(late(w.ctx)) // once more
	if h := w.health(); h.Begun.IsZero() || h.Shards != 1 {
		t.Errorf("the positions of a later migration were removed: %+v", h)
	}
}

// The plan's types decide about attributes that have no hint, and hints that no longer fit
// are passed over.
func TestTypesOfAttributesThatAServiceAdds(t *testing.T) {
	w := newWorld(t)
	doc, err := bson.Marshal(bson.D{{Key: "_id", Value: "a"}, {Key: "z", Value: int64(1)}, {Key: "email", Value: "a"}, {Key: "gone", Value: 1.0},
		{Key: "score", Value: 1.0}, {Key: "list", Value: bson.A{int64(1), "x"}}})
	w.must(err)
	it, err := w.plan.Codec().Encode(doc)
	w.must(err)
	w.switchOwner()
	hints := it[stamp.Attribute].(*types.AttributeValueMemberM).Value
	hints[stamp.Epoch] = dynamo.Int(2)
	delete(it, "gone")
	it["score"] = text("high")
	it["list"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{text("now a text"), text("x")}}
	it["createdAt"], it["visits"], it["ratio"] = text("2026-11-29T23:00:00.000Z"), dynamo.Int(7), dynamo.Int(2)
	it["undeclared"] = dynamo.Int(3)
	w.put(it)
	r := w.reverse()
	w.drainWith(r)
	got := w.documents()["a"]
	want := map[string]bson.Type{"z": bson.TypeInt64, "score": bson.TypeString, "list": bson.TypeArray, "createdAt": bson.TypeDateTime,
		"visits": bson.TypeInt64, "ratio": bson.TypeDouble, "undeclared": bson.TypeInt32, "email": bson.TypeString}
	for field, kind := range want {
		if got.Lookup(field).Type != kind {
			t.Errorf("%s is %s, want %s: %s", field, got.Lookup(field).Type, kind, got)
		}
	}
	if h := w.health(); h.Misfits != 0 {
		t.Errorf("its health is %+v", h)
	}
}
