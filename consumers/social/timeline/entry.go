package timeline

import (
	"fmt"
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

// putOp writes the entry to a user's timeline.
func (e Entry) putOp(user string) once.Op {
	return once.Put(entryKey(user, e.PostID), dynamo.Item{
		attrAuthor: dynamo.String(e.AuthorID), attrText: dynamo.String(e.Text), attrAt: dynamo.String(formatTime(e.PublishedAt)),
	}, once.Condition{})
}

// Decode reads the item of an entry, or of a post, which has no author attribute.
func Decode(item dynamo.Item) (Entry, error) {
	e := Entry{PostID: dynamo.StringOf(item, dynamo.AttrSK), AuthorID: dynamo.StringOf(item, attrAuthor), Text: dynamo.StringOf(item, attrText)}
	at, err := time.Parse(time.RFC3339Nano, dynamo.StringOf(item, attrAt))
	if err != nil {
		return e, fmt.Errorf("item %s/%s: attribute %s: %w", dynamo.StringOf(item, dynamo.AttrPK), e.PostID, attrAt, err)
	}
	e.PublishedAt = at
	return e, nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
