package once_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

func position(n int) events.Position { return events.Position{Sequence: streamtest.Sequence(n)} }

// TestGuards applies one item's events in an order that redelivery, duplicates on the
// stream and redriven dead letters can bring about. The numbers are positions; each
// writes itself as the text.
func TestGuards(t *testing.T) {
	guards := map[string]func(events.Position) once.Condition{
		"newer": once.Newer, "not older": once.NotOlder,
		"absent":  func(events.Position) once.Condition { return once.Absent() },
		"exactly": once.Exactly,
	}
	for _, c := range []struct {
		guard     string
		positions []int
		applied   string // for each position
		end       int    // the position whose text is there, 0: none
	}{
		{"newer", []int{1, 2, 3}, "yes yes yes", 3},
		{"newer", []int{1, 1, 2, 2}, "yes no yes no", 2},
		{"newer", []int{1, 2, 1, 2, 3}, "yes yes no no yes", 3},
		{"newer", []int{9, 10, 9}, "yes yes no", 10},
		{"newer", []int{3, 1, 2}, "yes no no", 3},
		{"not older", []int{1, 1, 2, 2, 1}, "yes yes yes yes no", 2},
		{"absent", []int{2, 2, 1, 3}, "yes no no no", 2},
		{"exactly", []int{1, 2}, "no no", 0},
	} {
		t.Run(fmt.Sprint(c.guard, c.positions), func(t *testing.T) {
			w, f := newWriter(t, once.Config{}, nil)
			key, applied := once.KeyOf("item", "x"), ""
			for _, n := range c.positions {
				put := once.Put(key, once.At(position(n), dynamo.Item{"text": dynamo.String(fmt.Sprint(n))}), guards[c.guard](position(n)))
				err := w.Apply(t.Context(), once.Change{
					Ops: []once.Op{put}, Adds: []once.Add{{Key: counter, Deltas: map[string]int64{"applied": 1}}},
				})
				switch {
				case err == nil:
					applied += " yes"
				case errors.Is(err, consumers.ErrStale):
					applied += " no"
				default:
					t.Fatal(err)
				}
			}
			if applied != " "+c.applied {
				t.Errorf("applied:%s, want %s", applied, c.applied)
			}
			item := f.get(key)
			pos, err := once.PositionOf(item)
			if want := (events.Position{}); c.end == 0 && pos != want || c.end > 0 && (pos != position(c.end) || dynamo.StringOf(item, "text") != fmt.Sprint(c.end)) {
				t.Errorf("in the end %v, %v, want that of %d", item, err, c.end)
			}
			yes := int64(0)
			for _, word := range []byte(applied) {
				if word == 'y' {
					yes++
				}
			}
			if n := f.number(counter, "applied"); n != yes {
				t.Errorf("the counter moved %d times with %d changes", n, yes)
			}
		})
	}
}

// TestExactlyEndsWhatALaterEventOvertook: what follows the first write of an event is
// done only while the item is that event's.
func TestExactlyEndsWhatALaterEventOvertook(t *testing.T) {
	w, f := newWriter(t, once.Config{}, nil)
	first, second := once.KeyOf("edge", "x"), once.KeyOf("entry", "x")
	mark := func(n int) error {
		return w.Apply(t.Context(), once.Change{Ops: []once.Op{once.Put(first, once.At(position(n), nil), once.NotOlder(position(n)))}})
	}
	follow := func(n int) error {
		return w.Apply(t.Context(), once.Change{Ops: []once.Op{
			once.Check(first, once.Exactly(position(n))),
			once.Put(second, dynamo.Item{"of": dynamo.Int(int64(n))}, once.Condition{}),
		}})
	}
	if err := errors.Join(mark(1), mark(1), follow(1), mark(2)); err != nil { // delivered twice, cut short in between
		t.Fatal(err)
	}
	if err := follow(1); !errors.Is(err, consumers.ErrStale) {
		t.Errorf("the overtaken event: %v", err)
	}
	if err := follow(3); !errors.Is(err, consumers.ErrStale) {
		t.Errorf("an event whose first write is not there: %v", err)
	}
	if err := follow(2); err != nil || f.number(second, "of") != 2 {
		t.Errorf("the later event: %v, %v", err, f.get(second))
	}
}

