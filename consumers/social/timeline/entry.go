package timeline

import (
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/consumers/once"
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

// decodeEntry reads an entry, or a post, which has no author attribute.
func decodeEntry(item once.Attributes) (Entry, error) {
	e := Entry{PostID: once.Text(item, "sk"), AuthorID: once.Text(item, attrAuthor), Text: once.Text(item, attrText)}
	at, err := time.Parse(time.RFC3339Nano, once.Text(item, attrAt))
	if err != nil {
		return e, fmt.Errorf("item %s/%s: attribute %s: %w", once.Text(item, "pk"), e.PostID, attrAt, err)
	}
	e.PublishedAt = at
	return e, nil
}
