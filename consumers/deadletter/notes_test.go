package deadletter_test

import (
	"slices"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
)

// TestNotes: what one store writes another reads, attempts add up beside it, and neither
// is a dead letter.
func TestNotes(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	table := db.CreateTable(deadletter.TableInput)
	one, two := deadletter.New(db.Client(nil), table), deadletter.New(db.Client(nil), table)
	at := func(n, sub int) events.Position { return events.Position{Sequence: streamtest.Sequence(n), Sub: sub} }
	first := consumers.Note{Batch: at(7, 0), From: at(7, 3), InHand: 7, Alone: 1, At: streamtest.Start}
	second := consumers.Note{Batch: at(9, 0), From: at(9, 0), At: streamtest.Start}
	for _, n := range []consumers.Note{{Batch: first.Batch, From: first.Batch, InHand: 99, At: streamtest.Start}, first, second} {
		if err := one.WriteNote(t.Context(), "c", n); err != nil {
			t.Fatal(err)
		}
	}
	for attempts := 2; attempts <= 6; attempts += 2 {
		if total, err := two.AddAttempts(t.Context(), "c", at(7, 0), 2); total != attempts || err != nil {
			t.Errorf("%d attempts, want %d; %v", total, attempts, err)
		}
	}
	for upTo, want := range map[events.Position][]consumers.Note{
		at(6, 0): nil, at(7, 0): {first}, at(8, 9): {first}, at(9, 0): {second, first},
	} {
		if got, err := two.ReadNotes(t.Context(), "c", upTo); err != nil || !slices.Equal(got, want) {
			t.Errorf("up to %s: %+v, %v; want %+v", upTo, got, err, want)
		}
	}
	if page, err := one.List(t.Context(), "c", deadletter.ListOptions{Redriven: true}); len(page.Letters) > 0 || err != nil {
		t.Errorf("listed %+v, %v", page, err)
	}
}
