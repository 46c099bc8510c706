package timeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// show adds the posts to the page, with the names of their authors. It leaves out those
// that were deleted and those of authors who left.
func (m *merge) show(ctx context.Context, found []candidate) error {
	if err := m.readCards(ctx, found); err != nil {
		return err
	}
	posts, err := m.lookUp(ctx, found)
	if err != nil {
		return err
	}
	for _, c := range found {
		e, author := c.Entry, m.cards[c.AuthorID]
		if item, looked := posts[postKey(c.AuthorID, c.PostID)]; looked {
			var ok bool
			if e, ok, err = DecodePost(item); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		if !author.hides(e.PostID) {
			m.items = append(m.items, Item{e.PostID, e.AuthorID, author.name, e.Text, e.PublishedAt})
		}
	}
	m.sources = slices.DeleteFunc(m.sources, func(s *source) bool { return m.cards[s.author].left })
	return nil
}

// readCards reads the cards of the authors that are not known yet.
func (m *merge) readCards(ctx context.Context, found []candidate) error {
	wanted := map[once.Key]bool{}
	for _, c := range found {
		if _, known := m.cards[c.AuthorID]; !known {
			wanted[nameKey(c.AuthorID)] = true
		}
	}
	items, err := m.r.getMany(ctx, wanted, false)
	if err != nil {
		return fmt.Errorf("names: %w", err)
	}
	for _, c := range found {
		if item, read := items[nameKey(c.AuthorID)]; read {
			m.cards[c.AuthorID] = decodeCard(item)
		}
	}
	return nil
}

// lookUp reads the posts of entries without a text, and of authors who deleted more than
// their card lists, strongly consistent: they may be the user's own.
func (m *merge) lookUp(ctx context.Context, found []candidate) (map[once.Key]dynamo.Item, error) {
	wanted := map[once.Key]bool{}
	for _, c := range found {
		if author := m.cards[c.AuthorID]; !author.hides(c.PostID) && (c.lookup || author.many) {
			wanted[postKey(c.AuthorID, c.PostID)] = true
		}
	}
	posts, err := m.r.getMany(ctx, wanted, true)
	if err != nil {
		return nil, fmt.Errorf("posts: %w", err)
	}
	return posts, nil
}

const (
	maxGet         = 100 // items of a BatchGetItem
	maxUnprocessed = 8   // how often DynamoDB may leave some of them unprocessed
)

var unprocessedDelays = backoff.Backoff{Min: 20 * time.Millisecond, Max: 160 * time.Millisecond}

// getMany reads items. Those that do not exist are empty.
func (r *Reader) getMany(ctx context.Context, wanted map[once.Key]bool, consistent bool) (map[once.Key]dynamo.Item, error) {
	var keys []map[string]types.AttributeValue
	found := make(map[once.Key]dynamo.Item, len(wanted))
	for k := range wanted {
		keys, found[k] = append(keys, k.Item()), nil
	}
	for unprocessed := 0; len(keys) > 0; {
		n := min(len(keys), maxGet)
		out, err := r.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{r.table: {Keys: keys[:n], ConsistentRead: &consistent}},
		})
		if err != nil {
			return nil, err
		}
		for _, item := range out.Responses[r.table] {
			found[once.KeyOf(dynamo.StringOf(item, dynamo.AttrPK), dynamo.StringOf(item, dynamo.AttrSK))] = item
		}
		left := out.UnprocessedKeys[r.table].Keys
		keys = append(keys[n:], left...)
		if len(left) == 0 {
			continue
		}
		if unprocessed++; unprocessed > maxUnprocessed {
			return nil, fmt.Errorf("DynamoDB left %d of them unprocessed %d times", len(left), unprocessed)
		}
		if err := unprocessedDelays.Wait(ctx, unprocessed-1); err != nil {
			return nil, err
		}
	}
	return found, nil
}
