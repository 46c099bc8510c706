package owned_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a server whose collection "things" was encapsulated as P1, and a service.
type bench struct {
	t      *testing.T
	db     *mongo.Database // of strangers and of the migration
	things *owned.Collection
	grant  ownership.Grant
	faults *faults
}

type faults struct {
	mu    sync.Mutex
	next  map[string][]mongodb.Fault
	count map[string]int
}

func (f *faults) take(command, _ string) mongodb.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[command]++
	if len(f.next[command]) == 0 {
		return mongodb.Fault{}
	}
	first := f.next[command][0]
	f.next[command] = f.next[command][1:]
	return first
}

func (f *faults) plan(command string, all ...mongodb.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next[command], f.count[command] = all, 0
}

func (f *faults) sent(command string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[command]
}

func connect(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Disconnect(ctx); err != nil {
			t.Error(err)
		}
	})
	return client.Database("legacy")
}

// newBench has the service's commands refused as refuse says; nil refuses none.
func newBench(t *testing.T, refuse func(bson.Raw) ownertest.Refusal) *bench {
	t.Helper()
	f := &faults{next: map[string][]mongodb.Fault{}, count: map[string]int{}}
	server, err := mongodb.Start(mongodb.Config{Fault: f.take})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	b := &bench{t: t, db: connect(t, server.URI()), faults: f}
	service := b.db
	if refuse != nil {
		address, _, _ := strings.Cut(strings.TrimPrefix(server.URI(), "mongodb://"), "/")
		service = connect(t, ownertest.StartProxy(t, address, refuse))
	}
	b.things = owned.New(mongoclient.Of(service), "things")
	b.insert("P1", "a", 1)
	b.view("things", "P1")
	b.grant = ownership.Grant{Owner: ownership.MongoDB, Epoch: 1, Collection: "P1", CollectionUUID: b.uuid("P1")}
	return b
}

func (b *bench) do(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) insert(collection, id string, n int) {
	b.t.Helper()
	_, err := b.db.Collection(collection).InsertOne(b.t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "n", Value: n}})
	b.do(err)
}

func (b *bench) view(name, on string) {
	b.t.Helper()
	b.do(b.db.CreateView(b.t.Context(), name, on, mongo.Pipeline{}))
}

func (b *bench) rename(from, to string) {
	b.t.Helper()
	b.do(b.db.Client().Database("admin").RunCommand(b.t.Context(), bson.D{
		{Key: "renameCollection", Value: "legacy." + from}, {Key: "to", Value: "legacy." + to},
	}).Err())
}

func (b *bench) uuid(name string) string {
	b.t.Helper()
	specs, err := b.db.ListCollectionSpecifications(b.t.Context(), bson.D{{Key: "name", Value: name}})
	b.do(err)
	return fmt.Sprintf("%x", specs[0].UUID.Data)
}

// content is what strangers see under a name, by id; nil if there is nothing.
func (b *bench) content(name string) map[string]int {
	b.t.Helper()
	names, err := b.db.ListCollectionNames(b.t.Context(), bson.D{{Key: "name", Value: name}})
	b.do(err)
	if len(names) == 0 {
		return nil
	}
	cursor, err := b.db.Collection(name).Find(b.t.Context(), bson.D{})
	b.do(err)
	var docs []struct {
		ID string `bson:"_id"`
		N  int
	}
	b.do(cursor.All(b.t.Context(), &docs))
	all := map[string]int{}
	for _, d := range docs {
		all[d.ID] = d.N
	}
	return all
}

func id(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }

func add(n int) bson.D { return bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: n}}}} }

// writes are what a service may still send under the grant of P1.
func (b *bench) writes() map[string]func(context.Context) error {
	h := b.things.For(b.grant)
	return map[string]func(context.Context) error{
		"insert": func(ctx context.Context) error {
			return h.InsertOne(ctx, append(id("late"), bson.E{Key: "n", Value: 1}))
		},
		"update": func(ctx context.Context) error { _, err := h.UpdateOne(ctx, id("a"), add(100)); return err },
		"update of what is not there": func(ctx context.Context) error {
			_, err := h.UpdateOne(ctx, id("nothing"), add(1))
			return err
		},
		"delete": func(ctx context.Context) error { _, err := h.DeleteOne(ctx, id("a")); return err },
		"create an index": func(ctx context.Context) error {
			return h.CreateIndexes(ctx, bson.D{{Key: "key", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "name", Value: "n_1"}})
		},
	}
}

// moves are what may have become of the name P1 while a write was on its way.
var moves = map[string]func(*bench){
	"vacant":   func(b *bench) { b.rename("P1", "P2") },
	"a view":   func(b *bench) { b.rename("P1", "P2"); b.view("P1", "P2") },
	"a stray":  func(b *bench) { b.rename("P1", "P2"); b.insert("P1", "a", 7) },
	"replaced": func(b *bench) { b.do(b.db.Collection("P1").Drop(b.t.Context())); b.insert("P1", "a", 7) },
	"dropped":  func(b *bench) { b.do(b.db.Collection("P1").Drop(b.t.Context())) },
}

