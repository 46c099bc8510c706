package monolith

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// Limits of the old API.
const (
	maxPost      = 1000 // characters
	defaultCount = 20
	maxCount     = 100
	maxFollows   = 5000 // that one timeline looks at
)

// postDoc is a document of the collection posts.
type postDoc struct {
	ID     bson.ObjectID `bson:"_id"`
	Author string        `bson:"author"`
	Text   string        `bson:"text"`
	At     time.Time     `bson:"at"`
}

// Post is a post with its author's name.
type Post struct {
	postDoc
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
	release, err := a.locks.Acquire(ctx, author)
	if err != nil {
		return Post{}, events.Position{}, err
	}
	defer release()
	at := a.now()
	doc := postDoc{ID: bson.NewObjectIDFromTimestamp(at), Author: author, Text: text, At: at}
	if err := a.insertPost(ctx, doc); err != nil {
		return Post{}, events.Position{}, fmt.Errorf("store a post of %s: %w", author, err)
	}
	position, err := a.publish(ctx, social.PostPublished{PostID: doc.ID.Hex(), AuthorID: author, Text: text, PublishedAt: at})
	return Post{postDoc: doc, AuthorName: u.Name}, position, err
}

// insertPost inserts a post. On a repeated attempt the id may exist from the first.
func (a *App) insertPost(ctx context.Context, doc postDoc) error {
	tries := 0
	return a.write(ctx, postsCollection, func(ctx context.Context, posts *mongo.Collection) error {
		tries++
		_, err := posts.InsertOne(ctx, doc)
		if tries > 1 && mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
}

// Timeline returns the newest posts of those whom the user follows, and their own,
// that are older than the post with id before (all, if empty), and the id to go on
// from, empty at the end.
func (a *App) Timeline(ctx context.Context, userID, before string, count int) ([]Post, string, error) {
	authors, err := a.authorsFor(ctx, userID)
	if err != nil {
		return nil, "", err
	}
	filter := bson.D{{Key: "author", Value: bson.D{{Key: "$in", Value: authors}}}}
	if before != "" {
		id, err := bson.ObjectIDFromHex(before)
		if err != nil {
			return nil, "", fmt.Errorf("%w: before is not a cursor of this API", httpjson.ErrInvalid)
		}
		filter = append(filter, bson.E{Key: "_id", Value: bson.D{{Key: "$lt", Value: id}}})
	}
	newest := options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetLimit(int64(count + 1))
	docs, err := find[postDoc](ctx, a.cfg.Database, postsCollection, filter, newest)
	if err != nil {
		return nil, "", fmt.Errorf("read the timeline of %s: %w", userID, err)
	}
	next := ""
	if len(docs) > count {
		docs = docs[:count]
		next = docs[count-1].ID.Hex()
	}
	posts, err := a.withAuthorNames(ctx, docs)
	return posts, next, err
}

// authorsFor lists whom the user follows, and the user.
func (a *App) authorsFor(ctx context.Context, userID string) ([]string, error) {
	docs, err := find[followDoc](ctx, a.cfg.Database, followsCollection, bson.D{{Key: "follower", Value: userID}}, options.Find().SetLimit(maxFollows))
	if err != nil {
		return nil, fmt.Errorf("read whom %s follows: %w", userID, err)
	}
	authors := make([]string, 0, len(docs)+1)
	for _, d := range docs {
		authors = append(authors, d.Followee)
	}
	return append(authors, userID), nil
}

// withAuthorNames adds the authors' names.
func (a *App) withAuthorNames(ctx context.Context, docs []postDoc) ([]Post, error) {
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
	posts := make([]Post, len(docs))
	for i, d := range docs {
		posts[i] = Post{postDoc: d, AuthorName: names[d.Author].Name}
	}
	return posts, nil
}
