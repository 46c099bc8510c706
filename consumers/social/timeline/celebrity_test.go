package timeline_test

import (
	"fmt"
	"testing"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
)

const (
	eve = "eve"
	ian = "ian"
)

// TestCelebrityOvertaken is TestOvertaken where an author becomes a celebrity meanwhile:
// with the next post once three follow.
func TestCelebrityOvertaken(t *testing.T) {
	fans := []events.Payload{followed(eve, ada), followed(ian, ada)}
	for _, c := range []overtaken{
		{
			name:   "follow, before it writes the edge",
			before: append(fans, followed("joe", ada), post(ada, 1)),
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"followers#ada"`),
			passes: []events.Payload{post(ada, 2)},
		},
		{
			name:   "follow, before it reads whether there is a celebrity",
			before: append(fans, post(ada, 1)),
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("GetItem", `"celebrity"`),
			passes: []events.Payload{post(ada, 2)},
		},
		{
			name:   "follow, after it has read that there is none",
			before: append(fans, post(ada, 1)),
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("Query", `"posts#ada"`),
			passes: []events.Payload{post(ada, 2), post(ada, 3)},
		},
		{
			name:   "follow of a celebrity by a later unfollow, before it marks",
			before: append(fans, followed("joe", ada), post(ada, 1)),
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"~ada"`),
			passes: []events.Payload{unfollowed(bob, ada), post(ada, 2)},
		},
		{
			name:   "unfollow, before it writes the edge",
			before: append(fans, followed(bob, ada), post(bob, 1)),
			held:   unfollowed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"followers#ada"`),
			passes: []events.Payload{post(ada, 2), post(ada, 3)},
		},
		{
			name:   "unfollow, before it removes the mark",
			before: append(fans, followed("joe", ada), followed(bob, ada), post(ada, 1)),
			held:   unfollowed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"~ada"`),
			passes: []events.Payload{post(ada, 2), followed(bob, ada), post(ada, 3)},
		},
		{
			name:   "the marks by an unfollow, a follow and a deletion",
			before: append(fans, followed(bob, ada), post(bob, 1)),
			held:   post(ada, 2),
			gate:   streamtest.NewGate("TransactWriteItems", `"~ada"`),
			passes: []events.Payload{unfollowed(bob, ada), followed("joe", ada), deleted(ada, 2), post(ada, 3)},
		},
		{
			name:   "the marks, before the author is a celebrity",
			before: append(fans, followed(bob, ada)),
			held:   post(ada, 2),
			gate:   streamtest.NewGate("TransactWriteItems", `"celebrity"`),
			passes: []events.Payload{followed("joe", ada), post(ada, 3), unfollowed(eve, ada)},
		},
		{
			name:   "a fan-out in progress",
			before: fans,
			held:   post(ada, 1),
			gate:   streamtest.NewGate("TransactWriteItems", `"#fanned"`),
			passes: []events.Payload{followed(bob, ada), followed("joe", ada), post(ada, 2), unfollowed(ian, ada), post(ada, 3)},
		},
		{
			name:   "a fan-out that delivers",
			before: fans,
			held:   post(ada, 1),
			gate:   streamtest.NewGate("TransactWriteItems", `"timeline#eve"`),
			passes: []events.Payload{followed(bob, ada), post(ada, 2), left(ada)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, timeline.Config{Threshold: 2, Page: 1})
		})
	}
}

// TestCelebrity: one post makes an author a celebrity, the next costs no more than one
// without followers, though followers have left again; and who follows more of them
// than are mixed in sees those that come first.
func TestCelebrity(t *testing.T) {
	cfg := timeline.Config{Threshold: 1, Page: 1}
	tb := newTableWith(t, cfg)
	stars := make([]string, timeline.MaxCelebrities+2)
	n := 1
	fan := func(i, of int) string { return fmt.Sprintf("fan-%d-%d", of, i) }
	for i := range stars {
		stars[i] = fmt.Sprintf("star-%03d", i)
		tb.apply(n, followed(fan(1, i), stars[i]), followed(fan(2, i), stars[i]), post(stars[i], i), followed(bob, stars[i]))
		n += 10
	}
	got, _ := tb.read(bob, 100)
	if len(got) != timeline.MaxCelebrities || got[0] != fmt.Sprintf("%04d", timeline.MaxCelebrities-1) {
		t.Errorf("bob sees %d posts, the first is %s, want those of the first %d of %d", len(got), got[0], timeline.MaxCelebrities, len(stars))
	}
	tb.apply(n, unfollowed(bob, stars[0]), unfollowed(bob, stars[1]), unfollowed(fan(1, 2), stars[2]))
	faults := streamtest.NewFaults(0, 0)
	cfg.Client, cfg.Table = tb.db.Client(faults), tb.name
	if err := newModel(t, cfg).Handle(t.Context(), tb.message(n+10, post(stars[2], 900))); err != nil || faults.Sent() != 3 {
		t.Errorf("a celebrity's post took %d requests, want 3: the post, a page of followers, the celebrity (%v)", faults.Sent(), err)
	}
	tb.expect()
}
