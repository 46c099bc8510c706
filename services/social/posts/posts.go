// Package posts is the service of what users write, on the entity store: its domain and its
// HTTP API, which runs as a server and as a function.
//
//	PUT    /v1/posts/{id}        publish: 201, or 200 where it is there; the id is an ObjectId, at
//	                             the time of the post if it is not the present one
//	GET    /v1/posts/{id}
//	DELETE /v1/posts/{id}        204, by If-Match on a condition
//	GET    /v1/posts?authors=A,B the newest of these authors, at most 100, by their ids
//
// Lists come in pages: limit, and before, which is the id to go on from. While DynamoDB owns the
// posts, a list is some milliseconds old. A write returns the
// position of its event in Banyan-Written; a repeated publish tells it again. Whether the author
// exists is not asked.
package posts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/keyedlock"
)

// source names the service in its events.
const source = "/services/posts"

// Limits of the API.
const (
	MaxText    = 1000 // characters of a post
	MaxPage    = 100  // posts
	MaxAuthors = 100  // that one list is of

	authorsAtOnce = 8 // that are asked for
)

// Post is what a user wrote.
type Post struct {
	ID     bson.ObjectID `bson:"_id" json:"id"`
	Author string        `bson:"author" json:"author"`
	Text   string        `bson:"text" json:"text"`
	At     time.Time     `bson:"at" json:"at"` // in UTC, with milliseconds
}

// Service is the domain of posts. It is safe for concurrent use.
type Service struct {
	store entity.Typed[Post]
	locks *keyedlock.Lock // so that the events of an author are in the order of the writes
	now   func() time.Time
}

// New makes a Service. now is the clock, time.Now when nil.
func New(store *entity.Store, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{store: entity.Of[Post](store), locks: keyedlock.New(), now: now}
}

func idOf(text string) (bson.ObjectID, error) {
	id, err := bson.ObjectIDFromHex(text)
	if err != nil || id.Hex() != text {
		err = fmt.Errorf("%w: an id must be 24 lower-case hex digits, not %.40q", entity.ErrInvalid, text)
	}
	return id, err
}

// Publish stores a post of a time, the present one for the zero Time. The very post may be there
// already: then it is told again. entity.ErrExists where the id is another one's. Lists are in
// the order of ids, so whoever makes an id of the time says that time.
func (s *Service) Publish(ctx context.Context, id, author, text string, at time.Time) (done entity.Outcome[Post], err error) {
	p := Post{Author: author, Text: text}
	if p.ID, err = idOf(id); err == nil {
		_, err = idOf(author)
	}
	if n := utf8.RuneCountInString(text); err == nil && (strings.TrimSpace(text) == "" || n > MaxText || !utf8.ValidString(text)) {
		err = fmt.Errorf("%w: text must have 1 to %d characters", entity.ErrInvalid, MaxText)
	}
	if err != nil {
		return done, err
	}
	release, err := s.locks.Acquire(ctx, author)
	if err != nil {
		return done, err
	}
	defer release()
	if at.IsZero() {
		at = s.now()
	}
	p.At = at.UTC().Truncate(time.Millisecond) // what MongoDB keeps
	tell := s.store.Telling(func(ctx context.Context, _, after *entity.Versioned[Post]) ([]events.Event, error) {
		return event(ctx, social.PostPublished{PostID: id, AuthorID: author, Text: text, PublishedAt: after.Value.At.UTC()})
	})
	done, err = s.store.Create(ctx, p, tell)
	if there := done.Value; !errors.Is(err, entity.ErrExists) || there.Author != author || there.Text != text {
		return done, err
	}
	return s.store.Update(ctx, p.ID, func(*Post) error { return entity.ErrUnchanged }, tell)
}

func event(ctx context.Context, fact events.Payload) ([]events.Event, error) {
	e, err := events.New(ctx, source, fact)
	return []events.Event{e}, err
}

// Delete removes a post, of this version unless nil. entity.ErrNotFound, entity.ErrVersion.
func (s *Service) Delete(ctx context.Context, id string, version *int64) (entity.Outcome[Post], error) {
	oid, err := idOf(id)
	if err != nil {
		return entity.Outcome[Post]{}, err
	}
	at := s.now().UTC()
	return s.store.Delete(ctx, oid, entity.IfVersion(version),
		s.store.Telling(func(ctx context.Context, before, _ *entity.Versioned[Post]) ([]events.Event, error) {
			return event(ctx, social.PostDeleted{PostID: id, AuthorID: before.Value.Author, At: at})
		}))
}

// Get returns a post. entity.ErrNotFound.
func (s *Service) Get(ctx context.Context, id string) (entity.Versioned[Post], error) {
	oid, err := idOf(id)
	if err != nil {
		return entity.Versioned[Post]{}, err
	}
	return s.store.Get(ctx, oid)
}

// Newest returns the newest posts of these authors, by their ids, older than the one with the
// id before unless empty; and the id to go on from, empty at the end.
func (s *Service) Newest(ctx context.Context, authors []string, before string, limit int) ([]Post, string, error) {
	if len(authors) == 0 || len(authors) > MaxAuthors {
		return nil, "", fmt.Errorf("%w: name 1 to %d authors, not %d", entity.ErrInvalid, MaxAuthors, len(authors))
	}
	authors = slices.Compact(slices.Sorted(slices.Values(authors)))
	for _, author := range authors {
		if _, err := idOf(author); err != nil {
			return nil, "", err
		}
	}
	q := entity.Query{Index: "author", Descending: true, Limit: limit + 1}
	if before != "" {
		id, err := idOf(before)
		if err != nil {
			return nil, "", err
		}
		q.Below = id
	}
	pages := make([][]entity.Versioned[Post], len(authors))
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(authorsAtOnce)
	for i, author := range authors {
		asking.Go(func() (err error) {
			q := q
			q.Equal = author
			pages[i], _, err = s.store.Query(ctx, q)
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, "", err
	}
	all := []Post{}
	for _, page := range pages {
		for _, v := range page {
			all = append(all, v.Value)
		}
	}
	slices.SortFunc(all, func(a, b Post) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	if len(all) <= limit {
		return all, "", nil
	}
	return all[:limit], all[limit-1].ID.Hex(), nil
}
