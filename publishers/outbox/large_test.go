package outbox_test

import (
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// TestChangesThatAreTooLarge come without documents from a server that cannot split
// events: the entries are read as they were then.
func TestChangesThatAreTooLarge(t *testing.T) {
	w := newWorld(t)
	r, err := outbox.New(outbox.Config{Database: w.db, Documents: []string{"users"}, Outboxes: []string{"outbox"}, Publisher: w.publisher()})
	w.must(err)
	start, err := w.db.RunCommand(w.ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	w.must(err)
	second, i := start.Lookup("operationTime").Timestamp()
	w.must(w.push(w.ctx, "doc", "key", 0))
	w.must(w.push(w.ctx, "doc", "key", 1))
	if !w.writeInOutbox("key", 2) {
		t.Fatal("no transaction")
	}
	w.must(w.push(w.ctx, "doc", "key", 3))
	stream, err := mongostream.Source{Database: w.db}.Open(w.ctx, mongostream.Position{Start: bson.Timestamp{T: second, I: i + 1}}, time.Millisecond)
	w.must(err)
	defer stream.Close(w.ctx)
	for _, want := range [][]string{{"key/0"}, {"key/0", "key/1"}, nil, {"key/2"}, {"key/0", "key/1", "key/3"}} {
		c, err := stream.Next(w.ctx)
		w.must(err)
		if c.Collection == "posts" {
			continue
		}
		c.Full, c.Updated, c.Stripped = nil, nil, true
		if got, err := r.EntriesIn(w.ctx, *c); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", c, got, err, want)
		}
	}
}
