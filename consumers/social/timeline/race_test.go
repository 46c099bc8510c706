package timeline_test

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newModel(t *testing.T, cfg timeline.Config) *timeline.Model {
	t.Helper()
	m, err := timeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	ada = "ada"
	bob = "bob"
)

func post(author string, n int) events.Payload {
	return social.PostPublished{PostID: fmt.Sprintf("post-%06d", n), AuthorID: author, Text: fmt.Sprint("text ", n), PublishedAt: streamtest.Start}
}

func followed(follower, author string) events.Payload {
	return social.RelationshipFollowed{FollowerID: follower, FolloweeID: author, At: streamtest.Start}
}

func unfollowed(follower, author string) events.Payload {
	return social.RelationshipUnfollowed{FollowerID: follower, FolloweeID: author, At: streamtest.Start}
}

func deleted(author string, n int) events.Payload {
	return social.PostDeleted{PostID: fmt.Sprintf("post-%06d", n), AuthorID: author, At: streamtest.Start}
}

func left(user string) events.Payload { return social.UserLeft{UserID: user, At: streamtest.Start} }

// table is a table, a model on it, and a fold of the same events.
type table struct {
	t     *testing.T
	db    streamtest.DynamoDB
	name  string
	model *timeline.Model
	fold  *socialtest.Fold
	cap   int
}

func newTable(t *testing.T, limit int) *table { return newTableWith(t, timeline.Config{Cap: limit}) }

// newTableWith adds table and client to the configuration.
func newTableWith(t *testing.T, cfg timeline.Config) *table {
	db := streamtest.NewDynamoDB(t)
	cfg.Client, cfg.Table = db.Client(nil), db.CreateTable(timeline.TableInput)
	return &table{t, db, cfg.Table, newModel(t, cfg), socialtest.NewFold(), cfg.Cap}
}

func (tb *table) message(n int, p events.Payload) consumers.Message {
	tb.t.Helper()
	m := streamtest.Message(tb.t, n, p)
	if err := tb.fold.Apply(m); err != nil {
		tb.t.Fatal(err)
	}
	return m
}

// apply handles events one after the other, numbered from n.
func (tb *table) apply(n int, payloads ...events.Payload) {
	tb.t.Helper()
	for i, p := range payloads {
		if err := tb.model.Handle(tb.t.Context(), tb.message(n+i, p)); err != nil && !errors.Is(err, consumers.ErrStale) {
			tb.t.Fatal(err)
		}
	}
}

func (tb *table) expect() {
	tb.t.Helper()
	got, err := socialtest.SnapshotTimelines(tb.t.Context(), tb.db.Client(nil), tb.name, tb.cap)
	if err != nil {
		tb.t.Fatal(err)
	}
	want := tb.fold.Timelines(tb.cap)
	for _, d := range socialtest.DiffTimelines(want, got) {
		tb.t.Error(d)
	}
	if tb.cap > 0 {
		return
	}
	read, err := socialtest.DiffPages(tb.t.Context(), timeline.NewReader(tb.db.Client(nil), tb.name), want, 7)
	if err != nil {
		tb.t.Fatal(err)
	}
	for _, d := range read {
		tb.t.Errorf("as the reader shows it: %v", d)
	}
}

