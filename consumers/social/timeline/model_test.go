package timeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// TestFanOutResumes: the fan-out of a post for more followers than fit into the time of
// one invocation resumes where it ended.
func TestFanOutResumes(t *testing.T) {
	tb := newTable(t, 0)
	const followers = 200
	for i := range followers {
		tb.apply(1+i, followed(fmt.Sprintf("fan-%03d", i), ada))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	faults := streamtest.NewFaults(0, 0)
	pages, fresh := 0, 0
	faults.Before = func(operation, body string) {
		if operation == "Query" && strings.Contains(body, `"followers#ada"`) {
			if pages++; pages == 4 {
				cancel()
			}
			if !strings.Contains(body, "ExclusiveStartKey") {
				fresh++
			}
		}
	}
	m := newModel(t, timeline.Config{Client: tb.db.Client(faults), Table: tb.name, Page: 50})
	msg := tb.message(1000, post(ada, 1))
	if err := m.Handle(ctx, msg); !consumers.IsUnavailable(err) {
		t.Fatalf("cut short, the handler says %v", err)
	}
	if err := m.Handle(t.Context(), msg); !errors.Is(err, consumers.ErrStale) {
		t.Fatalf("resumed, the handler says %v", err)
	}
	tb.expect()
	if pages > followers/50+2 || fresh != 1 {
		t.Errorf("%d pages of followers were read, %d times from the start", pages, fresh)
	}
}

// TestTrim: beyond the cap the oldest go, and the floor says so.
func TestTrim(t *testing.T) {
	tb := newTable(t, 20)
	tb.apply(1, followed(bob, ada))
	for i := range 60 {
		tb.apply(2+i, post(ada, i))
	}
	for _, user := range []string{ada, bob} {
		if err := tb.model.Trim(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	tb.expect()
	got, err := socialtest.SnapshotTimelines(t.Context(), tb.db.Client(nil), tb.name, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{ada, bob} {
		if n := len(got[user].Entries); n != 20 || got[user].Floor != "post-000039" {
			t.Errorf("%s has %d entries above %s, want 20 above post-000039", user, n, got[user].Floor)
		}
	}
}

func TestReaderPages(t *testing.T) {
	tb := newTable(t, 0)
	tb.apply(1, social.UserJoined{UserID: ada, Name: "Ada", JoinedAt: streamtest.Start}, followed(bob, ada))
	for i := range 7 {
		tb.apply(3+i, post([]string{ada, bob}[i%2], i))
	}
	reader := timeline.NewReader(tb.db.Client(nil), tb.name)
	got, pages := tb.read(bob, 3)
	if want := "0006Ada 0005 0004Ada 0003 0002Ada 0001 0000Ada"; strings.Join(got, " ") != want || pages != 3 {
		t.Errorf("got %v in %d pages, want %s in 3", got, pages, want)
	}
	for _, bad := range []string{"x", "!!", "LTEuYQ", "MS4"} {
		if _, err := reader.Read(t.Context(), bob, bad, 3); !errors.Is(err, timeline.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
	if p, err := reader.Read(t.Context(), "nobody", "", 0); err != nil || len(p.Items) != 0 || p.Next != "" {
		t.Errorf("nobody sees %v, %v", p, err)
	}
}

// read reads the user's whole timeline in pages of limit.
func (tb *table) read(user string, limit int) (got []string, pages int) {
	tb.t.Helper()
	reader := timeline.NewReader(tb.db.Client(nil), tb.name)
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		p, err := reader.Read(tb.t.Context(), user, cursor, limit)
		if err != nil {
			tb.t.Fatal(err)
		}
		for _, item := range p.Items {
			got = append(got, item.PostID[7:]+item.AuthorName)
		}
		cursor = p.Next
	}
	return got, pages
}

// TestReaderShowsNothingDeleted: deletions take one write whoever has the post in the
// timeline, and pages are full though half of what is read for them was deleted.
func TestReaderShowsNothingDeleted(t *testing.T) {
	tb := newTable(t, 0)
	tb.apply(1, social.UserJoined{UserID: ada, Name: "Ada", JoinedAt: streamtest.Start}, followed(bob, ada), followed(bob, "eve"))
	for i := range 100 {
		tb.apply(10+i, post(ada, i))
	}
	tb.apply(400, post("eve", 500), post(bob, 501))
	for i := range 100 {
		if i%2 == 0 || i > 30 && i < 97 {
			tb.apply(500+2*i, deleted(ada, i), post(ada, i)) // and late once more
		}
	}
	tb.expect()
	if got, pages := tb.read(bob, 4); fmt.Sprint(got[:6]) != "[0501 0500 0099Ada 0097Ada 0029Ada 0027Ada]" || len(got) != 19 || pages != 5 {
		t.Errorf("got %d, %v in %d pages, want 19 in 5", len(got), got, pages)
	}
	tb.apply(2000, left("eve"), post("eve", 600))
	tb.expect()
	if got, _ := tb.read(bob, 100); fmt.Sprint(got[:2]) != "[0501 0099Ada]" || len(got) != 18 {
		t.Errorf("got %d, %v after eve has left, want 18", len(got), got)
	}
	tb.apply(3000, left(bob), followed(bob, ada))
	tb.expect()
	if got, _ := tb.read(bob, 100); len(got) != 0 {
		t.Errorf("who has left sees %v", got)
	}
}

// TestReaderAsksAgain: for what DynamoDB leaves unprocessed, until it leaves too much. The
// posts are too long for entries, so they are looked up.
func TestReaderAsksAgain(t *testing.T) {
	var partial, gets atomic.Int64
	server := httptest.NewServer(sandbox.New(sandbox.Config{Fault: func(operation, _ string) sandbox.Fault {
		if operation != "BatchGetItem" {
			return sandbox.FaultNone
		}
		gets.Add(1)
		if partial.Add(-1) >= 0 {
			return sandbox.FaultPartial
		}
		return sandbox.FaultNone
	}}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", server.URL)
	tb := newTable(t, 0)
	for i := range 120 {
		long := post(ada, i).(social.PostPublished)
		long.Text = strings.Repeat("x", 600)
		tb.apply(1+i, long)
	}
	for _, c := range []struct {
		partial     int64
		limit       int
		wantGets    int64
		unprocessed bool
	}{{0, 20, 1, false}, {0, 100, 2, false}, {3, 100, 4, false}, {20, 100, 0, true}} {
		partial.Store(c.partial)
		gets.Store(0)
		p, err := timeline.NewReader(tb.db.Client(nil), tb.name).Read(t.Context(), ada, "", c.limit)
		if c.unprocessed != (err != nil) || err == nil && len(p.Items) != c.limit || c.wantGets > 0 && gets.Load() != c.wantGets {
			t.Errorf("%+v: %d posts by %d requests, %v", c, len(p.Items), gets.Load(), err)
		}
	}
}

// TestNothingMoreThanNeeded counts requests: they are what the model costs.
func TestNothingMoreThanNeeded(t *testing.T) {
	tb := newTable(t, 0)
	faults := streamtest.NewFaults(0, 0)
	m := newModel(t, timeline.Config{Client: tb.db.Client(faults), Table: tb.name})
	sent := 0
	for i, c := range []struct {
		payload events.Payload
		most    int
	}{
		{social.UserJoined{UserID: ada, Name: "Ada", JoinedAt: streamtest.Start}, 1},
		{post(ada, 1), 2}, // one transaction, one look for followers
		{followed(bob, ada), 5},
		{post(ada, 2), 3},
		{unfollowed(bob, ada), 5},
		{deleted(ada, 1), 2},
		{left(ada), 1},
	} {
		if err := m.Handle(t.Context(), tb.message(1+i, c.payload)); err != nil {
			t.Fatal(err)
		}
		if n := faults.Sent() - sent; n > c.most {
			t.Errorf("%s took %d requests, want %d", c.payload.EventType(), n, c.most)
		}
		sent = faults.Sent()
	}
	tb.expect()
}

func TestEventsThatCannotBeApplied(t *testing.T) {
	tb := newTable(t, 0)
	ctx := t.Context()
	handle := func(change func(*events.Event)) error {
		m := streamtest.Message(t, 1, post(ada, 1))
		change(&m.Event)
		return tb.model.Handle(ctx, m)
	}
	for name, change := range map[string]func(*events.Event){
		"a version of the future": func(e *events.Event) { e.Version = 9 },
		"no payload for its type": func(e *events.Event) { e.Data = json.RawMessage(`[1]`) },
		"no id":                   func(e *events.Event) { e.Data = json.RawMessage(`{"authorId":"ada"}`) },
		"an id beyond a sort key": func(e *events.Event) {
			e.Data = json.RawMessage(`{"authorId":"ada","publishedAt":"2016-11-21T09:00:00Z","postId":"` + strings.Repeat("x", 1100) + `"}`)
		},
		"an item beyond 400 KB": func(e *events.Event) {
			e.Data = json.RawMessage(`{"authorId":"ada","publishedAt":"2016-11-21T09:00:00Z","postId":"p","text":"` + strings.Repeat("x", 500_000) + `"}`)
		},
	} {
		if err := handle(change); !consumers.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown := streamtest.Message(t, 5, post(ada, 1))
	unknown.Event.Type = "post.admired"
	if err := tb.model.Handle(ctx, unknown); err != nil {
		t.Fatal(err)
	}
	reader := timeline.NewReader(tb.db.Client(nil), tb.name)
	if p, err := reader.Applied(ctx, ada); err != nil || p != unknown.Position {
		t.Errorf("a type of somebody else left the watermark at %v, %v", p, err)
	}
}

func TestMissingTableIsNotTheEventsFault(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	m := newModel(t, timeline.Config{Client: db.Client(nil), Table: "nowhere"})
	if err := m.Handle(t.Context(), streamtest.Message(t, 1, post(ada, 1))); !consumers.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
}