// TestLateWritesFindTheCollectionOrNothing: a write under a grant whose name has come to
// mean something else is refused, changes nothing and creates nothing.
func TestLateWritesFindTheCollectionOrNothing(t *testing.T) {
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			writes := b.writes()
			move(b)
			before := []map[string]int{b.content("P1"), b.content("P2"), b.content("things")}
			for what, write := range writes {
				if err := write(t.Context()); !errors.Is(err, ownership.ErrFenced) {
					t.Errorf("%s = %v, want ErrFenced", what, err)
				}
			}
			if after := []map[string]int{b.content("P1"), b.content("P2"), b.content("things")}; fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("P1, P2 and the public name had %v and have %v", before, after)
			}
		})
	}
}

// TestLateWritesAtTheFirstMove: under its own name, too, where the grant names the UUID.
func TestLateWritesAtTheFirstMove(t *testing.T) {
	b := newBench(t, nil)
	others := owned.New(mongoclient.Of(b.db), "others")
	b.insert("others", "a", 1)
	h := others.For(ownership.Grant{Owner: ownership.MongoDB, Epoch: 1, CollectionUUID: b.uuid("others")})
	b.do(h.InsertOne(t.Context(), id("b")))
	b.rename("others", "others__banyan_g1")
	if err := h.InsertOne(t.Context(), id("late")); !errors.Is(err, ownership.ErrFenced) || b.content("others") != nil {
		t.Errorf("a late insert = %v, and made %v", err, b.content("others"))
	}
	if _, found, err := h.FindOne(t.Context(), id("a")); err != nil || !found {
		t.Errorf("a read that follows = %v, %v", found, err)
	}
}

// TestReadsFollowTheCollection: a read finds the very collection, wherever it is by now,
// or is fenced when it is gone; it never takes a stray or nothing for it.
func TestReadsFollowTheCollection(t *testing.T) {
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			h := b.things.For(b.grant)
			move(b)
			gone := name == "replaced" || name == "dropped"
			doc, found, err := h.FindOne(t.Context(), id("a"))
			if gone != errors.Is(err, ownership.ErrFenced) || !gone && (err != nil || !found || doc.Lookup("n").AsInt64() != 1) {
				t.Errorf("FindOne = %s, %v, %v", doc, found, err)
			}
			_, found, err = h.FindOne(t.Context(), id("nothing"))
			if gone != errors.Is(err, ownership.ErrFenced) || found || !gone && err != nil {
				t.Errorf("FindOne of nothing = %v, %v", found, err)
			}
		})
	}
}

// TestWritesFollowTheCollection that are no writes of the entity: on any server they find the
// very collection, wherever it is by now, or nothing.
func TestWritesFollowTheCollection(t *testing.T) {
	for server, refuse := range map[string]func(bson.Raw) ownertest.Refusal{"6.0": nil, "before 6.0": ownertest.OlderThan6} {
		for name, move := range moves {
			t.Run(name+", "+server, func(t *testing.T) {
				b := newBench(t, refuse)
				move(b)
				gone := name == "replaced" || name == "dropped"
				n, err := b.things.For(b.grant).UpdateFollowing(t.Context(), owned.Update{Filter: id("a"), Change: add(10)},
					owned.Update{Filter: id("nothing"), Change: add(1)})
				if gone != errors.Is(err, ownership.ErrFenced) || !gone && (err != nil || n != 1) {
					t.Fatalf("UpdateFollowing = %d, %v", n, err)
				}
				if doc, _, err := b.things.For(b.grant).FindOne(t.Context(), id("a")); !gone && refuse == nil && (err != nil || doc.Lookup("n").AsInt64() != 11) {
					t.Errorf("%s, %v", doc, err)
				}
				n, err = b.things.For(b.grant).DeleteFollowing(t.Context(), id("nothing"), id("a"))
				if gone != errors.Is(err, ownership.ErrFenced) || !gone && (err != nil || n != 1) {
					t.Errorf("DeleteFollowing = %d, %v", n, err)
				}
				if name == "replaced" && refuse == nil && b.content("P1")["a"] != 7 {
					t.Errorf("P1 has %v", b.content("P1"))
				}
			})
		}
	}
}

// TestServersBefore6: without collectionUUID a read or a write that finds nothing is
// believed only if the name means the collection.
func TestServersBefore6(t *testing.T) {
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, ownertest.OlderThan6)
			h := b.things.For(b.grant)
			if matched, err := h.UpdateOne(t.Context(), id("a"), add(1)); err != nil || !matched {
				t.Fatalf("UpdateOne before = %v, %v", matched, err)
			}
			if matched, err := h.UpdateOne(t.Context(), id("nothing"), add(1)); err != nil || matched {
				t.Fatalf("UpdateOne of nothing before = %v, %v", matched, err)
			}
			move(b)
			for what, nothing := range map[string]func(context.Context) (bool, error){
				"find": func(ctx context.Context) (bool, error) {
					_, found, err := h.FindOne(ctx, id("nothing"))
					return found, err
				},
				"update": func(ctx context.Context) (bool, error) { return h.UpdateOne(ctx, id("nothing"), add(1)) },
				"delete": func(ctx context.Context) (bool, error) { return h.DeleteOne(ctx, id("nothing")) },
			} {
				found, err := nothing(t.Context())
				if through := name == "a view" && what == "find"; found || through != (err == nil) || !through && !errors.Is(err, ownership.ErrFenced) {
					t.Errorf("%s of nothing = %v, %v", what, found, err)
				}
			}
		})
	}
}

