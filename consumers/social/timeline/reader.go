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

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
)

// ErrCursor is returned for a cursor that is not the Next of a page.
var ErrCursor = errors.New("invalid cursor of a timeline")

// Limits of a page.
const (
	DefaultLimit = 20
	MaxLimit     = 100
	// MaxCelebrities is how many celebrities are mixed into a timeline: of those whom the
	// user follows, the first in the order of their ids.
	MaxCelebrities = 50
)

// ReaderClient is the part of the DynamoDB client that a Reader uses.
type ReaderClient interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
}

// Reader reads timelines: what the user did strongly consistent, what others did
// eventually consistent, which is as if they had done it a moment later. Safe for
// concurrent use.
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
// is unknown or has left has an empty timeline. A page is shorter than its limit, though
// not the last, where very much in a row was deleted (see the package comment for what a
// page costs).
func (r *Reader) Read(ctx context.Context, userID, cursor string, limit int) (Page, error) {
	at, err := parseCursor(cursor)
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	limit = min(cmp.Or(limit, DefaultLimit), MaxLimit, r.limit-at.served)
	if limit <= 0 {
		return Page{}, nil
	}
	m, err := r.open(ctx, userID, at.post, limit+1)
	if err == nil {
		err = m.read(ctx, limit+1)
	}
	if err != nil {
		return Page{}, fmt.Errorf("timeline: read %s: %w", userID, err)
	}
	p := Page{Items: m.items}
	end := m.end
	if len(m.items) > limit {
		p.Items = m.items[:limit]
		end = p.Items[limit-1].PostID
	}
	if end != "" && at.served+len(p.Items) < r.limit {
		p.Next = place{at.served + len(p.Items), end}.cursor()
	}
	return p, nil
}

// place is where a page of a timeline ended.
type place struct {
	served int // posts up to here, which the cap counts
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
	if err != nil || !ok || numErr != nil || n < 0 || post == "" || len(post) > 1024 {
		return place{}, ErrCursor
	}
	return place{n, post}, nil
}
