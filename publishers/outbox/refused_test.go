package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// Entries that can never be events are kept whole with the reason, and their
// neighbours are relayed.
func TestPoisonIsMovedAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	large := event("key", 0)
	large.ID, large.Data = "large", []byte(`"`+strings.Repeat("x", 70<<10)+`"`)
	entries, err := outbox.Entries(event("key", 0), large, event("key", 1))
	w.must(err)
	noID := bson.D{{Key: "type", Value: "test.happened"}}
	broken := bson.D{{Key: "id", Value: "broken"}, {Key: "event", Value: bson.Binary{Data: []byte("{")}}}
	other := bson.D{{Key: "id", Value: "other"}, {Key: "event", Value: string(entries[0].(bson.D)[3].Value.(bson.Binary).Data)}}
	all := bson.A{"junk", entries[0], noID, int32(7), entries[1], broken, other, entries[2], bson.A{}, nil}
	r, stop := w.relay()
	_, err = w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "doc"}, {Key: "_outbox", Value: all}})
	w.must(err)
	_, err = w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "text"}, {Key: "_outbox", Value: "not an array"}})
	w.must(err)
	_, err = w.outbox.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "junk"}})
	w.must(err)
	w.must(w.push(w.ctx, "later", "key", 2))
	w.await("the poison to be moved", func() bool { return r.Status().Refused >= 9 && r.Status().Waiting == 0 })
	w.stop(stop)
	if n := w.check(map[string]int{"key": 3}); n > 0 {
		t.Errorf("%d events came again", n)
	}
	var doc struct {
		Outbox bson.A `bson:"_outbox"`
	}
	w.must(w.users.FindOne(w.ctx, bson.D{{Key: "_id", Value: "doc"}}).Decode(&doc))
	if len(doc.Outbox) > 1 || len(doc.Outbox) == 1 && doc.Outbox[0] != nil {
		t.Errorf("left in the document: %v", doc.Outbox)
	}
	w.checkRefused(map[string]string{
		"junk": "string", "7": "32-bit integer", "broken": "malformed", "other": "not the \"key/0\"", "large": "too large",
		"test.happened": "no id", "[]": "array", "not an array": "string", `"_id": "junk"`: "type",
	})
}