// TestMarkerCountsAnEventOnce: at whatever positions, and whoever made another event
// with the same id.
func TestMarkerCountsAnEventOnce(t *testing.T) {
	w, f := newWriter(t, once.Config{}, nil)
	count := func(id, source string, n int) error {
		return w.Apply(t.Context(), once.Change{
			Ops:  []once.Op{once.Marker("all", events.Event{ID: id, Source: source}, position(n))},
			Adds: []once.Add{{Key: counter, Deltas: map[string]int64{"n": 1}}},
		})
	}
	for _, c := range []struct {
		id, source string
		n          int
		want       error
	}{
		{"a", "/s", 5, nil}, {"a", "/s", 5, consumers.ErrStale}, {"a", "/s", 9, consumers.ErrStale}, {"a", "/s", 1, consumers.ErrStale},
		{"b", "/s", 2, nil}, {"a", "/other", 10, nil},
	} {
		if err := count(c.id, c.source, c.n); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if n := f.number(counter, "n"); n != 3 {
		t.Errorf("counted %d of 3 events", n)
	}
}

// TestInterruptedBetweenTwoChanges: an event that writes two changes loses its process in
// between; delivered again it does the rest and nothing twice.
func TestInterruptedBetweenTwoChanges(t *testing.T) {
	w, f := newWriter(t, once.Config{}, nil)
	handle := func(ctx context.Context, die context.CancelFunc) error {
		if _, err := w.Write(ctx, counted(1, "first")); err != nil {
			return err
		}
		die()
		_, err := w.Write(ctx, counted(2, "second"))
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := handle(ctx, cancel); !consumers.IsUnavailable(err) {
		t.Fatalf("cut short: %v", err)
	}
	if n := f.number(counter, "n"); n != 1 {
		t.Fatalf("counted %d after the first change", n)
	}
	for range 2 {
		if err := handle(t.Context(), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if n, sum := f.number(counter, "n"), f.number(counter, "sum"); n != 2 || sum != 3 {
		t.Errorf("counted %d, sum %d, want 2 and 3", n, sum)
	}
}

func TestClassify(t *testing.T) {
	f := newFixture(t, nil)
	put := func(table string, k once.Key) error {
		w := once.NewWriter(once.Config{Client: f.client, Table: table})
		return w.Apply(t.Context(), once.Change{Ops: []once.Op{once.Put(k, nil, once.Condition{})}})
	}
	if err := put(f.table, once.KeyOf("", "x")); !consumers.IsPermanent(err) {
		t.Errorf("an empty key: %v", err)
	}
	if err := put("nowhere", once.KeyOf("x", "x")); !consumers.IsUnavailable(err) {
		t.Errorf("a missing table: %v", err)
	}
	other := f.db.CreateTable(func(name string) *dynamodb.CreateTableInput {
		in := dynamo.CompositeTable(name)
		in.KeySchema, in.AttributeDefinitions = in.KeySchema[:1], in.AttributeDefinitions[:1]
		in.KeySchema[0].AttributeName, in.AttributeDefinitions[0].AttributeName = aws.String("id"), aws.String("id")
		return in
	})
	if err := put(other, once.KeyOf("x", "x")); !consumers.IsUnavailable(err) || !strings.Contains(err.Error(), "pk and sk") {
		t.Errorf("a table with other keys: %v", err)
	}
	mine := consumers.Permanent(errors.New("mine"))
	if err := once.Classify(mine); !consumers.IsPermanent(err) || consumers.IsUnavailable(err) {
		t.Errorf("classified already: %v", err)
	}
	if err := once.Classify(nil); err != nil {
		t.Errorf("nil: %v", err)
	}
}
