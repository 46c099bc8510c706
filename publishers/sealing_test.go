package publishers_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// journal keeps what it was handed, and how.
type journal struct {
	events  []events.Event
	encoded [][]byte
}

func (j *journal) Enqueue(_ context.Context, e events.Event) (publishers.Receipt, error) {
	j.events = append(j.events, e)
	return nil, nil
}

func (j *journal) EnqueueEncoded(_ context.Context, _ string, data []byte) (publishers.Receipt, error) {
	j.encoded = append(j.encoded, data)
	return nil, nil
}

func TestSealing(t *testing.T) {
	e := events.Event{
		ID: "e", Source: "/s", Type: "t", Version: 1, PartitionKey: "k", Sequence: "00000000000000000001",
		Time: time.Unix(1, 0).UTC(), Data: json.RawMessage(`{"name":"Ada"}`),
	}
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	to, throttled := &journal{}, errors.New("throttled")
	var sealed json.RawMessage
	var failure error
	p := publishers.Sealing(to, func(_ context.Context, e events.Event) (events.Event, error) {
		if sealed != nil {
			e.Data = sealed
		}
		return e, failure
	})
	both := func(want error) {
		t.Helper()
		if _, err := p.Enqueue(t.Context(), e); !errors.Is(err, want) {
			t.Errorf("Enqueue: %v", err)
		}
		if _, err := p.EnqueueEncoded(t.Context(), "k", data); !errors.Is(err, want) {
			t.Errorf("EnqueueEncoded: %v", err)
		}
	}
	both(nil)
	if len(to.events) != 1 || len(to.encoded) != 1 || &to.encoded[0][0] != &data[0] {
		t.Errorf("what is not personal was handed on as %+v", to)
	}
	sealed = json.RawMessage(`{"name":"x"}`)
	both(nil)
	if len(to.events) != 3 || len(to.encoded) != 1 || string(to.events[1].Data) != `{"name":"x"}` || string(to.events[2].Data) != `{"name":"x"}` {
		t.Errorf("what is personal was handed on as %+v", to)
	}
	failure = throttled
	both(throttled)
	if len(to.events) != 3 || len(to.encoded) != 1 {
		t.Error("handed on though it could not be sealed")
	}
	if _, err := p.EnqueueEncoded(t.Context(), "k", []byte("{}")); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("no event: %v", err)
	}
}
