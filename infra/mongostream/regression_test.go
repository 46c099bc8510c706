package mongostream_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Bugs of others, that must not be ours.

// gh-ost#1684: a heartbeat that overtakes unacknowledged changes loses them at
// the next resume.
func TestHeartbeatsDoNotOvertake(t *testing.T) {
	w := newWorld(t, 1)
	slow := newPending()
	f, stop := w.follower(mongostream.Config{Lease: 900 * time.Millisecond, Grace: 50 * time.Millisecond,
		Handle: func(context.Context, mongostream.Change) (mongostream.Ack, error) {
			return slow.wait, nil
		}})
	w.insert(1)
	eventually.True(t, "the change to be handled", func() bool { return f.Status().Handled >= 1 })
	token := func() string { return w.position().Lookup("token").String() }
	w.awaitSaves(2, func() {}) // which may be of heartbeats before the change
	before := token()
	w.awaitSaves(4, func() { // the stream advances meanwhile, and has no changes
		if _, err := w.db.Collection("others").InsertOne(w.ctx, bson.D{}); err != nil {
			t.Fatal(err)
		}
	})
	if after := token(); before != after {
		t.Errorf("the position went from %s to %s over a change that is not acknowledged", before, after)
	}
	if st := f.Status(); st.InFlight != 1 {
		t.Errorf("a change is not acknowledged, and the status is %+v", st)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var seen log
	_, stop = w.follower(mongostream.Config{Handle: seen.handle})
	eventually.True(t, "the change that was not acknowledged", func() bool { return slices.Equal(seen.get(), []string{inserted(1)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// nats-connector#13, PeerDB#3087: the driver reads a stream that was invalidated for
// ever as one without changes, since its cursor was closed without an error.
func TestAnInvalidatedStreamIsClosed(t *testing.T) {
	w := newWorld(t, 1)
	stream, err := w.source().Open(w.ctx, mongostream.Position{Start: *w.now()}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close(w.ctx)
	w.insert(1)
	if err := w.things.Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	var operations []string
	eventually.True(t, "the end of the stream", func() bool {
		c, err := stream.Next(w.ctx)
		if c != nil {
			operations = append(operations, c.Operation)
		}
		if err != nil && !errors.Is(err, mongostream.ErrClosed) {
			t.Fatal(err)
		}
		return err != nil
	})
	if !slices.Equal(operations, []string{"insert", "drop", "invalidate"}) {
		t.Errorf("%v", operations)
	}
}