// What is refused and too large to be moved stays where it is, and holds up nobody.
func TestWhatIsTooLargeToBeMovedStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.relay(func(c *outbox.Config) { c.SweepEvery = time.Hour })
	entries, err := outbox.Entries(event("key", 0))
	w.must(err)
	_, err = w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "doc"}, {Key: "_outbox", Value: bson.A{strings.Repeat("x", 7<<20), entries[0], "small"}}})
	w.must(err)
	_, err = w.outbox.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "large"}, {Key: "x", Value: strings.Repeat("x", 16<<20-1000)}})
	w.must(err)
	w.must(w.push(w.ctx, "other", "key", 1))
	w.await("the rest", func() bool {
		return len(w.read()) >= 2 && r.Status().Stuck >= 2 && w.waiting("users") == 1 && len(w.refused()) == 1
	})
	w.stop(stop)
	w.check(map[string]int{"key": 2})
	if n, err := w.users.CountDocuments(w.ctx, bson.D{{Key: "_outbox", Value: bson.D{{Key: "$size", Value: 1}}}}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := w.outbox.CountDocuments(w.ctx, bson.D{}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// What was refused is tried again when it is put back: in vain as long as nothing
// has changed, and then not.
func TestWhatWasRefusedCanBePutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	large := event("key", 0)
	large.Data = []byte(`"` + strings.Repeat("x", 70<<10) + `"`)
	r, stop := w.relay()
	doc, err := outbox.Embed(bson.D{{Key: "_id", Value: "doc"}}, large)
	w.must(err)
	_, err = w.users.InsertOne(w.ctx, doc)
	w.must(err)
	large.ID, large.PartitionKey = "other/0", "other"
	w.must(outbox.InTransaction(w.ctx, w.client, func(ctx context.Context) error {
		return outbox.Insert(ctx, w.outbox, large)
	}))
	w.await("the refusals", func() bool { return r.Status().Refused >= 2 && r.Status().Waiting == 0 })
	for _, id := range w.refused() {
		w.must(outbox.Redrive(w.ctx, w.db.Collection("outbox_refused"), id))
	}
	w.await("the refusals", func() bool { return r.Status().Refused >= 4 && r.Status().Waiting == 0 })
	w.stop(stop)
	cfg := publisherConfig(w.stream)
	cfg.MaxRecordBytes = 1 << 20
	p, err := kinesis.New(w.ctx, cfg)
	w.must(err)
	defer func() { _ = p.Close(w.ctx) }()
	r, stop = w.relay(func(c *outbox.Config) { c.Publisher = p })
	refused := w.refused()
	for _, id := range refused {
		w.must(outbox.Redrive(w.ctx, w.db.Collection("outbox_refused"), id))
	}
	w.await("the events", func() bool { return len(w.read()) == 2 })
	w.awaitEmpty()
	w.stop(stop)
	w.check(map[string]int{"key": 1, "other": 1})
	if left := w.refused(); len(left) > 0 {
		t.Errorf("still refused: %v", left)
	}
	if err := outbox.Redrive(w.ctx, w.db.Collection("outbox_refused"), refused[0]); !errors.Is(err, outbox.ErrGone) {
		t.Errorf("a second time: %v", err)
	}
}

// An event whose document is gone stays where it was moved to.
func TestARefusedEventOfADeletedDocumentStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.relay()
	_, err := w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "doc"}, {Key: "_outbox", Value: bson.A{"junk"}}})
	w.must(err)
	w.await("the refusal", func() bool { return r.Status().Refused >= 1 && r.Status().Waiting == 0 })
	w.stop(stop)
	_, err = w.users.DeleteOne(w.ctx, bson.D{})
	w.must(err)
	if err := outbox.Redrive(w.ctx, w.db.Collection("outbox_refused"), w.refused()[0]); !errors.Is(err, outbox.ErrGone) {
		t.Error(err)
	}
	if n := len(w.refused()); n != 1 {
		t.Errorf("%d are left", n)
	}
	w.must(outbox.Discard(w.ctx, w.db.Collection("outbox_refused"), w.refused()[0]))
	if err := outbox.Discard(w.ctx, w.db.Collection("outbox_refused"), "it"); !errors.Is(err, outbox.ErrGone) || len(w.refused()) > 0 {
		t.Errorf("discard again: %v", err)
	}
}

// refused are the ids of what was moved aside.
func (w *world) refused() (ids []string) {
	w.t.Helper()
	w.must(outbox.EachRefused(w.ctx, w.db.Collection("outbox_refused"), func(r outbox.Refused) error {
		ids = append(ids, r.ID)
		return nil
	}))
	return ids
}

// checkRefused finds each entry by a part of it and holds the reason against a
// part of that.
func (w *world) checkRefused(want map[string]string) {
	w.t.Helper()
	cursor, err := w.db.Collection("outbox_refused").Find(w.ctx, bson.D{})
	w.must(err)
	var all []struct {
		Collection, Reason string
		Entry              bson.RawValue
		At                 time.Time
		Document           bson.Raw
	}
	w.must(cursor.All(w.ctx, &all))
	for part, reason := range want {
		found := false
		for _, r := range all {
			entry := r.Entry.String()
			found = found || strings.Contains(entry, part) && strings.Contains(r.Reason, reason) &&
				r.Document.Lookup("_id").StringValue() != "" && time.Since(r.At) < time.Minute
		}
		if !found {
			w.t.Errorf("%s was not moved aside because of %q", part, reason)
		}
	}
	if w.t.Failed() {
		for _, r := range all {
			w.t.Logf("%.100v: %s", r.Entry, r.Reason)
		}
	}
}
