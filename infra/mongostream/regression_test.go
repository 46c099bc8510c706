package mongostream_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Bugs of others, that must not be ours.

// gh-ost#1684: a heartbeat that overtakes changes not settled yet loses them at
// the next resume.
func TestHeartbeatsDoNotOvertake(t *testing.T) {
	w := newWorld(t, 1)
	slow := newPending()
	f, stop := w.follower(mongostream.Config{Lease: 900 * time.Millisecond, Grace: 50 * time.Millisecond,
		Handle: func(context.Context, mongostream.Change) (mongostream.Ack, error) {
			return slow.wait, nil
		}})
	w.insert(1)
	waitFor(t, "the change to be handled", func() bool { return f.Status().Handled == 1 })
	for range 5 { // the stream moves on meanwhile, and has nothing to tell
		if _, err := w.db.Collection("others").InsertOne(w.ctx, bson.D{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if st := f.Status(); st.InFlight != 1 || st.Lag >= 0 && st.Lag < 900*time.Millisecond {
		t.Errorf("a change is not settled, and the status is %+v", st)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var seen log
	_, stop = w.follower(mongostream.Config{Handle: seen.handle, Lease: 400 * time.Millisecond})
	waitFor(t, "the change that was not settled", func() bool { return slices.Equal(seen.get(), []string{inserted(1)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
