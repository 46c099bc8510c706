package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/services/jsonclient"
)

// MaxIDs is the most users that one GetMany request asks for; more are asked for
// in several requests.
const MaxIDs = 100

// Config configures New. BaseURL is required.
type Config = jsonclient.Config

// Stats are counts since the client was made.
type Stats = jsonclient.Stats

// Errors that callers can test with errors.Is.
var (
	// ErrNotFound: the user does not exist.
	ErrNotFound = jsonclient.ErrNotFound
	// ErrConflict: the e-mail or the id belongs to another user. ErrEmailTaken and
	// ErrIDTaken say which.
	ErrConflict   = jsonclient.ErrConflict
	ErrEmailTaken = fmt.Errorf("%w: another user has this e-mail", ErrConflict)
	ErrIDTaken    = fmt.Errorf("%w: another user has this id", ErrConflict)
	// ErrVersion: the user has another version than Change.IfVersion.
	ErrVersion = jsonclient.ErrVersion
	// ErrCredentials: e-mail and password do not match a user.
	ErrCredentials = jsonclient.ErrUnauthorized
	// ErrInvalid: the service refused the input; the text says why.
	ErrInvalid = jsonclient.ErrInvalid
	// ErrUnavailable: see jsonclient.ErrUnavailable.
	ErrUnavailable = jsonclient.ErrUnavailable
	// ErrResponse: this client does not understand the response of the service.
	ErrResponse = jsonclient.ErrResponse
)

// Client calls the users service.
type Client struct{ *jsonclient.Client }

// New makes a Client. It sends nothing.
func New(cfg Config) (*Client, error) {
	c, err := jsonclient.New(cfg, map[string]error{"email-taken": ErrEmailTaken, "id-taken": ErrIDTaken})
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Create makes a user. ErrEmailTaken, ErrIDTaken, ErrInvalid, ErrUnavailable.
func (c *Client) Create(ctx context.Context, n NewUser) (Written, error) {
	return c.write(ctx, jsonclient.Call{Method: http.MethodPut, Path: "/v1/users/" + url.PathEscape(n.ID), In: n})
}

// Update changes a user. ErrNotFound, ErrVersion, ErrInvalid, ErrUnavailable.
func (c *Client) Update(ctx context.Context, id string, change Change) (Written, error) {
	return c.write(ctx, jsonclient.Call{Method: http.MethodPatch, Path: "/v1/users/" + url.PathEscape(id), IfVersion: change.IfVersion, In: change})
}

func (c *Client) write(ctx context.Context, r jsonclient.Call) (Written, error) {
	var w Written
	r.Out = &w.User
	answer, err := c.Do(ctx, r)
	if err != nil {
		return Written{}, err
	}
	w.Created = answer.Status == http.StatusCreated
	w.Position, err = answer.Written()
	return w, err
}

// Get returns a user. ErrNotFound, ErrUnavailable.
func (c *Client) Get(ctx context.Context, id string) (User, error) {
	var u User
	_, err := c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/users/" + url.PathEscape(id), Out: &u})
	return u, err
}

// GetMany returns those of the users that exist, by id.
func (c *Client) GetMany(ctx context.Context, ids []string) (map[string]User, error) {
	found := make(map[string]User, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), MaxIDs)
		var page Page
		query := url.Values{"ids": {strings.Join(ids[:n], ",")}}
		if _, err := c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/users?" + query.Encode(), Out: &page}); err != nil {
			return nil, err
		}
		for _, u := range page.Users {
			found[u.ID] = u
		}
		ids = ids[n:]
	}
	return found, nil
}

// List returns a page of all users, at most limit (1 to 500), from the cursor that
// the page before named; empty to begin.
func (c *Client) List(ctx context.Context, cursor string, limit int) (Page, error) {
	var page Page
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	_, err := c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/users?" + query.Encode(), Out: &page})
	return page, err
}

// Authenticate returns the user with this e-mail and password. ErrCredentials,
// ErrUnavailable.
func (c *Client) Authenticate(ctx context.Context, email, password string) (User, error) {
	var u User
	in := map[string]string{"email": email, "password": password}
	_, err := c.Do(ctx, jsonclient.Call{Method: http.MethodPost, Path: "/v1/users/authenticate", In: in, Out: &u})
	return u, err
}
