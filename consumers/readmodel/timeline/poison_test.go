package timeline_test

import (
	"bytes"
	"context"
	"testing"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/readmodel/timeline"
	"github.com/banyan-fig/banyan/events"
)

// TestPoisonIsParkedAndRedriven: events that cannot be decoded or applied lie in
// the dead letters with their bytes, the rest is applied, and one that can be
// applied later takes its place then, though later ones passed it.
func TestPoisonIsParkedAndRedriven(t *testing.T) {
	tb := newTable(t, 0)
	letters := deadletter.New(tb.db.Client(nil), tb.db.CreateTable(deadletter.TableInput))
	broken := true // a mistake in the consumer, mended later
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
	if got, err := letters.Get(t.Context(), "timeline", page.Letters[1].Position); err != nil || !bytes.Equal(got.Raw, garbage) {
		t.Errorf("the garbage has %d bytes, want %d (%v)", len(got.Raw), len(garbage), err)
	}
	broken = false
	if err := letters.Redrive(t.Context(), "timeline", page.Letters[0].Position, c.Redrive); err != nil {
		t.Fatal(err)
	}
	tb.expect()
	got, err := timeline.NewReader(tb.db.Client(nil), tb.name).Read(t.Context(), bob, "", 0)
	if err != nil || len(got.Items) != 3 {
		t.Errorf("bob sees %v, %v, want all three posts", got.Items, err)
	}
}
