package changes

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

func changeOf(id string, at int) *change {
	kind, value, err := bson.MarshalValue(id)
	if err != nil {
		panic(err)
	}
	return &change{Version: side.Version{ID: bson.RawValue{Type: kind, Value: value}, At: stamp.ClusterTime(at)}}
}

// applying runs appliers whose every change waits for a permit.
type applying struct {
	*appliers
	permits chan error // what the next change ends with
	begun   chan *change
	mu      sync.Mutex
	applied map[string][]stamp.ClusterTime
	ended   chan error
}

func newApplying(t *testing.T, lanes int) *applying {
	a := &applying{permits: make(chan error), begun: make(chan *change), applied: map[string][]stamp.ClusterTime{}, ended: make(chan error, 1)}
	a.appliers = newAppliers(lanes, func(ctx context.Context, c *change) error {
		select {
		case a.begun <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-a.permits:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		id := c.ID.StringValue()
		a.applied[id] = append(a.applied[id], c.At)
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { a.ended <- a.run(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		<-a.stopped
	})
	return a
}

// TestChangesOfADocumentThatWaitAreAppliedAsOne: the last of them, and all are acknowledged
// once it is, neither before nor later.
func TestChangesOfADocumentThatWaitAreAppliedAsOne(t *testing.T) {
	a := newApplying(t, 1)
	acks := map[int]func(context.Context) error{}
	acks[1] = a.enqueue(changeOf("hot", 1))
	<-a.begun // the first is being applied while the others come
	for at := 2; at <= 200; at++ {
		id := "hot"
		if at == 100 || at == 150 {
			id = "cold"
		}
		acks[at] = a.enqueue(changeOf(id, at))
	}
	a.permits <- nil
	if c := <-a.begun; c.At != 200 || acks[1](t.Context()) != nil {
		t.Fatalf("behind the first comes that of %d", c.At)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, at := range []int{2, 100, 150, 199, 200} {
		if err := acks[at](ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the change of %d is acknowledged before it is applied: %v", at, err)
		}
	}
	a.permits <- nil
	<-a.begun
	a.permits <- nil
	for at, ack := range acks {
		if err := ack(t.Context()); err != nil {
			t.Errorf("the change of %d: %v", at, err)
		}
	}
	if !slices.Equal(a.applied["hot"], []stamp.ClusterTime{1, 200}) || !slices.Equal(a.applied["cold"], []stamp.ClusterTime{150}) {
		t.Errorf("applied: %v", a.applied)
	}
}

// TestAFailedChangeAcknowledgesNothing: neither itself nor what waits for it.
func TestAFailedChangeAcknowledgesNothing(t *testing.T) {
	a := newApplying(t, 3)
	first := a.enqueue(changeOf("a", 1))
	<-a.begun
	second, third := a.enqueue(changeOf("a", 2)), a.enqueue(changeOf("a", 3))
	broken := errors.New("broken")
	a.permits <- broken
	for _, ack := range []func(context.Context) error{first, second, third} {
		if err := ack(t.Context()); !errors.Is(err, broken) {
			t.Errorf("acknowledged with %v", err)
		}
	}
	if err := <-a.ended; !errors.Is(err, broken) {
		t.Errorf("the appliers end with %v", err)
	}
}
