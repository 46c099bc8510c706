package mongostream_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// chunks interleaves one chunk at each given time.
type chunks struct {
	at    []*bson.Timestamp
	seen  *log
	n     int32
	begun []string
}

func (c *chunks) Begin(_ context.Context, state bson.Raw, fresh bool) (bson.Raw, error) {
	c.n = 0
	if state != nil {
		c.n = state.Lookup("n").Int32()
	}
	c.begun = append(c.begun, fmt.Sprint(c.n, fresh))
	if fresh {
		return bson.Marshal(bson.D{{Key: "n", Value: int32(0)}})
	}
	return state, nil
}

func (c *chunks) Next(context.Context) (*mongostream.Chunk, error) {
	if int(c.n) == len(c.at) {
		return nil, nil
	}
	n, at := c.n, *c.at[c.n]
	c.n++
	state, err := bson.Marshal(bson.D{{Key: "n", Value: c.n}})
	return &mongostream.Chunk{At: bson.Timestamp{T: at.T, I: at.I - 1}, State: state, Handle: func(context.Context) (mongostream.Ack, error) {
		c.seen.mu.Lock()
		defer c.seen.mu.Unlock()
		c.seen.all = append(c.seen.all, fmt.Sprint("chunk ", n))
		return nil, nil
	}}, err
}

// TestChunksHaveTheirPlace: behind all changes up to their time, before the later
// ones, and once.
func TestChunksHaveTheirPlace(t *testing.T) {
	w := newWorld(t, 1)
	var seen log
	start := w.now()
	w.insert(1)
	first := w.now()
	w.insert(2, 3)
	second := w.now()
	c := &chunks{at: []*bson.Timestamp{first, second}, seen: &seen}
	cfg := mongostream.Config{Handle: seen.handle, StartAt: start, Interleave: c}
	_, stop := w.follower(cfg)
	want := []string{inserted(1), "chunk 0", inserted(2), inserted(3), "chunk 1"}
	eventually.True(t, "changes and chunks", func() bool { return slices.Equal(seen.get(), want) })
	eventually.True(t, "the state to be stored", func() bool { return w.position().Lookup("state", "n").AsInt64() == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	_, stop = w.follower(cfg)
	w.insert(4)
	eventually.True(t, "to go on", func() bool { return slices.Equal(seen.get(), append(want, inserted(4))) })
	w.awaitPosition()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if c.begun[0] != "0 true" || c.begun[len(c.begun)-1] != "2 false" || !slices.Equal(seen.get(), append(want, inserted(4))) {
		t.Errorf("begun as %v, seen %v", c.begun, seen.get())
	}
}
