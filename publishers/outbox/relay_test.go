package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

func permanent(err error) bool {
	return errors.Is(err, kinesis.ErrTooLarge) || errors.Is(err, events.ErrMalformed)
}

// Several documents tell of several keys, many events each; all are on the stream
// once, in the order of the writes, and the documents are as if there were none.
func TestEventsAreRelayedInOrderAndLeaveNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.relay()
	published := make(map[string]int)
	var writing sync.WaitGroup
	for i := range 4 {
		key := fmt.Sprintf("key%d", i)
		published[key] = 50
		writing.Go(func() {
			for n := range 50 {
				if err := w.push(w.ctx, fmt.Sprintf("doc%d", n%3), key, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(published); n > 0 {
		t.Errorf("%d events came again without a need", n)
	}
	cursor, err := w.users.Find(t.Context(), bson.D{})
	w.must(err)
	var docs []bson.M
	w.must(cursor.All(t.Context(), &docs))
	for _, doc := range docs {
		if len(doc) != 2 { // _id and changes
			t.Errorf("the relay left something behind: %v", doc)
		}
	}
	if s := r.Status(); s.Published != 200 || s.Waiting != 0 || s.Swept != 0 || s.Refused != 0 || s.Oldest != 0 || s.Bytes == 0 {
		t.Errorf("status %+v", s)
	}
}

// The rest of an array that the relay's own clean-up leaves shows in the change
// stream as if it was new. Here the relay remembers only one event, so nothing but
// the mark tells that it is not.
func TestTheCleanUpBringsNoNewEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := make(chan struct{})
	slow := &unreliable{Publisher: w.publisher(), fail: func() error { <-held; return nil }}
	_, stop := w.relay(func(c *outbox.Config) { c.Publisher, c.Window, c.Remember = slow, 1, 1 })
	const n = 40
	for i := range n {
		w.must(w.push(w.ctx, "doc", "key", i))
		if i == 10 {
			close(held)
		}
	}
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(map[string]int{"key": n}); n > 0 {
		t.Errorf("%d events came again", n)
	}
}

// What is not published yet stays in the document, where a sweep can find it.
func TestTheCleanUpLeavesWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	var mu sync.Mutex
	n := 0
	slow := &unreliable{Publisher: w.publisher(), fail: func() error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n > 3 {
			<-release
		}
		return nil
	}}
	_, stop := w.relay(func(c *outbox.Config) { c.Publisher = slow })
	for n := range 5 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	var doc struct {
		Outbox []struct{ ID string } `bson:"_outbox"`
	}
	w.await("the clean-up", func() bool {
		doc.Outbox = nil
		w.must(w.users.FindOne(w.ctx, bson.D{}).Decode(&doc))
		return len(doc.Outbox) <= 2
	})
	if len(doc.Outbox) != 2 || doc.Outbox[0].ID != "key/3" || doc.Outbox[1].ID != "key/4" {
		t.Errorf("left in the document: %v", doc.Outbox)
	}
	close(release)
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(map[string]int{"key": 5}); n > 0 {
		t.Errorf("%d events came again", n)
	}
}

func TestOutboxCollection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.relay()
	for n := range 20 {
		w.must(outbox.InTransaction(w.ctx, w.client, func(ctx context.Context) error {
			if _, err := w.users.InsertOne(ctx, bson.D{{Key: "_id", Value: n}}); err != nil {
				return err
			}
			return outbox.Insert(ctx, w.outbox, event("key", 2*n), event("key", 2*n+1))
		}))
	}
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(map[string]int{"key": 40}); n > 0 {
		t.Errorf("%d events came again", n)
	}
}

// A document that is deleted right behind its event, and while nobody relays: the
// stream still has the write.
func TestEventsOfDeletedDocumentsAreRelayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.relay()
	w.stop(stop)
	for n := range 5 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	_, err := w.users.DeleteOne(w.ctx, bson.D{})
	w.must(err)
	_, stop = w.relay()
	w.await("the events", func() bool { return len(w.read()) == 5 })
	w.stop(stop)
	w.check(map[string]int{"key": 5})
}

// Where the history is lost and the document deleted, the event is gone: no sweep
// can find it. A deletion that is published in the collection form is found.
func TestDeletionsArePublishedFromTheCollection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *mongodb.Config) { c.OplogEntries = 50 })
	_, stop := w.relay()
	w.must(w.push(w.ctx, "doc", "published", 0))
	w.awaitEmpty()
	w.stop(stop)
	w.must(w.push(w.ctx, "doc", "unpublished", 0))
	w.must(outbox.InTransaction(w.ctx, w.client, func(ctx context.Context) error {
		if _, err := w.users.DeleteOne(ctx, bson.D{{Key: "_id", Value: "doc"}}); err != nil {
			return err
		}
		return outbox.Insert(ctx, w.outbox, event("published", 1))
	}))
	for n := range 100 {
		_, err := w.db.Collection("posts").InsertOne(w.ctx, bson.D{{Key: "_id", Value: n}})
		w.must(err)
	}
	_, stop = w.relay()
	w.awaitEmpty()
	w.stop(stop)
	w.check(map[string]int{"published": 2})
}

