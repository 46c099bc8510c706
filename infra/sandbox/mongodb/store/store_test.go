package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var things = store.Namespace{DB: "d", Coll: "things"}

func document(t testing.TB, d bson.D) value.D {
	t.Helper()
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func filter(t testing.TB, d bson.D) *query.Filter {
	t.Helper()
	f, err := query.CompileFilter(document(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func change(t testing.TB, q, u bson.D) store.Change {
	t.Helper()
	b := document(t, u)
	compiled, err := query.CompileUpdate(value.Document(b))
	if err != nil {
		t.Fatal(err)
	}
	return store.Change{Query: store.Query{Filter: filter(t, q)}, Update: compiled}
}

// state is a collection as text, in order of its documents' text.
func state(t testing.TB, e *store.Engine, w store.When) string {
	t.Helper()
	docs, _, err := e.Find(w, things, store.Query{Filter: filter(t, bson.D{})})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range docs {
		lines = append(lines, bson.Raw(d).String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// step does one random write.
func step(t testing.TB, e *store.Engine, txn *store.Txn, r *rand.Rand) error {
	t.Helper()
	id := bson.D{{Key: "_id", Value: r.IntN(30)}}
	switch r.IntN(4) {
	case 0:
		err := e.Insert(txn, things, document(t, append(id, bson.E{Key: "n", Value: r.IntN(5)})))
		if err != nil && strings.Contains(err.Error(), "DuplicateKey") {
			return nil
		}
		return err
	case 1:
		_, err := e.Delete(txn, things, store.Query{Filter: filter(t, id), Limit: 1})
		return err
	case 2:
		_, err := e.Update(txn, things, change(t, id, bson.D{{Key: "n", Value: r.IntN(5)}}))
		return err
	}
	ch := change(t, bson.D{{Key: "n", Value: r.IntN(5)}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
	ch.Multi = true
	_, err := e.Update(txn, things, ch)
	return err
}

// Every past instant reads as it was, by scan and by index, also after indexes
// came and went.
func TestEveryInstantReadsAsItWas(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	e := store.New(store.Config{})
	spec, err := store.ParseIndex(document(t, bson.D{{Key: "key", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "name", Value: "n_1"}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := e.CreateIndexes(things, []store.IndexSpec{spec}); err != nil {
		t.Fatal(err)
	}
	type instant struct {
		at    store.Timestamp
		state string
	}
	var history []instant
	for range 300 {
		if err := step(t, e, nil, r); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		history = append(history, instant{e.Now(), state(t, e, store.When{})})
	}
	r.Shuffle(len(history), func(i, j int) { history[i], history[j] = history[j], history[i] })
	for _, h := range history {
		if got := state(t, e, store.When{At: h.at}); got != h.state {
			t.Fatalf("seed %d: at %v it reads\n%s\nbut was\n%s", seed, h.at, got, h.state)
		}
		three := store.Query{Filter: filter(t, bson.D{{Key: "n", Value: 3}})}
		found, _, err := e.Find(store.When{At: h.at}, things, three)
		if want := strings.Count(h.state, `"n": {"$numberInt":"3"}`); err != nil || len(found) != want {
			t.Fatalf("seed %d: at %v the index finds %d of %d: %v", seed, h.at, len(found), want, err)
		}
	}
}

// A transaction reads one instant however others write, and what it commits is
// what a later transaction sees.
func TestTransactionsAreIsolated(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	e := store.New(store.Config{})
	if err := e.Create(nil, things, document(t, bson.D{})); err != nil {
		t.Fatal(err)
	}
	committed, conflicts := 0, 0
	for round := range 100 {
		txn := e.Begin(document(t, bson.D{}), int64(round))
		before := state(t, e, store.When{Txn: txn})
		if got := state(t, e, store.When{}); got != before {
			t.Fatalf("seed %d: a transaction begins with\n%s\nnot\n%s", seed, before, got)
		}
		if r.IntN(2) == 0 {
			if err := step(t, e, nil, r); err != nil {
				t.Fatal(err)
			}
		}
		if got := state(t, e, store.When{Txn: txn}); got != before {
			t.Fatalf("seed %d: a transaction sees another's write", seed)
		}
		others := state(t, e, store.When{})
		err := step(t, e, txn, r)
		mine := state(t, e, store.When{Txn: txn})
		if err == nil {
			err = e.Commit(txn)
		}
		after := state(t, e, store.When{})
		switch {
		case err != nil && after != others:
			t.Fatalf("seed %d: a transaction that failed left something", seed)
		case err != nil:
			conflicts++
		case others == before && after != mine:
			t.Fatalf("seed %d: committed\n%s\nbut there is\n%s", seed, mine, after)
		default:
			committed++
		}
		e.Finish(txn)
	}
	if committed == 0 {
		t.Errorf("seed %d: %d committed, %d conflicts", seed, committed, conflicts)
	}
}

// Money moved by transactions is neither made nor lost.
func TestTransactionsKeepTheSum(t *testing.T) {
	e := store.New(store.Config{})
	for i := range 5 {
		if err := e.Insert(nil, things, document(t, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: 100}})); err != nil {
			t.Fatal(err)
		}
	}
	move := func(from, to, n int) {
		txn := e.Begin(document(t, bson.D{}), 1)
		defer e.Finish(txn)
		for id, by := range map[int]int{from: -n, to: n} {
			ch := change(t, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: by}}}})
			if _, err := e.Update(txn, things, ch); err != nil {
				return
			}
		}
		_ = e.Commit(txn) // a conflict moves nothing
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 0))
			for range 100 {
				if from, to := r.IntN(5), r.IntN(5); from != to {
					move(from, to, r.IntN(10))
				}
			}
		})
	}
	wg.Wait()
	docs, _, err := e.Find(store.When{}, things, store.Query{Filter: filter(t, bson.D{})})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, d := range docs {
		n, _ := value.Integer(value.Field(d, "n"))
		sum += n
	}
	if sum != 500 {
		t.Errorf("the sum is %d", sum)
	}
}

// The oplog forgets by count and by bytes, and says so.
func TestOplogBounds(t *testing.T) {
	for name, cfg := range map[string]store.Config{"entries": {OplogEntries: 50}, "bytes": {OplogBytes: 20_000}} {
		t.Run(name, func(t *testing.T) {
			e := store.New(cfg)
			start := store.Position{At: e.Now()}
			for i := range 200 {
				if err := e.Insert(nil, things, document(t, bson.D{{Key: "_id", Value: i}, {Key: "s", Value: strings.Repeat("x", 100)}})); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, ok := e.Read(start, 10); ok {
				t.Error("the beginning can still be read")
			}
			if _, _, err := e.Find(store.When{At: start.At}, things, store.Query{Filter: filter(t, bson.D{})}); err == nil {
				t.Error("a snapshot of the beginning can still be read")
			}
			if _, _, ok := e.Read(store.Position{At: e.Now()}, 10); !ok {
				t.Error("the end cannot be read")
			}
		})
	}
}

// One increment of the cluster time for each write, and never back.
func TestClusterTimeIncreases(t *testing.T) {
	e := store.New(store.Config{})
	last := e.Now()
	for i := range 100 {
		if err := e.Insert(nil, things, document(t, bson.D{{Key: "_id", Value: i}})); err != nil {
			t.Fatal(err)
		}
		if now := e.Now(); now.Compare(last) <= 0 {
			t.Fatalf("%v after %v", now, last)
		} else {
			last = now
		}
	}
	entries, _, _ := e.Read(store.Position{At: store.Timestamp{T: last.T, I: last.I - 1}}, 10)
	if len(entries) != 1 || fmt.Sprint(entries[0].Kind) != "insert" {
		t.Errorf("the last entries are %v", entries)
	}
}

// What was read of the oplog stays, though it falls off meanwhile.
func TestReadersOfAShortOplog(t *testing.T) {
	e := store.New(store.Config{OplogEntries: 20})
	if err := e.Create(nil, things, document(t, bson.D{})); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		before := store.Position{At: e.Now()}
		if err := e.Insert(nil, things, document(t, bson.D{{Key: "_id", Value: i}})); err != nil {
			t.Fatal(err)
		}
		held, _, _ := e.Read(before, 10)
		for j := range 25 {
			if err := e.Insert(nil, things, document(t, bson.D{{Key: "_id", Value: fmt.Sprint(i, j)}})); err != nil {
				t.Fatal(err)
			}
		}
		if len(held) != 1 || held[0] == nil {
			t.Fatalf("what was read has become %v", held)
		}
	}
}
