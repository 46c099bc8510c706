package timeline

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// ErrCursor is returned for a cursor that is not the Next of a page.
var ErrCursor = errors.New("invalid cursor of a timeline")

// Limits of a page.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// ReaderClient is the part of the DynamoDB client that a Reader uses.
type ReaderClient interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
}

// Reader reads timelines, strongly consistent. Safe for concurrent use.
type Reader struct {
	client ReaderClient
	table  string
	limit  int
}

// NewReader reads a table that the model with the default cap writes.
func NewReader(client ReaderClient, table string) *Reader {
	return &Reader{client: client, table: table, limit: DefaultCap}
}

// Page is a part of a timeline, newest first.
type Page struct {
	Items []Item
	Next  string // cursor of the following page, "" when this is the last
}

// Item is a post as a reader sees it.
type Item struct {
	PostID, AuthorID string
	AuthorName       string // "" while the author's user.joined has not been applied
	Text             string
	PublishedAt      time.Time
}

// Applied returns the highest position applied for a user's own events; zero when there
// is none.
func (r *Reader) Applied(ctx context.Context, userID string) (events.Position, error) {
	return readmodel.Applied(ctx, r.client, r.table, userID)
}

// Read returns a page of a user's timeline: from its beginning with an empty cursor,
// else from where the page with that Next ended. Limit is 1 to 100, 0 for 20. A user who
// is unknown or has left has an empty timeline.
func (r *Reader) Read(ctx context.Context, userID, cursor string, limit int) (Page, error) {
	at, err := parseCursor(cursor)
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	limit = min(cmp.Or(limit, DefaultLimit), MaxLimit, r.limit-at.served)
	if limit <= 0 {
		return Page{}, nil
	}
	items, err := r.items(ctx, userID, at.post, limit+1)
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	p := Page{Items: items}
	if len(items) > limit {
		p.Items = items[:limit]
		if at.served+limit < r.limit {
			p.Next = place{at.served + limit, items[limit-1].PostID}.cursor()
		}
	}
	return p, nil
}

// items reads what follows the post with the id before, at least n if there are as many.
func (r *Reader) items(ctx context.Context, user, before string, n int) ([]Item, error) {
	in := partitionQuery(r.table, prefixTimeline+user)
	in.ScanIndexForward, in.Limit = aws.Bool(false), aws.Int32(int32(n))
	if before != "" {
		in.ExclusiveStartKey = entryKey(user, before).Item()
	}
	for items := []Item{}; ; {
		out, err := r.client.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		more, err := r.join(ctx, user, out.Items)
		if err != nil {
			return nil, err
		}
		if items = append(items, more...); len(items) >= n || len(out.LastEvaluatedKey) == 0 {
			return items, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// join adds to the entries of a user's timeline their posts and the names of the authors.
// It leaves out posts that were deleted and those of authors who left, and all of them if
// the user did.
func (r *Reader) join(ctx context.Context, user string, entries []dynamo.Item) ([]Item, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	wanted := map[once.Key]bool{nameKey(user): true}
	for _, e := range entries {
		author := dynamo.StringOf(e, attrAuthor)
		wanted[nameKey(author)], wanted[postKey(author, dynamo.StringOf(e, dynamo.AttrSK))] = true, true
	}
	found, err := r.getMany(ctx, wanted)
	if err != nil || dynamo.BoolOf(found[nameKey(user)], attrLeft) {
		return nil, err
	}
	var items []Item
	for _, e := range entries {
		author := dynamo.StringOf(e, attrAuthor)
		name := found[nameKey(author)]
		post, ok, err := DecodePost(found[postKey(author, dynamo.StringOf(e, dynamo.AttrSK))])
		if err != nil {
			return nil, err
		}
		if ok && !dynamo.BoolOf(name, attrLeft) {
			items = append(items, Item{post.PostID, author, dynamo.StringOf(name, attrName), post.Text, post.PublishedAt})
		}
	}
	return items, nil
}

const (
	maxGet         = 100 // items of a BatchGetItem
	maxUnprocessed = 8   // how often DynamoDB may leave some of them unprocessed
)

var unprocessedDelays = backoff.Backoff{Min: 20 * time.Millisecond, Max: 160 * time.Millisecond}

// getMany reads items, strongly consistent. Those that do not exist are left out.
func (r *Reader) getMany(ctx context.Context, wanted map[once.Key]bool) (map[once.Key]dynamo.Item, error) {
	var keys []map[string]types.AttributeValue
	for k := range wanted {
		keys = append(keys, k.Item())
	}
	found := make(map[once.Key]dynamo.Item, len(keys))
	for unprocessed := 0; len(keys) > 0; {
		n := min(len(keys), maxGet)
		out, err := r.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{r.table: {Keys: keys[:n], ConsistentRead: aws.Bool(true)}},
		})
		if err != nil {
			return nil, fmt.Errorf("posts and names: %w", err)
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
			return nil, fmt.Errorf("posts and names: DynamoDB left %d of them unprocessed %d times", len(left), unprocessed)
		}
		if err := unprocessedDelays.Wait(ctx, unprocessed-1); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// place is where a page of a timeline ended.
type place struct {
	served int // entries up to here, which the cap counts
	post   string
}

func (p place) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(p.served) + "." + p.post))
}

func parseCursor(cursor string) (place, error) {
	if cursor == "" {
		return place{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	served, post, ok := strings.Cut(string(text), ".")
	n, numErr := strconv.Atoi(served)
	if err != nil || !ok || numErr != nil || n < 1 || post == "" || len(post) > 1024 {
		return place{}, ErrCursor
	}
	return place{n, post}, nil
}
