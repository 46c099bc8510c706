package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// What was published before there was a relay is found by its first sweep, and comes
// before what is published afterwards.
func TestTheFirstSweepFindsWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	published := map[string]int{}
	var docs []bson.D
	for d := range 450 { // more than a page
		key := fmt.Sprintf("key%d", d)
		doc, err := outbox.Embed(bson.D{{Key: "_id", Value: key}}, event(key, 0), event(key, 1))
		w.must(err)
		docs = append(docs, doc)
		published[key] = 2
	}
	_, err := w.users.InsertMany(w.ctx, docs)
	w.must(err)
	w.must(outbox.InTransaction(w.ctx, w.client, func(ctx context.Context) error {
		return outbox.Insert(ctx, w.outbox, event("other", 0), event("other", 1))
	}))
	published["other"] = 2
	r, stop := w.relay()
	for d := range 20 {
		key := fmt.Sprintf("key%d", d)
		w.must(w.push(w.ctx, key, key, 2))
		published[key] = 3
	}
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(published); n > 0 {
		t.Errorf("%d events came again", n)
	}
	if n := r.Status().Swept; n < 882 {
		t.Errorf("%d events were swept", n)
	}
}

// The relay was away for longer than the oplog reaches: it takes a new position
// and finds what waits, before it goes on with what the stream tells.
func TestASweepReplacesALostHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *mongodb.Config) { c.OplogEntries = 50 })
	_, stop := w.relay()
	w.must(w.push(w.ctx, "doc0", "key0", 0))
	w.awaitEmpty()
	w.stop(stop)
	published := map[string]int{"key0": 1}
	for i := range 100 {
		doc := fmt.Sprintf("%d", i%10)
		w.must(w.push(w.ctx, "doc"+doc, "key"+doc, published["key"+doc]))
		published["key"+doc]++
	}
	r, stop := w.start(func(c *outbox.Config) { c.SweepEvery = time.Hour })
	w.await("the recovery", func() bool { return r.Status().Recovered > 0 })
	for i := range 10 {
		doc := fmt.Sprintf("%d", i%10)
		w.must(w.push(w.ctx, "doc"+doc, "key"+doc, published["key"+doc]))
		published["key"+doc]++
	}
	w.awaitEmpty()
	w.stop(stop)
	w.check(published)
	if s := r.Status(); s.Swept < 100 || s.Recovered < 1 {
		t.Errorf("status %+v", s)
	}
}

// A relay that ends in the middle of cleaning up what it swept leaves behind only
// events whose successors are left behind as well, however they are spread over
// documents and collections.
func TestWhatIsLeftOfASweepHasItsSuccessors(t *testing.T) {
	t.Parallel()
	var left atomic.Int64 // clean-ups
	w := newWorld(t, func(c *mongodb.Config) {
		c.Fault = func(command, namespace string) mongodb.Fault {
			if (command == "update" || command == "delete") && !strings.Contains(namespace, "banyan") && left.Add(-1) < 0 {
				return mongodb.Fault{Kind: mongodb.CloseBefore}
			}
			return mongodb.Fault{}
		}
	})
	left.Store(1 << 30)
	const n = 12
	for i := range n {
		if i%4 < 2 {
			w.must(w.push(w.ctx, fmt.Sprintf("doc%d", i%3), "key", i))
			continue
		}
		w.must(outbox.InTransaction(w.ctx, w.client, func(ctx context.Context) error {
			return outbox.Insert(ctx, w.outbox, event("key", i))
		}))
	}
	for round := range int64(4) {
		left.Store(round)
		r, stop := w.relay(func(c *outbox.Config) { c.Name, c.Grace = fmt.Sprint("relay", round), 50*time.Millisecond })
		w.await("the clean-up", func() bool { return left.Load() < 0 || r.Status().Sweeps > 0 })
		w.stop(stop)
	}
	left.Store(1 << 30)
	_, stop := w.relay(func(c *outbox.Config) { c.Name = "last" })
	w.awaitEmpty()
	w.stop(stop)
	if again := w.check(map[string]int{"key": n}); again == 0 {
		t.Error("no clean-up was cut short")
	}
}

// The sweep leaves alone what the stream is still to tell of, however long that
// takes: else a later event of one document could overtake an earlier one of
// another.
func TestTheSweepDoesNotOvertakeTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	var first sync.Once
	slow := &unreliable{Publisher: w.publisher(), fail: func() error {
		first.Do(func() { <-release })
		return nil
	}}
	r, stop := w.relay(func(c *outbox.Config) { c.Publisher, c.SweepEvery = slow, time.Millisecond })
	before := r.Status().Sweeps
	for n := range 100 {
		w.must(w.push(w.ctx, fmt.Sprintf("doc%d", 100-n), "key", n))
	}
	close(release)
	w.awaitEmpty()
	w.await("a sweep", func() bool { return r.Status().Sweeps > before })
	w.stop(stop)
	if n, swept := w.check(map[string]int{"key": 100}), r.Status().Swept; n > 0 || swept > 0 {
		t.Errorf("%d events came again, %d were swept", n, swept)
	}
}
