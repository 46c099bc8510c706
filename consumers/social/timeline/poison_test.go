package timeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

// TestPoisonIsRedriven: events that cannot be decoded or applied become dead letters with
// their bytes, the rest is applied, and one that can be applied later has its effect
// then, though later ones passed it.
func TestPoisonIsRedriven(t *testing.T) {
	tb := newTable(t, 0)
	letters := deadletter.New(tb.db.Client(nil), tb.db.CreateTable(deadletter.TableInput))
	broken := true // a mistake in the consumer, fixed later
	c, err := consumers.New(consumers.Config{
		Name: "timeline", DeadLetters: letters, Attempts: 2,
		Handler: func(ctx context.Context, m consumers.Message) error {
			if broken && m.Event.Type == "relationship.followed" {
				panic("a mistake in the consumer")
			}
			return tb.model.Handle(ctx, m)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte("no event\x00"), 50_000)
	var records []awsevents.KinesisEventRecord
	for n, p := range []events.Payload{post(ada, 1), followed(bob, ada), nil, post(bob, 2), post(ada, 3)} {
		data := garbage
		if p != nil {
			m := tb.message(n+1, p)
			data = m.Raw
		}
		records = append(records, streamtest.Record(n+1, "k", data))
	}
	out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: records})
	if err != nil || len(out.BatchItemFailures) != 0 {
		t.Fatalf("reported %v, %v", out.BatchItemFailures, err)
	}
	page, err := letters.List(t.Context(), "timeline", deadletter.ListOptions{})
	if err != nil || len(page.Letters) != 2 {
		t.Fatalf("%d dead letters, want 2 (%v)", len(page.Letters), err)
	}
	if got, err := letters.Get(t.Context(), page.Letters[1].ID()); err != nil || !bytes.Equal(got.Raw, garbage) {
		t.Errorf("the garbage has %d bytes, want %d (%v)", len(got.Raw), len(garbage), err)
	}
	broken = false
	if err := letters.Redrive(t.Context(), page.Letters[0].ID(), c.Redrive); err != nil {
		t.Fatal(err)
	}
	tb.expect()
	got, err := timeline.NewReader(tb.db.Client(nil), tb.name).Read(t.Context(), bob, "", 0)
	if err != nil || len(got.Items) != 3 {
		t.Errorf("bob sees %v, %v, want all three posts", got.Items, err)
	}
}

// TestOnlyPoisonBecomesDeadLetters: each kind of poison, and nothing else. A type that is
// not in the registry is skipped, and the events around the poison are applied.
func TestOnlyPoisonBecomesDeadLetters(t *testing.T) {
	tb := newTable(t, 0)
	letters := deadletter.New(tb.db.Client(nil), tb.db.CreateTable(deadletter.TableInput))
	c, err := consumers.New(consumers.Config{Name: "timeline", DeadLetters: letters, Attempts: 1, Handler: tb.model.Handle})
	if err != nil {
		t.Fatal(err)
	}
	odd := func(n int, change func(*events.Event)) []byte {
		e := streamtest.Event(t, post(ada, n))
		change(&e)
		return streamtest.Data(t, e)
	}
	var members aggregate.Builder
	for _, data := range [][]byte{tb.message(1, post(ada, 1)).Raw, []byte("a bad member"), tb.message(1, post(ada, 3)).Raw} {
		members.Add(aggregate.Record{PartitionKey: ada, Data: data})
	}
	raw := [][]byte{
		members.Append(nil),
		[]byte("\x00\xff garbage"),
		[]byte("{}"),
		{0xF3, 0x89, 0x9A, 0xC2},
		odd(5, func(e *events.Event) { e.Type = "tomorrow.invented" }),
		odd(6, func(e *events.Event) { e.Version = 99 }),
		odd(7, func(e *events.Event) { e.Data = json.RawMessage(`{"postId":7}`) }),
		odd(8, func(e *events.Event) { e.Data = json.RawMessage(`"text"`) }),
		streamtest.Data(t, streamtest.Event(t, post(ada, 9))),
	}
	var records []awsevents.KinesisEventRecord
	for n, data := range raw {
		records = append(records, streamtest.Record(n+1, ada, data))
	}
	out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: records})
	if err != nil || len(out.BatchItemFailures) != 0 {
		t.Fatalf("reported %v, %v", out.BatchItemFailures, err)
	}
	page, err := letters.List(t.Context(), "timeline", deadletter.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var positions []events.Position
	for _, l := range page.Letters {
		positions = append(positions, l.Position)
	}
	want := []events.Position{{Sequence: streamtest.Sequence(1), Sub: 1}}
	for _, n := range []int{2, 3, 4, 6, 7, 8} {
		want = append(want, events.Position{Sequence: streamtest.Sequence(n)})
	}
	if !slices.Equal(positions, want) {
		t.Errorf("dead letters at %v, want %v", positions, want)
	}
	got, err := timeline.NewReader(tb.db.Client(nil), tb.name).Read(t.Context(), ada, "", 0)
	if err != nil || len(got.Items) != 3 {
		t.Errorf("ada sees %v, %v, want the three good posts", got.Items, err)
	}
}
