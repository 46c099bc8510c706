package target_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// in returns the same world, written to in an epoch.
func (w *world) in(epoch int64) *world {
	return &world{T: w.T, Tables: w.InEpoch(epoch), client: w.client}
}

// own has the owning service of epoch 2 write a version, as it writes anew, without a time.
func (w *world) own(id string, v version) {
	w.Helper()
	w.in(2).apply(id, v)
	for _, in := range w.Plan.TableInputs() {
		key := *in.KeySchema[0].AttributeName
		for _, item := range w.scan(*in.TableName) {
			if stamp.Of(item).Epoch == 2 {
				w.removeTime(*in.TableName, codec.Item{key: item[key]})
			}
		}
	}
}

func (w *world) removeTime(table string, key codec.Item) {
	w.Helper()
	_, err := w.client.UpdateItem(w.Context(), &dynamodb.UpdateItemInput{TableName: &table, Key: key,
		UpdateExpression:         aws.String("REMOVE #b.#t"),
		ExpressionAttributeNames: map[string]string{"#b": stamp.Attribute, "#t": stamp.Time}})
	if err != nil {
		w.Fatal(err)
	}
}

// update has the owning service change an item in an epoch, as it does one that it did not
// make: the time stays. It reports whether the store refused it.
func (w *world) update(id string, epoch int64) (refused bool) {
	w.Helper()
	key := dynamo.String(id)
	for _, item := range w.scan("people") {
		if w.idOf(item) == id && !stamp.Of(item).Tombstone {
			key = item["id"]
		}
	}
	_, err := w.client.UpdateItem(w.Context(), &dynamodb.UpdateItemInput{TableName: aws.String("people"), Key: codec.Item{"id": key},
		UpdateExpression:          aws.String("SET #b.#e = :e"),
		ConditionExpression:       aws.String("attribute_not_exists(#b.#e) OR #b.#e <= :e"),
		ExpressionAttributeNames:  map[string]string{"#b": stamp.Attribute, "#e": stamp.Epoch},
		ExpressionAttributeValues: codec.Item{":e": dynamo.Int(epoch)}})
	if err != nil && !dynamo.IsConditionFailed(err) {
		w.Fatal(err)
	}
	return err != nil
}

// epochOf is that of an item, 0 for none.
func (w *world) epochOf(id string) int64 {
	w.Helper()
	for _, item := range w.scan("people") {
		if w.idOf(item) == id && (w.Plan.Lookup() < 0 || !stamp.Of(item).Tombstone) {
			return stamp.Of(item).Epoch
		}
	}
	return 0
}

// TestTheEpochDecidesBeforeTheTime: what the service wrote in a later epoch stays, and what
// is of an earlier one is replaced, however new it says that it is.
func TestTheEpochDecidesBeforeTheTime(t *testing.T) {
	stands := version{at: 9, email: "stands"}
	before := map[string]func(w *world){
		"changed by the service": func(w *world) { w.apply("A", stands); w.update("A", 2) },
		"made by the service":    func(w *world) { w.own("A", stands) },
		"deleted by the service": func(w *world) { w.own("A", version{at: 9, deleted: true}) },
		"of the copy":            func(w *world) { w.apply("A", stands) },
		"deleted in MongoDB":     func(w *world) { w.apply("A", version{at: 9, deleted: true}) },
	}
	writes := map[string]func(w *world, v version) error{
		"change": func(w *world, v version) error { return w.Apply(w.Context(), w.version("A", v, 7)) },
		"read": func(w *world, v version) error {
			s := w.version("A", v, 7)
			s.Read = true
			return w.Apply(w.Context(), s)
		},
		"repair": func(w *world, v version) error { return w.Repair(w.Context(), w.version("A", v, 7)) },
		"copied afresh": func(w *world, v version) error {
			batches, _, err := w.Batches([]bson.Raw{w.document("A", v)}, 7)
			if err != nil {
				return err
			}
			return batches[0].Fill(w.Context(), true)
		},
	}
	for name, write := range writes {
		for was, make := range before {
			t.Run(name+" of what was "+was, func(t *testing.T) {
				w := newWorld(t)
				make(w)
				late := version{at: 7, email: "late"}
				if err := write(w.in(1), late); err != nil && !errors.Is(err, side.ErrServiceOwned) {
					t.Error(err)
				}
				if items := w.scan("people"); len(items) != 1 || dynamo.StringOf(items[0], "email") == "late" {
					t.Errorf("%s of epoch 1 has written %v", name, items)
				}
				if err := write(w.in(3), late); err != nil {
					t.Error(err)
				}
				w.mustHold(map[string]version{"A": late})
				if s := stamp.Of(w.scan("people")[0]); s.Epoch != 3 || s.Time != 7 {
					t.Errorf("the item is stamped %+v", s)
				}
				if !w.update("A", 2) {
					t.Error("a write under epoch 2 has changed what is of epoch 3")
				}
			})
		}
	}
}