// TestWritesAreDoneOnce: a write whose connection breaks, before or behind it, is
// repeated and takes effect once.
func TestWritesAreDoneOnce(t *testing.T) {
	for name, fault := range map[string]mongodb.FaultKind{"broken before": mongodb.CloseBefore, "broken behind": mongodb.CloseAfter,
		"an election": mongodb.NotWritablePrimary} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			h := b.things.For(b.grant)
			twice := []mongodb.Fault{{Kind: fault}, {Kind: fault}}
			for _, command := range []string{"insert", "update", "delete"} {
				b.faults.plan(command, twice...)
			}
			b.do(h.InsertOne(t.Context(), append(id("b"), bson.E{Key: "n", Value: 5})))
			if matched, err := h.UpdateOne(t.Context(), id("a"), add(100)); err != nil || !matched {
				t.Errorf("UpdateOne = %v, %v", matched, err)
			}
			b.insert("P1", "c", 1)
			if deleted, err := h.DeleteOne(t.Context(), bson.D{}); err != nil || !deleted {
				t.Errorf("DeleteOne = %v, %v", deleted, err)
			}
			got := b.content("P1")
			if len(got) != 2 || got["a"] != 101 && got["a"] != 0 {
				t.Errorf("after an insert, an update and a delete of one: %v", got)
			}
			if n := b.faults.sent("update"); n != 3 {
				t.Errorf("the update was sent %d times, want 3", n)
			}
			if err := h.InsertOne(t.Context(), id("c")); len(got) == 2 && !mongo.IsDuplicateKeyError(err) {
				t.Errorf("a second insert = %v, want a duplicate key", err)
			}
		})
	}
}

// TestConcurrentWritesHaveNumbersOfTheirOwn, also when the driver uses the same sessions.
func TestConcurrentWritesHaveNumbersOfTheirOwn(t *testing.T) {
	b := newBench(t, nil)
	h := b.things.For(b.grant)
	var all sync.WaitGroup
	const writers, each = 8, 20
	for range writers {
		all.Go(func() {
			for range each {
				if matched, err := h.UpdateOne(t.Context(), id("a"), add(1)); err != nil || !matched {
					t.Errorf("UpdateOne = %v, %v", matched, err)
				}
				if _, err := b.db.Collection("P1").UpdateOne(t.Context(), id("a"), add(1)); err != nil {
					t.Errorf("the driver's update = %v", err)
				}
			}
		})
	}
	all.Wait()
	if got := b.content("P1")["a"]; got != 1+2*writers*each {
		t.Errorf("n = %d after %d updates of 1", got, 2*writers*each)
	}
}

func TestFind(t *testing.T) {
	b := newBench(t, nil)
	for i := range 250 {
		b.insert("P1", fmt.Sprintf("d%03d", i), i)
	}
	h := b.things.For(b.grant)
	all, err := h.Find(t.Context(), bson.D{}, owned.FindOptions{Sort: bson.D{{Key: "_id", Value: -1}}})
	if err != nil || len(all) != 251 || all[0].Lookup("_id").StringValue() != "d249" {
		t.Errorf("Find = %d documents, %v", len(all), err)
	}
	some, err := h.Find(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gt", Value: 100}}}}, owned.FindOptions{Limit: 7})
	if err != nil || len(some) != 7 {
		t.Errorf("Find of 7 = %d documents, %v", len(some), err)
	}
}

// TestProbe names each privilege that is missing under the next name.
func TestProbe(t *testing.T) {
	for command, action := range map[string]string{"": "", "find": "find", "update": "update", "delete": "remove", "insert": "insert"} {
		t.Run("without "+action, func(t *testing.T) {
			b := newBench(t, ownertest.WithoutPrivilege(command, "things__banyan_g2"))
			err := b.things.Probe(t.Context(), "things__banyan_g2")
			if command == "" && err != nil {
				t.Errorf("Probe = %v", err)
			}
			if want := "privilege " + action + " on legacy.things__banyan_g2"; command != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("Probe = %v, want %q in it", err, want)
			}
			if b.content("things__banyan_g2") != nil {
				t.Error("the probe made a collection")
			}
		})
	}
	b := newBench(t, nil)
	if err := b.things.Probe(t.Context(), "things"); err != nil {
		t.Errorf("Probe of the public name, where a view stands = %v", err)
	}
}