// TestOvertaken holds a handler up in its midst, lets others pass it that a
// sharded stream or a thawed function can let pass, and then lets it go on.
func TestOvertaken(t *testing.T) {
	for _, c := range []overtaken{
		{
			name:   "publish by unfollow",
			before: []events.Payload{followed(bob, ada)},
			held:   post(ada, 1),
			gate:   streamtest.NewGate("TransactWriteItems", `"timeline#bob"`),
			passes: []events.Payload{unfollowed(bob, ada)},
		},
		{
			name:   "publish by follow, before it looks for followers",
			held:   post(ada, 1),
			gate:   streamtest.NewGate("Query", `"followers#ada"`),
			passes: []events.Payload{followed(bob, ada)},
		},
		{
			name:   "publish by follow, before it writes the post",
			held:   post(ada, 1),
			gate:   streamtest.NewGate("TransactWriteItems", `"posts#ada"`),
			passes: []events.Payload{followed(bob, ada)},
		},
		{
			name:   "follow by publish",
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("Query", `"posts#ada"`),
			passes: []events.Payload{post(ada, 1)},
		},
		{
			name:   "follow by a later unfollow",
			before: []events.Payload{post(ada, 1)},
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"timeline#bob"`),
			passes: []events.Payload{unfollowed(bob, ada)},
		},
		{
			name:   "unfollow by a later follow",
			before: []events.Payload{post(ada, 1), followed(bob, ada)},
			held:   unfollowed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"timeline#bob"`),
			passes: []events.Payload{followed(bob, ada)},
		},
		{
			name:   "publish by the deletion, before it writes the post",
			before: []events.Payload{followed(bob, ada)},
			held:   post(ada, 1),
			gate:   streamtest.NewGate("TransactWriteItems", `"posts#ada"`),
			passes: []events.Payload{deleted(ada, 1)},
		},
		{
			name:   "publish by the deletion and a follow, before it looks for followers",
			held:   post(ada, 1),
			gate:   streamtest.NewGate("Query", `"followers#ada"`),
			passes: []events.Payload{deleted(ada, 1), followed(bob, ada)},
		},
		{
			name:   "follow by the deletion of a post that it copies",
			before: []events.Payload{post(ada, 1), post(ada, 2)},
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"timeline#bob"`),
			passes: []events.Payload{deleted(ada, 1)},
		},
		{
			name:   "follow by the leaving of the author",
			before: []events.Payload{post(ada, 1), post(bob, 2)},
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"timeline#bob"`),
			passes: []events.Payload{left(ada)},
		},
		{
			name:   "follow by later unfollow and follow",
			before: []events.Payload{post(ada, 1)},
			held:   followed(bob, ada),
			gate:   streamtest.NewGate("TransactWriteItems", `"followers#ada"`),
			passes: []events.Payload{unfollowed(bob, ada), followed(bob, ada), unfollowed(bob, ada)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, timeline.Config{})
		})
	}
}

// overtaken is a handler that others pass.
type overtaken struct {
	name   string
	before []events.Payload
	held   events.Payload
	gate   *streamtest.Gate
	passes []events.Payload
}

func (c overtaken) run(t *testing.T, cfg timeline.Config) {
	tb := newTableWith(t, cfg)
	tb.apply(1, c.before...)
	faults := streamtest.NewFaults(0, 0)
	faults.Before = c.gate.Before
	cfg.Client, cfg.Table = tb.db.Client(faults), tb.name
	slow := newModel(t, cfg)
	held := tb.message(10, c.held)
	done := make(chan error, 1)
	go func() { done <- slow.Handle(t.Context(), held) }()
	c.gate.Wait(t)
	tb.apply(11, c.passes...)
	c.gate.Open()
	if err := <-done; err != nil && !errors.Is(err, consumers.ErrStale) {
		t.Error(err)
	}
	tb.expect()
}

// TestWatermarkWaitsForTheTimeline: while a follow has not copied the posts,
// the watermark must not promise them.
func TestWatermarkWaitsForTheTimeline(t *testing.T) {
	tb := newTable(t, 0)
	tb.apply(1, post(ada, 1))
	gate := streamtest.NewGate("TransactWriteItems", `"timeline#bob"`)
	faults := streamtest.NewFaults(0, 0)
	faults.Before = gate.Before
	slow := newModel(t, timeline.Config{Client: tb.db.Client(faults), Table: tb.name})
	m := tb.message(2, followed(bob, ada))
	done := make(chan error, 1)
	go func() { done <- slow.Handle(t.Context(), m) }()
	gate.Wait(t)
	reader := timeline.NewReader(tb.db.Client(nil), tb.name)
	before, err := reader.Applied(t.Context(), bob)
	gate.Open()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	after, err := reader.Applied(t.Context(), bob)
	if err != nil || !before.IsZero() || after != m.Position {
		t.Errorf("watermark was %v during, is %v after: want none, then %v (%v)", before, after, m.Position, err)
	}
}