// TestACopyFillsOnlyWhatIsAbsent, whatever the epoch: what stands there is newer than it, or
// the changes replace it.
func TestACopyFillsOnlyWhatIsAbsent(t *testing.T) {
	w := newWorld(t)
	w.own("A", version{at: 9, email: "a"})
	w.apply("B", version{at: 9, deleted: true})
	batches, _, err := w.in(3).Batches([]bson.Raw{w.document("A", version{at: 7}), w.document("B", version{at: 7}), w.document("C", version{at: 7})}, 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range batches {
		if err := batch.Fill(t.Context(), false); err != nil {
			t.Error(err)
		}
	}
	w.mustHold(map[string]version{"A": {at: 9, email: "a"}, "B": {at: 9, deleted: true}, "C": {at: 7}})
}

// TestItemsFromBeforeEpochsWereStamped are of the first: the time decides.
func TestItemsFromBeforeEpochsWereStamped(t *testing.T) {
	w := newWorld(t)
	item := codec.Item{"id": dynamo.String("A"), "at": dynamo.Int(9), stamp.Attribute: &types.AttributeValueMemberM{
		Value: codec.Item{stamp.Time: stamp.ClusterTime(9).Value()}}}
	if _, err := w.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("people"), Item: item}); err != nil {
		t.Fatal(err)
	}
	w.apply("A", version{at: 7, email: "older"})
	w.mustHold(map[string]version{"A": {at: 9}})
	w.apply("A", version{at: 10, email: "newer"})
	w.mustHold(map[string]version{"A": {at: 10, email: "newer"}})
}

// TestAUniqueValueThatTheServiceGaveUp is nothing left over, and free.
func TestAUniqueValueThatTheServiceGaveUp(t *testing.T) {
	w := newWorld(t)
	entry := codec.Item{"value": dynamo.String("email#e"), stamp.Attribute: &types.AttributeValueMemberM{
		Value: codec.Item{stamp.Epoch: dynamo.Int(2), stamp.Tombstone: dynamo.Bool(true)}}}
	if _, err := w.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("people-email"), Item: entry}); err != nil {
		t.Fatal(err)
	}
	w.mustHaveLeftovers(0)
	w.in(3).apply("A", version{at: 7, email: "e"})
	w.mustHold(map[string]version{"A": {at: 7, email: "e"}})
}

// TestSimulationOfAWayBack: a history in MongoDB, one of the service's in epoch 2, and
// another in MongoDB, whose changes arrive in any order among late ones of the first, and
// among late writes of the service. Where the last history has a document, that decides.
func TestSimulationOfAWayBack(t *testing.T) { eachPlan(t, simulateWayBack) }

func simulateWayBack(w *world) {
	t := w.T
	first := uint64(time.Now().UnixNano())
	for seed := first; seed < first+25/fewer && !t.Failed(); seed++ {
		r := rand.New(rand.NewPCG(seed, 10))
		before, after := newHistory(seed, 4, 12), newHistory(seed+1000, 4, 20)
		w.play(seed, before, nil, r)
		for id, v := range before.end() { // what the service made of it: content, and unique values free again
			v.at += before.now
			if v.email != "" && !v.deleted {
				v.email += "-2"
			}
			// What the last history leaves alone must not have a value that it uses: MongoDB
			// would not have let two documents have it.
			if r.IntN(2) == 0 || len(after.versions[id]) == 0 {
				w.own(id, v)
			}
		}
		w.in(3).play(seed, after, before, r)
		end := after.end()
		for _, item := range w.scan("people") { // documents that the last history does not have stay as they were
			id, s := w.idOf(item), stamp.Of(item)
			if before, there := end[id]; len(after.versions[id]) == 0 && (!there || before.deleted) {
				at, _ := dynamo.IntOf(item, "at")
				end[id] = version{at: stamp.ClusterTime(at), email: dynamo.StringOf(item, "email"), deleted: s.Tombstone}
			} else if len(after.versions[id]) > 0 && s.Epoch != 3 && (w.Plan.Lookup() < 0 || !s.Tombstone) {
				t.Errorf("%s is stamped %+v", id, s)
			}
		}
		w.mustHold(end)
		w.empty()
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}
}

// play applies all changes of a history, each document's in their order, and among them
// late ones of an earlier history in epoch 1, which are refused or replaced.
func (w *world) play(seed uint64, h, earlier *history, r *rand.Rand) {
	w.Helper()
	next := map[string]int{}
	for left := len(h.versions); left > 0; {
		id := h.ids[r.IntN(len(h.ids))]
		var err error
		switch {
		case earlier != nil && r.IntN(4) == 0 && len(earlier.versions[id]) > 0 && next[id] > 0:
			err = earlier.follow(w.in(1), r, id, r.IntN(len(earlier.versions[id])))
			if errors.Is(err, side.ErrServiceOwned) {
				err = nil
			}
		case earlier != nil && r.IntN(6) == 0 && w.epochOf(id) == 3:
			if !w.update(id, 2) {
				w.Errorf("seed %d: a write under epoch 2 has changed %s, which is of epoch 3", seed, id)
			}
		case next[id] < len(h.versions[id]):
			err = h.follow(w, r, id, next[id])
			if next[id]++; next[id] == len(h.versions[id]) {
				left--
			}
		}
		if err != nil {
			w.Fatalf("seed %d: %v", seed, err)
		}
	}
}
