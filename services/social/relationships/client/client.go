// Package client is the hand-written client of the relationships service; see package
// jsonclient for deadlines, retries, the circuit breaker and errors. Every call is idempotent.
package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/jsonclient"
)

// Relationship says that one user follows another.
type Relationship struct {
	Follower string    `json:"follower"`
	Followee string    `json:"followee"`
	At       time.Time `json:"at"`
}

// Page is a part of a list. Next is empty at its end.
type Page struct {
	Relationships []Relationship `json:"relationships"`
	Next          string         `json:"nextCursor"`
}

// Client calls the relationships service. It is safe for concurrent use.
type Client struct{ *jsonclient.Client }

// New makes a Client. It sends nothing.
func New(cfg jsonclient.Config) (*Client, error) {
	c, err := jsonclient.New(cfg, nil)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Follow makes follower follow followee, and returns the position of the event.
func (c *Client) Follow(ctx context.Context, follower, followee string) (events.Position, error) {
	return c.write(ctx, http.MethodPut, follower, followee)
}

// Unfollow ends it.
func (c *Client) Unfollow(ctx context.Context, follower, followee string) (events.Position, error) {
	return c.write(ctx, http.MethodDelete, follower, followee)
}

func (c *Client) write(ctx context.Context, method, follower, followee string) (events.Position, error) {
	answer, err := c.Do(ctx, jsonclient.Call{Method: method, Path: path(follower, followee)})
	if err != nil {
		return events.Position{}, err
	}
	return answer.Written()
}

func path(follower, followee string) string {
	return "/v1/relationships/" + url.PathEscape(follower) + "/" + url.PathEscape(followee)
}

// Get returns the relationship of two users. jsonclient.ErrNotFound.
func (c *Client) Get(ctx context.Context, follower, followee string) (r Relationship, err error) {
	_, err = c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: path(follower, followee), Out: &r})
	return r, err
}

// Following returns a page of whom a user follows, at most limit (1 to 500), from the cursor
// that the page before named; empty to begin.
func (c *Client) Following(ctx context.Context, follower, cursor string, limit int) (Page, error) {
	return c.list(ctx, "follower", follower, cursor, limit)
}

// Followers returns a page of who follows a user.
func (c *Client) Followers(ctx context.Context, followee, cursor string, limit int) (Page, error) {
	return c.list(ctx, "followee", followee, cursor, limit)
}

func (c *Client) list(ctx context.Context, side, user, cursor string, limit int) (page Page, err error) {
	query := url.Values{side: {user}, "limit": {strconv.Itoa(limit)}, "cursor": {cursor}}
	_, err = c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/relationships?" + query.Encode(), Out: &page})
	return page, err
}
