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
// else from where the page with that Next ended. Limit is 1 to 100, 0 for 20. An
// unknown user has an empty timeline.
func (r *Reader) Read(ctx context.Context, userID, cursor string, limit int) (Page, error) {
	at, err := parseCursor(cursor)
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	limit = min(cmp.Or(limit, DefaultLimit), MaxLimit, r.limit-at.served)
	if limit <= 0 {
		return Page{}, nil
	}
	entries, err := r.entries(ctx, userID, at.post, limit+1)
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	var p Page
	if len(entries) > limit {
		entries = entries[:limit]
		if at.served+limit < r.limit {
			p.Next = place{at.served + limit, entries[limit-1].PostID}.cursor()
		}
	}
	p.Items, err = r.joinNames(ctx, entries)
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	return p, nil
}

func (r *Reader) entries(ctx context.Context, user, before string, limit int) ([]Entry, error) {
	in := partitionQuery(r.table, prefixTimeline+user)
	in.ScanIndexForward = aws.Bool(false)
	if before != "" {
		in.ExclusiveStartKey = entryKey(user, before).Item()
	}
	var entries []Entry
	for len(entries) < limit {
		in.Limit = aws.Int32(int32(limit - len(entries)))
		out, err := r.client.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, item := range out.Items {
			e, err := Decode(item)
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
		if len(out.LastEvaluatedKey) == 0 {
			break
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
	return entries, nil
}

// joinNames adds the authors' names to the entries.
func (r *Reader) joinNames(ctx context.Context, entries []Entry) ([]Item, error) {
	names, err := r.names(ctx, entries)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(entries))
	for i, e := range entries {
		items[i] = Item{e.PostID, e.AuthorID, names[e.AuthorID], e.Text, e.PublishedAt}
	}
	return items, nil
}

// maxUnprocessed is how often DynamoDB may leave a part of the names unprocessed.
const maxUnprocessed = 8

var unprocessedDelays = backoff.Backoff{Min: 20 * time.Millisecond, Max: 160 * time.Millisecond}

func (r *Reader) names(ctx context.Context, entries []Entry) (map[string]string, error) {
	names := map[string]string{}
	var keys []map[string]types.AttributeValue
	for _, e := range entries {
		if _, ok := names[e.AuthorID]; !ok {
			names[e.AuthorID] = ""
			keys = append(keys, nameKey(e.AuthorID).Item())
		}
	}
	for try := 0; len(keys) > 0; try++ {
		if try > maxUnprocessed {
			return nil, fmt.Errorf("names of %d authors: DynamoDB left them unprocessed %d times", len(keys), maxUnprocessed)
		}
		if try > 0 {
			if err := unprocessedDelays.Wait(ctx, try-1); err != nil {
				return nil, err
			}
		}
		out, err := r.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{r.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
		})
		if err != nil {
			return nil, fmt.Errorf("names of authors: %w", err)
		}
		for _, item := range out.Responses[r.table] {
			names[strings.TrimPrefix(dynamo.StringOf(item, dynamo.AttrPK), readmodel.PrefixUser)] = dynamo.StringOf(item, attrName)
		}
		keys = out.UnprocessedKeys[r.table].Keys
	}
	return names, nil
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
