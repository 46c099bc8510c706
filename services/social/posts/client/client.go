// Package client is the hand-written client of the posts service; see package jsonclient for
// deadlines, retries, the circuit breaker and errors. Every call is idempotent, also Publish,
// as the caller chooses the id.
package client

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/jsonclient"
)

// maxAuthors is how many authors one request asks for.
const maxAuthors = 100

// Post is a post as the service shows it.
type Post struct {
	ID     string    `json:"id"`
	Author string    `json:"author"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
}

// Page is a part of a list. Next is empty at its end.
type Page struct {
	Posts []Post `json:"posts"`
	Next  string `json:"nextCursor"`
}

// Client calls the posts service. It is safe for concurrent use.
type Client struct{ *jsonclient.Client }

// New makes a Client. It sends nothing.
func New(cfg jsonclient.Config) (*Client, error) {
	c, err := jsonclient.New(cfg, nil)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Publish stores a post of a time under an id, which is an ObjectId of that time, and returns the
// position of its event. jsonclient.ErrConflict where another post has the id.
func (c *Client) Publish(ctx context.Context, id, author, text string, made time.Time) (p Post, at events.Position, err error) {
	in := map[string]any{"author": author, "text": text, "at": made}
	answer, err := c.Do(ctx, jsonclient.Call{Method: http.MethodPut, Path: path(id), In: in, Out: &p})
	if err == nil {
		at, err = answer.Written()
	}
	return p, at, err
}

// Delete removes a post. Where there is none any more, the position is not known.
func (c *Client) Delete(ctx context.Context, id string) (events.Position, error) {
	answer, err := c.Do(ctx, jsonclient.Call{Method: http.MethodDelete, Path: path(id)})
	if errors.Is(err, jsonclient.ErrNotFound) {
		return events.Position{}, nil
	}
	if err != nil {
		return events.Position{}, err
	}
	return answer.Written()
}

// Get returns a post. jsonclient.ErrNotFound.
func (c *Client) Get(ctx context.Context, id string) (p Post, err error) {
	_, err = c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: path(id), Out: &p})
	return p, err
}

func path(id string) string { return "/v1/posts/" + url.PathEscape(id) }

// Newest returns a page of the newest posts of these authors, at most limit (1 to 100), older
// than the one that the page before named; empty to begin.
func (c *Client) Newest(ctx context.Context, authors []string, before string, limit int) (page Page, err error) {
	for some := range slices.Chunk(authors, maxAuthors) {
		query := url.Values{"authors": {strings.Join(some, ",")}, "before": {before}, "limit": {strconv.Itoa(limit)}}
		var part Page
		if _, err := c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/posts?" + query.Encode(), Out: &part}); err != nil {
			return Page{}, err
		}
		page.Posts, page.Next = append(page.Posts, part.Posts...), cmp.Or(page.Next, part.Next)
	}
	slices.SortFunc(page.Posts, func(a, b Post) int { return cmp.Compare(b.ID, a.ID) })
	if page.Next != "" || len(page.Posts) > limit {
		page.Posts = page.Posts[:limit]
		page.Next = page.Posts[limit-1].ID
	}
	return page, nil
}