// A publisher that fails for a while holds everything up and loses nothing. It
// gave up on events and took their successors, which therefore were first on the
// stream; what counts in the end is in order.
func TestAFailingPublisherIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	n := 0
	p := &unreliable{Publisher: w.publisher(), fail: func() error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n > 5 && n < 25 {
			return errors.New("closed for repairs")
		}
		return nil
	}}
	r, stop := w.relay(func(c *outbox.Config) { c.Publisher = p })
	for i := range 60 {
		w.must(w.push(w.ctx, "doc", "key", i))
	}
	w.awaitEmpty()
	w.stop(stop)
	w.checkConverged(map[string]int{"key": 60})
	if s := r.Status(); s.Refused > 0 || !strings.Contains(s.Follower.LastError, "closed for repairs") {
		t.Errorf("status %+v", s)
	}
}

// held settles no receipt of the events it says.
type held struct {
	publishers.Publisher
	hold func(data []byte) (publishers.Receipt, bool)
}

func (h *held) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	if r, ok := h.hold(data); ok {
		return r, nil
	}
	return h.Publisher.EnqueueEncoded(ctx, key, data)
}

// later is a receipt that somebody else settles.
type later struct {
	done chan struct{}
	err  error
}

func (l *later) Done() <-chan struct{} { return l.done }

func (l *later) Wait(ctx context.Context) (events.Position, error) {
	select {
	case <-l.done:
		return events.Position{}, l.err
	case <-ctx.Done():
		return events.Position{}, ctx.Err()
	}
}

// A relay that ends while its publisher still has events has neither taken them
// out of the database nor stored a position behind them.
func TestThePositionWaitsForPublishing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	never := &held{w.publisher(), func([]byte) (publishers.Receipt, bool) { return &later{done: make(chan struct{})}, true }}
	r, stop := w.relay(func(c *outbox.Config) { c.Publisher, c.Grace = never, 400*time.Millisecond })
	for n := range 5 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	w.await("the events to be read", func() bool { return r.Status().Waiting == 5 })
	w.stop(stop)
	if n, err := w.users.CountDocuments(w.ctx, bson.D{{Key: "_outbox", Value: bson.D{{Key: "$size", Value: 5}}}}); n != 1 || err != nil {
		t.Errorf("the events are not where they were: %d, %v", n, err)
	}
	w.must(w.users.Drop(w.ctx)) // only the stream has them now
	_, stop = w.relay()
	w.await("the events", func() bool { return len(w.read()) == 5 })
	w.stop(stop)
	w.check(map[string]int{"key": 5})
}

// The position does not move over events that are published and could not be
// removed from the database yet: a relay that starts there would sweep them again, without their
// successors.
func TestThePositionWaitsForTheCleanUp(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	w := newWorld(t, func(c *mongodb.Config) {
		c.Fault = func(command, namespace string) mongodb.Fault {
			if sick.Load() && command == "update" && namespace == "legacy.users" {
				return mongodb.Fault{Kind: mongodb.CloseBefore}
			}
			return mongodb.Fault{}
		}
	})
	_, stop := w.relay()
	w.stop(stop)
	for n := range 5 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	row := func() bson.Raw {
		row, err := w.db.Collection("banyan_relays").FindOne(w.ctx, bson.D{{Key: "_id", Value: "outbox"}}).Raw()
		w.must(err)
		return row
	}
	token := func() string { return row().Lookup("token").String() }
	before := token()
	sick.Store(true)
	r, stop := w.relay()
	w.await("the events", func() bool { return len(w.read()) == 5 })
	saves := row().Lookup("rev").AsInt64()
	w.await("the position to be stored twice", func() bool { return row().Lookup("rev").AsInt64() >= saves+2 })
	if now := token(); now != before {
		t.Errorf("the position moved from %s to %s", before, now)
	}
	if s := r.Status(); s.Waiting != 5 || s.Oldest == 0 {
		t.Errorf("status %+v", s)
	}
	sick.Store(false)
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(map[string]int{"key": 5}); n > 0 || token() == before {
		t.Errorf("%d events came again, the position is %s", n, token())
	}
}

