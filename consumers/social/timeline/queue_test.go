package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
)

// TestContinues: with a queue, the handler of a post does one page of the followers. Up to
// the threshold they all get an entry, page by page; beyond it none does any more, and all
// are marked.
func TestContinues(t *testing.T) {
	for _, c := range []struct {
		name      string
		threshold int
		want      [2][3]int // entries, marks and messages for a post and for another
	}{
		{name: "up to the threshold", threshold: 60, want: [2][3]int{{55, 0, 2}, {55, 0, 2}}},
		{name: "beyond it", threshold: 50, want: [2][3]int{{40, 55, 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			queue := streamtest.NewQueue(t)
			cfg := timeline.Config{Page: 20, Threshold: c.threshold, Enqueue: queue.Send}
			tb := newTableWith(t, cfg)
			for i := range 55 {
				tb.apply(1+i, followed(fmt.Sprintf("fan-%03d", i), ada))
			}
			var entries, marks atomic.Int64
			faults := streamtest.NewFaults(0, 0)
			faults.Before = func(operation, body string) {
				if operation == "TransactWriteItems" {
					entries.Add(int64(strings.Count(body, `"timeline#fan-`)))
					marks.Add(int64(strings.Count(body, `"~ada"`)))
				}
			}
			cfg.Client, cfg.Table = tb.db.Client(faults), tb.name
			m := newModel(t, cfg)
			idle := make(chan struct{})
			close(idle)
			for n, want := range c.want {
				entries.Store(0)
				marks.Store(0)
				sent := queue.Sent()
				if err := m.Handle(t.Context(), tb.message(1000+n, post(ada, n))); err != nil {
					t.Fatal(err)
				}
				if inHandler := entries.Load(); inHandler > 20 {
					t.Errorf("the handler of post %d wrote %d entries, want a page at most", n, inHandler)
				}
				queue.Consume(0, false, idle, m.Continue)
				if got := [3]int{int(entries.Load()), int(marks.Load()), queue.Sent() - sent}; got != want {
					t.Errorf("post %d: entries, marks and messages are %v, want %v", n, got, want)
				}
			}
			tb.expect()
		})
	}
}

// TestContinuationsMayComeAnyTime: again, after the deletion, for what never was; and a
// message of somebody else is no reason to try for ever, a queue that is away is.
func TestContinuationsMayComeAnyTime(t *testing.T) {
	var left [][]byte
	away := errors.New("the queue is away")
	var fail error
	cfg := timeline.Config{Page: 2, Threshold: 10, Enqueue: func(_ context.Context, body []byte) error {
		left = append(left, body)
		return fail
	}}
	tb := newTableWith(t, cfg)
	for i := range 7 {
		tb.apply(1+i, followed(fmt.Sprint("fan-", i), ada))
	}
	tb.apply(10, post(ada, 1))
	for i := 0; i < len(left); i++ {
		for range 2 {
			if err := tb.model.Continue(t.Context(), left[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	tb.expect()
	tb.apply(20, deleted(ada, 1), unfollowed("fan-3", ada))
	for _, body := range append(left, []byte(`{"author":"ada","post":"nowhere"}`), []byte(`{"author":"nobody"}`)) {
		if err := tb.model.Continue(t.Context(), body); err != nil {
			t.Fatal(err)
		}
	}
	tb.expect()
	for _, body := range []string{"", "no JSON", "[]", `{"post":"post-000001"}`} {
		if err := tb.model.Continue(t.Context(), []byte(body)); !consumers.IsPermanent(err) {
			t.Errorf("%q: %v", body, err)
		}
	}
	fail = away
	if err := tb.model.Handle(t.Context(), tb.message(30, post(ada, 2))); !consumers.IsUnavailable(err) || !errors.Is(err, away) {
		t.Errorf("without the queue the handler says %v", err)
	}
	fail = nil
	tb.apply(30, post(ada, 2))
	for i := 0; i < len(left); i++ {
		if err := tb.model.Continue(t.Context(), left[i]); err != nil {
			t.Fatal(err)
		}
	}
	tb.expect()
}
