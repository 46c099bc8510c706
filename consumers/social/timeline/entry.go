package timeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Entry is one post in a timeline.
type Entry struct {
	PostID, AuthorID, Text string
	PublishedAt            time.Time
}

// Equal compares everything, times as instants.
func (e Entry) Equal(o Entry) bool {
	return e.PostID == o.PostID && e.AuthorID == o.AuthorID && e.Text == o.Text && e.PublishedAt.Equal(o.PublishedAt)
}

// putEntry writes a post to a user's timeline: who wrote it, for the post itself is read
// where it stands.
func putEntry(user, author, post string) once.Op {
	return once.Put(entryKey(user, post), dynamo.Item{attrAuthor: dynamo.String(author)}, once.Condition{})
}

// DecodePost reads the item of a post, which shows in timelines if ok; it does not when
// there is no item or the post was deleted.
func DecodePost(item dynamo.Item) (e Entry, ok bool, err error) {
	if len(item) == 0 || dynamo.BoolOf(item, attrDeleted) {
		return Entry{}, false, nil
	}
	pk := dynamo.StringOf(item, dynamo.AttrPK)
	e = Entry{PostID: dynamo.StringOf(item, dynamo.AttrSK), AuthorID: strings.TrimPrefix(pk, prefixPosts), Text: dynamo.StringOf(item, attrText)}
	if e.PublishedAt, err = time.Parse(time.RFC3339Nano, dynamo.StringOf(item, attrAt)); err != nil {
		return e, false, fmt.Errorf("item %s/%s: attribute %s: %w", pk, e.PostID, attrAt, err)
	}
	return e, true, nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
