package kinesis_test

import (
	"errors"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// TestABrokenPromiseIsNotPublished: an event that is not what its type says never
// reaches the stream; one of a type that nobody declared does.
func TestABrokenPromiseIsNotPublished(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	p := w.publisher(kinesis.Config{Check: social.Registry().Check})
	broken := joined(t, "u1")
	broken.PartitionKey = "u2"
	if _, err := p.Publish(within(t, patience), broken); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("Publish with another user's partition key: %v", err)
	}
	broken = joined(t, "u1")
	broken.Data = []byte(`{"userId":"","name":"Ada","joinedAt":"2016-11-21T12:00:00Z"}`)
	if _, err := p.Enqueue(within(t, patience), broken); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("Enqueue without an id: %v", err)
	}
	foreign := joined(t, "u1")
	foreign.Type, foreign.Data = "order.placed", []byte(`[1]`)
	for _, e := range []events.Event{foreign, joined(t, "u1")} {
		if _, err := p.Publish(within(t, patience), e); err != nil {
			t.Error(err)
		}
	}
	if all := w.read(); len(all) != 2 {
		t.Errorf("on the stream: %+v", all)
	}
}
