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

// maxInline is the longest text that an entry has itself. The readers of a longer one look
// it up in the post, so that an entry costs no more than one KB to write.
const maxInline = 512

// putEntry writes a post to a user's timeline.
func putEntry(user string, e Entry) once.Op {
	item := dynamo.Item{attrAuthor: dynamo.String(e.AuthorID)}
	if len(e.Text) <= maxInline {
		item[attrText], item[attrAt] = dynamo.String(e.Text), dynamo.String(formatTime(e.PublishedAt))
	}
	return once.Put(entryKey(user, e.PostID), item, once.Condition{})
}

// DecodePost reads the item of a post, which shows in timelines if ok; it does not when
// there is no item or the post was deleted.
func DecodePost(item dynamo.Item) (e Entry, ok bool, err error) {
	if len(item) == 0 || dynamo.BoolOf(item, attrDeleted) {
		return Entry{}, false, nil
	}
	e, err = decode(item, strings.TrimPrefix(dynamo.StringOf(item, dynamo.AttrPK), prefixPosts))
	return e, err == nil, err
}

func decode(item dynamo.Item, author string) (e Entry, err error) {
	e = Entry{PostID: dynamo.StringOf(item, dynamo.AttrSK), AuthorID: author, Text: dynamo.StringOf(item, attrText)}
	if e.PublishedAt, err = time.Parse(time.RFC3339Nano, dynamo.StringOf(item, attrAt)); err != nil {
		return e, fmt.Errorf("item %s/%s: attribute %s: %w", dynamo.StringOf(item, dynamo.AttrPK), e.PostID, attrAt, err)
	}
	return e, nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