// An event fails while the next one is still on its way: that one is waited for
// before both are published again, else it would come behind its successors.
func TestWhatIsInFlightIsWaitedForBeforeItIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.publisher()
	var mu sync.Mutex
	seen := make(map[string]bool)
	slow := &later{done: make(chan struct{})}
	late := &held{p, func(data []byte) (publishers.Receipt, bool) {
		e, err := events.Decode(data)
		mu.Lock()
		defer mu.Unlock()
		if again := seen[e.ID]; err != nil || again {
			return nil, false
		}
		seen[e.ID] = true
		switch e.ID {
		case event("key", 1).ID:
			return failed{errors.New("once")}, true
		case event("key", 2).ID:
			time.AfterFunc(300*time.Millisecond, func() {
				defer close(slow.done)
				if r, err := p.EnqueueEncoded(w.ctx, e.PartitionKey, data); err == nil {
					_, slow.err = r.Wait(w.ctx)
				}
			})
			return slow, true
		}
		return nil, false
	}}
	_, stop := w.relay(func(c *outbox.Config) { c.Publisher = late })
	for n := range 5 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	w.awaitEmpty()
	<-slow.done // in case the relay did not wait for it
	w.stop(stop)
	w.checkConverged(map[string]int{"key": 5})
}

// Applications that write the array as a whole, as some mappers do, are understood,
// and what they write again is not published again.
func TestArraysWrittenAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := make(chan struct{})
	slow := &unreliable{Publisher: w.publisher(), fail: func() error { <-held; return nil }}
	_, stop := w.relay(func(c *outbox.Config) { c.Publisher = slow })
	entries, err := outbox.Entries(event("key", 0), event("key", 1), event("key", 2), event("key", 3), event("key", 4))
	w.must(err)
	byID := bson.D{{Key: "_id", Value: "doc"}}
	set := func(field string, value any) {
		t.Helper()
		_, err := w.users.UpdateOne(w.ctx, byID, bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}})
		w.must(err)
	}
	_, err = w.users.InsertOne(w.ctx, byID)
	w.must(err)
	set("_outbox", entries[:2])
	set("_outbox", entries[:3])
	_, err = w.users.ReplaceOne(w.ctx, byID, bson.D{{Key: "_outbox", Value: entries[:4]}})
	w.must(err)
	set("_outbox.3", entries[4]) // in place of the event before: the stream has published of that
	set("_outbox.3.note", "a change inside of an entry")
	close(held)
	w.awaitEmpty()
	set("_outbox", entries[:3]) // by one who had read the document before
	w.awaitEmpty()
	w.stop(stop)
	if n := w.check(map[string]int{"key": 5}); n > 0 {
		t.Errorf("%d events came again", n)
	}
}

// An event inside of which something changed cannot be read from the change: the
// document as of then is.
func TestAnEntryThatBecomesAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := make(chan struct{}) // until then the first event keeps the relay from removing what is no event yet
	slow := &unreliable{Publisher: w.publisher(), fail: func() error { <-held; return nil }}
	_, stop := w.relay(func(c *outbox.Config) { c.Publisher = slow })
	first, err := outbox.Entries(event("key", 0))
	w.must(err)
	e := event("key", 1)
	b, err := events.Encode(e)
	w.must(err)
	_, err = w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "doc"}, {Key: "_outbox", Value: bson.A{first[0], bson.D{}}}})
	w.must(err)
	_, err = w.users.UpdateOne(w.ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{
		{Key: "_outbox.1.id", Value: e.ID}, {Key: "_outbox.1.event", Value: bson.Binary{Data: b}}}}})
	w.must(err)
	close(held)
	w.await("the event", func() bool { return len(w.read()) == 2 })
	w.stop(stop)
	w.check(map[string]int{"key": 2})
}

func TestAConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	client, err := mongo.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	good := outbox.Config{Database: client.Database("d"), Publisher: &unreliable{}, Documents: []string{"users"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*outbox.Config){
		"Database":            func(c *outbox.Config) { c.Database = nil },
		"Publisher":           func(c *outbox.Config) { c.Publisher = nil },
		"no collection":       func(c *outbox.Config) { c.Documents = nil },
		"named twice":         func(c *outbox.Config) { c.Outboxes = []string{"users"} },
		"none that events":    func(c *outbox.Config) { c.Outboxes = []string{"system.views"} },
		"moved aside":         func(c *outbox.Config) { c.Outboxes = []string{"outbox_refused"} },
		`field "a.b"`:         func(c *outbox.Config) { c.Field = "a.b" },
		`field "$c"`:          func(c *outbox.Config) { c.Correlation = "$c" },
		"more than Remember":  func(c *outbox.Config) { c.Remember = 10 },
		"SweepEvery -1":       func(c *outbox.Config) { c.SweepEvery = -1 },
		"Lease 1":             func(c *outbox.Config) { c.Lease = 1 },
		"is negative or more": func(c *outbox.Config) { c.Window = -1 },
	} {
		c := good
		change(&c)
		if _, err := outbox.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}
