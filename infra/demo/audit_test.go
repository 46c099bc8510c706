package demo

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// TestAuditFindsWhatWasNotTold: of posts, whichever side lacks something.
func TestAuditFindsWhatWasNotTold(t *testing.T) {
	l := newLedger()
	for _, p := range []events.Payload{
		social.PostPublished{PostID: "stands", AuthorID: "ann", Text: "x", PublishedAt: time.Now()},
		social.PostPublished{PostID: "gone", AuthorID: "ann", Text: "x", PublishedAt: time.Now()},
		social.PostDeleted{PostID: "gone", AuthorID: "ann", At: time.Now()},
		social.PostPublished{PostID: "gone", AuthorID: "ann", Text: "x", PublishedAt: time.Now()}, // published twice
		social.PostPublished{PostID: "vanished", AuthorID: "ann", Text: "x", PublishedAt: time.Now()},
		social.PostPublished{PostID: "removed", AuthorID: "ann", Text: "x", PublishedAt: time.Now()},
		social.PostDeleted{PostID: "back", AuthorID: "ann", At: time.Now()},
		social.PostDeleted{PostID: "long gone", AuthorID: "ann", At: time.Now()},
	} {
		e, err := events.New(t.Context(), "/test", p)
		if err != nil {
			t.Fatal(err)
		}
		l.record(consumers.Message{Event: e, Position: events.Position{Sequence: "1"}})
	}
	item := func(tombstone bool) dynamo.Item {
		i := dynamo.Item{}
		stamp.Put(i, stamp.FirstEpoch, 0, tombstone)
		return i
	}
	got := l.unpublishedPosts(map[string]dynamo.Item{
		"stands": item(false), "gone": item(true), "removed": item(true), "back": item(false), "untold": item(false),
	})
	slices.Sort(got)
	want := []string{
		"post.deleted of removed", "post.deleted of vanished", "post.published of untold",
		"the post back, which the stream says is deleted, still stands",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(l.broken) > 0 {
		t.Errorf("%s %v", diff, l.broken)
	}
}
