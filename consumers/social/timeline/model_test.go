package timeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
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
	var got []string
	cursor, pages := "", 0
	for {
		p, err := reader.Read(t.Context(), bob, cursor, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range p.Items {
			got = append(got, item.PostID[10:]+item.AuthorName)
		}
		pages++
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if want := "6Ada 5 4Ada 3 2Ada 1 0Ada"; strings.Join(got, " ") != want || pages != 3 {
		t.Errorf("got %v in %d pages, want %s in 3", got, pages, want)
	}
	for _, bad := range []string{"x", "!!", "MC5h", "LTEuYQ", "MS4"} {
		if _, err := reader.Read(t.Context(), bob, bad, 3); !errors.Is(err, timeline.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
	if p, err := reader.Read(t.Context(), "nobody", "", 0); err != nil || len(p.Items) != 0 || p.Next != "" {
		t.Errorf("nobody sees %v, %v", p, err)
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
		{followed(bob, ada), 4},
		{post(ada, 2), 3},
		{unfollowed(bob, ada), 5},
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
