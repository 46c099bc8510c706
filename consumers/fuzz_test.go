package consumers_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

// FuzzNothingIsDropped handles garbage between two good events: the consumer
// never panics, every byte of what it cannot handle becomes a dead letter, and
// the good events are handled.
func FuzzNothingIsDropped(f *testing.F) {
	good := streamtest.Data(f, streamtest.Event(f, post("ada", 1)))
	both := streamtest.Data(f, streamtest.Event(f, post("ada", 1)), streamtest.Event(f, post("bob", 2)))
	var empty aggregate.Builder
	var odd aggregate.Builder
	odd.Add(aggregate.Record{PartitionKey: "k", Data: []byte("garbage")})
	odd.Add(aggregate.Record{PartitionKey: "k", Data: nil})
	for _, seed := range [][]byte{
		nil, good, both, both[:len(both)-3], empty.Append(nil), odd.Append(nil),
		[]byte("\xf3\x89\x9a\xc2"), []byte("{}"), []byte(strings.Repeat("[", 100)),
	} {
		f.Add(seed)
	}
	before := streamtest.Record(1, "ada", streamtest.Data(f, streamtest.Event(f, post("ada", 8))))
	after := streamtest.Record(3, "ada", streamtest.Data(f, streamtest.Event(f, post("ada", 9))))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := &journal{}
		c, err := consumers.New(consumers.Config{Name: "fuzz", DeadLetters: j, Handler: j.handler(nil), Concurrency: 2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := c.HandleKinesis(ctx, awsevents.KinesisEvent{Records: recs(before, streamtest.Record(2, "x", data), after)})
		if err != nil || len(out.BatchItemFailures) != 0 {
			t.Fatalf("reported %v, %v", out.BatchItemFailures, err)
		}
		letters, handled := expectation(data)
		if len(j.handled) != handled+2 || len(j.letters) != len(letters) {
			t.Fatalf("handled %d, %d dead letters, want %d and %d", len(j.handled)-2, len(j.letters), handled, len(letters))
		}
		for _, raw := range letters {
			if !contains(j.letters, raw) {
				t.Fatalf("%q is not among the dead letters", raw)
			}
		}
	})
}

// expectation is what must become dead letters of data, and how much is handled.
func expectation(data []byte) (letters [][]byte, handled int) {
	parts := [][]byte{data}
	if records, err := aggregate.Decode(data); aggregate.IsAggregate(data) && err == nil && len(records) > 0 {
		parts = nil
		for _, r := range records {
			parts = append(parts, r.Data)
		}
	}
	for _, p := range parts {
		if _, err := events.Decode(p); err != nil {
			letters = append(letters, p)
		} else {
			handled++
		}
	}
	return letters, handled
}

func contains(letters []consumers.DeadLetter, raw []byte) bool {
	for _, d := range letters {
		if bytes.Equal(d.Raw, raw) && d.Reason != "" {
			return true
		}
	}
	return false
}
