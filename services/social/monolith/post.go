package monolith

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/httpjson"
	posts "github.com/banyan-fig/banyan/services/social/posts/client"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// Limits of the old API.
const (
	maxPost      = 1000 // characters
	defaultCount = 20
	maxCount     = 100
	maxFollows   = 5000 // that one timeline looks at
	followsPage  = 500
)

// Post is a post with its author's name.
type Post struct {
	posts.Post
	AuthorName string
}

// Publish stores a post of the author.
func (a *App) Publish(ctx context.Context, author, text string) (Post, events.Position, error) {
	if n := utf8.RuneCountInString(text); strings.TrimSpace(text) == "" || n > maxPost || !utf8.ValidString(text) {
		return Post{}, events.Position{}, fmt.Errorf("%w: text must have 1 to %d characters", httpjson.ErrInvalid, maxPost)
	}
	u, err := a.cfg.Users.Get(ctx, author)
	if err != nil {
		return Post{}, events.Position{}, err
	}
	now := a.cfg.Now() // of both, as timelines are in the order of ids
	p, at, err := a.cfg.Posts.Publish(ctx, bson.NewObjectIDFromTimestamp(now).Hex(), author, text, now)
	return Post{p, u.Name}, at, err
}

// Unpublish deletes a post of the author. One that is gone may be deleted again.
func (a *App) Unpublish(ctx context.Context, author, id string) (events.Position, error) {
	p, err := a.cfg.Posts.Get(ctx, id)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return events.Position{}, nil
	case err != nil:
		return events.Position{}, err
	case p.Author != author:
		return events.Position{}, fmt.Errorf("%w: post %s is another user's", errNotFound, id)
	}
	return a.cfg.Posts.Delete(ctx, id)
}

// Timeline returns the newest posts of those whom the user follows, and their own,
// that are older than the post with id before (all, if empty), and the id to go on
// from, empty at the end.
func (a *App) Timeline(ctx context.Context, userID, before string, count int) ([]Post, string, error) {
	authors, err := a.authorsFor(ctx, userID)
	if err != nil {
		return nil, "", err
	}
	if before != "" {
		id, err := bson.ObjectIDFromHex(before)
		if err != nil {
			return nil, "", fmt.Errorf("%w: before is not a cursor of this API", httpjson.ErrInvalid)
		}
		before = id.Hex()
	}
	page, err := a.cfg.Posts.Newest(ctx, authors, before, count)
	if err != nil {
		return nil, "", err
	}
	shown, err := a.withAuthorNames(ctx, page.Posts)
	return shown, page.Next, err
}

// authorsFor lists whom the user follows, and the user.
func (a *App) authorsFor(ctx context.Context, userID string) ([]string, error) {
	authors := []string{userID}
	for cursor := ""; len(authors) <= maxFollows; {
		page, err := a.cfg.Relationships.Following(ctx, userID, cursor, followsPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Relationships {
			authors = append(authors, r.Followee)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return authors, nil
}

// withAuthorNames adds the authors' names.
func (a *App) withAuthorNames(ctx context.Context, docs []posts.Post) ([]Post, error) {
	seen := map[string]bool{}
	var ids []string
	for _, d := range docs {
		if !seen[d.Author] {
			seen[d.Author] = true
			ids = append(ids, d.Author)
		}
	}
	names := map[string]client.User{}
	if len(ids) > 0 {
		var err error
		if names, err = a.cfg.Users.GetMany(ctx, ids); err != nil {
			return nil, err
		}
	}
	shown := make([]Post, len(docs))
	for i, d := range docs {
		shown[i] = Post{d, names[d.Author].Name}
	}
	return shown, nil
}
