package warehouse_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/warehouse"
	"github.com/banyan-fig/banyan/events"
)

// store keeps objects, and fails now and then.
type store struct {
	mu      sync.Mutex
	random  *rand.Rand // nil: never
	objects map[string][]byte
}

var errFull = errors.New("the test's store is full")

func (s *store) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.random != nil && s.random.IntN(4) == 0 {
		return errFull
	}
	s.objects[name] = data
	return nil
}

// batch is events with the name that follows from them.
type batch []warehouse.Event

func (b batch) name() string {
	first, last := b[0], b[len(b)-1]
	return first.Shard + "-" + first.Position.Sequence + "-" + last.Position.Sequence
}

func (b batch) all() iter.Seq2[warehouse.Event, error] {
	return func(yield func(warehouse.Event, error) bool) {
		for _, e := range b {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// newBatches are those of a shard over a day and a half: events are published twice now and
// then, and the last ones of a batch delivered again in the next. ids are those of all.
func newBatches(t *testing.T, r *rand.Rand) (batches []batch, ids map[string]bool) {
	t.Helper()
	var all batch
	ids = map[string]bool{}
	for i := range 150 {
		e := eventOf("order.placed", 1+r.IntN(2), fmt.Sprintf(`{"orderId":"1","cents":%d}`, i))
		if r.IntN(5) == 0 {
			e = eventOf("order.lost", 1, `{}`)
		}
		e.ID = fmt.Sprint("e", i)
		ids[e.ID] = true
		raw, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(5)/4 {
			all = append(all, warehouse.Event{
				Position: events.Position{Sequence: fmt.Sprint(1000 + len(all))}, Shard: "shard", Raw: raw,
				Arrived: noon.Add(time.Duration(i) * 15 * time.Minute),
			})
		}
	}
	for from := 0; from < len(all); {
		to := min(from+1+r.IntN(30), len(all))
		batches = append(batches, all[from:to])
		if from = max(from+1, to-r.IntN(4)); to == len(all) {
			break
		}
	}
	return batches, ids
}

// TestEveryEventIsARow: whatever is loaded twice, late or cut short, the objects are those of
// a load in calm, each in the partition of its rows, and have every event.
func TestEveryEventIsARow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	batches, want := newBatches(t, r)
	calm, rough := &store{objects: map[string][]byte{}}, &store{objects: map[string][]byte{}, random: r}
	catalog := catalogOf(t, orders)
	for _, b := range batches {
		if _, err := (&warehouse.Loader{Catalog: catalog, Store: calm}).Load(t.Context(), b.name(), b.all()); err != nil {
			t.Fatal(err)
		}
	}
	l := &warehouse.Loader{Catalog: catalog, Store: rough}
	for pending := slices.Concat(batches, batches[:len(batches)/2]); len(pending) > 0; {
		rough.mu.Lock()
		i := r.IntN(len(pending))
		rough.mu.Unlock()
		if _, err := l.Load(t.Context(), pending[i].name(), pending[i].all()); err == nil {
			pending = slices.Delete(pending, i, i+1)
		} else if !errors.Is(err, errFull) {
			t.Fatal(err)
		}
	}
	if !maps.EqualFunc(calm.objects, rough.objects, bytes.Equal) {
		t.Errorf("seed %d: %d objects, want %d, or they differ", seed, len(rough.objects), len(calm.objects))
	}
	got := map[string]bool{}
	for name, data := range rough.objects {
		checkPartition(t, name, data, got)
	}
	if !maps.Equal(got, want) {
		t.Errorf("seed %d: the tables have %d events, want %d", seed, len(got), len(want))
	}
}

// checkPartition adds the ids of an object's rows.
func checkPartition(t *testing.T, name string, data []byte, ids map[string]bool) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(z); s.Scan(); {
		var row struct {
			ID      string `json:"event_id"`
			Arrived string `json:"event_arrived"`
			Type    string `json:"event_type"`
		}
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		ids[row.ID] = true
		table := map[string]string{"order.placed": "order_placed", "order.lost": "other"}[row.Type]
		if want := table + "/dt=" + row.Arrived[:10]; path.Dir(name) != want {
			t.Errorf("%s has a row of %s", name, want)
		}
	}
}

func TestABatchThatCannotBeRead(t *testing.T) {
	s := &store{objects: map[string][]byte{}}
	broken := func(yield func(warehouse.Event, error) bool) {
		_ = yield(warehouse.Event{Raw: []byte("x"), Arrived: noon}, nil) && yield(warehouse.Event{}, errFull)
	}
	_, err := (&warehouse.Loader{Catalog: catalogOf(t, orders), Store: s}).Load(t.Context(), "batch", broken)
	if !errors.Is(err, errFull) || len(s.objects) > 0 {
		t.Errorf("%v, %d objects", err, len(s.objects))
	}
}
