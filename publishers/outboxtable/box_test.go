package outboxtable_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

// direct makes what publishes in one process, and dies with the test.
func (w *world) direct(cfg direct.Config) *direct.Outbox {
	w.Helper()
	cfg.Publisher = w.publisher(kinesis.Config{})
	o, err := direct.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := o.Close(ctx); err != nil {
			w.Error(err)
		}
	})
	return o
}

// TestDirect: several processes write a few keys, and some die behind a write. All
// events are on the stream, the first of each in the order of the writes, at the position
// that was told, and the table empties.
func TestDirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults("delay 5ms\nkinesis.PutRecords throttle=0.1 timeout-after=0.05\ndynamodb.BatchWriteItem throttle=0.1 partial=0.2")
	box := outboxtable.NewBox(w.dynamo, table)
	cfg := direct.Config{Boxes: []direct.Box{box}, Patience: 500 * time.Millisecond, SweepEvery: 50 * time.Millisecond}
	processes := []*direct.Outbox{w.direct(cfg), w.direct(cfg), w.direct(cfg)}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const keys, versions = 4, 15
	told, written := make([]map[int]string, keys), make([]int, keys)
	var writers sync.WaitGroup
	for k := range keys {
		told[k] = map[int]string{}
		var mu sync.Mutex // stands for the condition on the version
		for i, o := range processes {
			r := rand.New(rand.NewPCG(seed, uint64(k*len(processes)+i)))
			writers.Go(func() {
				for {
					mu.Lock()
					if written[k] >= versions && len(told[k]) > 0 {
						mu.Unlock()
						return
					}
					written[k]++
					version := written[k]
					left := w.leave(box, fmt.Sprint("k", k), version)
					mu.Unlock()
					if r.IntN(4) == 0 {
						continue // the process is killed
					}
					position, err := o.Publish(t.Context(), left)
					if err != nil {
						continue // on a busy machine, others have lost their patience
					}
					mu.Lock()
					told[k][version] = position.String()
					mu.Unlock()
				}
			})
		}
	}
	writers.Wait()
	for deadline := time.Now().Add(time.Minute); w.items() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d items are left", w.items())
		}
	}
	positions, published := w.positions(), w.published()
	for k := range keys {
		key := fmt.Sprint("k", k)
		var first []int
		for _, version := range published[key] {
			if !slices.Contains(first, version) {
				first = append(first, version)
			}
		}
		if len(first) != written[k] || !slices.IsSorted(first) {
			t.Errorf("%s: first occurrences of its %d versions are %v", key, written[k], first)
		}
		for version, position := range told[k] {
			if positions[position] != fmt.Sprint(key, "-", version) {
				t.Errorf("version %d of %s was told to be at %s, where %q is", version, key, position, positions[position])
			}
		}
	}
}

// positions are the ids of the events by their places on the stream.
func (w *world) positions() map[string]string {
	w.Helper()
	records, err := streamtest.Records(w.Context(), w.kinesis, stream)
	if err != nil {
		w.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range records {
		e, err := events.Decode(r.Data)
		if err != nil {
			w.Fatal(err)
		}
		all[r.Position.String()] = e.ID
	}
	return all
}

// leave commits a version with its event, beside others of its key.
func (w *world) leave(box *outboxtable.Box, key string, version int) direct.Write {
	w.Helper()
	began := time.Now()
	before, err := box.Waiting(w.Context(), direct.Place(key))
	if err != nil {
		w.Fatal(err)
	}
	entry, err := outboxtable.NewEntry(uint64(version), event(key, version))
	if err != nil {
		w.Fatal(err)
	}
	_, err = w.dynamo.TransactWriteItems(w.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{entry.Item(table)}})
	if err != nil {
		w.Fatal(err)
	}
	own := entry.Direct()
	return direct.Write{Box: box, Place: own.Place, Began: began, Own: []direct.Entry{own}, Before: before}
}

// TestDirectOfNothingNew: a repeated write has what waits published, and is told its
// position; where nothing waits, it is told that nobody knows.
func TestDirectOfNothingNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := outboxtable.NewBox(w.dynamo, table)
	o := w.direct(direct.Config{Patience: 300 * time.Millisecond, Claim: time.Minute})
	w.leave(box, "k", 1) // and dies
	again := direct.Write{Box: box, Place: "k", Began: time.Now(), Unread: true}
	if position, err := o.Publish(t.Context(), again); err != nil || w.positions()[position.String()] != "k-1" {
		t.Errorf("Publish = %v, %v", position, err)
	}
	_, err := o.Publish(t.Context(), direct.Write{Box: box, Place: "other", Began: time.Now(), Unread: true})
	mustBe(t, err, direct.ErrElsewhere)
	if err := inOrder(1, w.published()["k"]); err != nil {
		t.Error(err)
	}
}
