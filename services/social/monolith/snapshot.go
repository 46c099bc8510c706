package monolith

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// source names the monolith in its events.
const source = "/monolith"

const (
	snapshotPage   = 500  // users read at once
	snapshotWindow = 4096 // events in flight
)

// Enqueue passes an event to a publisher and returns how to wait until it is kept.
// It blocks while the publisher is full.
type Enqueue func(ctx context.Context, e events.Event) (wait func(context.Context) error, err error)

// Lister pages through all users. *client.Client is one.
type Lister interface {
	List(ctx context.Context, cursor string, limit int) (client.Page, error)
}

// SnapshotConfig configures Snapshot. Progress may be nil, the rest is required.
type SnapshotConfig struct {
	// Database has follows and posts, while MongoDB is their owner.
	Database Database
	// Users lists the users: the users service, or CollectionLister while MongoDB
	// is their owner.
	Users    Lister
	Enqueue  Enqueue
	Progress func(users, events int64)
}

// Published counts what Snapshot published.
type Published struct {
	Users   int64   `json:"users"`
	Follows int64   `json:"follows"`
	Posts   int64   `json:"posts"`
	Events  int64   `json:"events"`
	Seconds float64 `json:"seconds"`
}

// Snapshot publishes everything that exists already, for read models that begin
// empty: for each user, in this order, that they joined, their profile if it has
// more than a name, whom they follow, and what they posted. It returns when all
// events are kept. It can be repeated. What changes while it runs is published by the
// writes themselves, and may be published twice or, if the snapshot is late, again
// after it was undone. So run it before writes begin, or without unfollows.
func Snapshot(ctx context.Context, cfg SnapshotConfig) (Published, error) {
	began := time.Now()
	waits := make(chan func(context.Context) error, snapshotWindow)
	work, ctx := errgroup.WithContext(ctx)
	s := &snapshotter{cfg: cfg, waits: waits}
	work.Go(func() error {
		defer close(waits)
		return s.publishAll(ctx)
	})
	work.Go(func() error {
		for wait := range waits {
			if err := wait(ctx); err != nil {
				return fmt.Errorf("publish the snapshot: %w", err)
			}
		}
		return nil
	})
	err := work.Wait()
	s.counts.Seconds = time.Since(began).Seconds()
	return s.counts, err
}

type snapshotter struct {
	cfg    SnapshotConfig
	waits  chan<- func(context.Context) error
	counts Published
}

func (s *snapshotter) publishAll(ctx context.Context) error {
	for cursor, more := "", true; more; {
		page, err := s.cfg.Users.List(ctx, cursor, snapshotPage)
		if err != nil {
			return err
		}
		if err := s.publishPage(ctx, page.Users); err != nil {
			return err
		}
		cursor, more = page.Next, page.Next != ""
		if s.cfg.Progress != nil {
			s.cfg.Progress(s.counts.Users, s.counts.Events)
		}
	}
	return nil
}

func (s *snapshotter) publishPage(ctx context.Context, page []client.User) error {
	ids := make([]string, len(page))
	for i, u := range page {
		ids[i] = u.ID
	}
	follows, err := grouped(ctx, s.cfg.Database, followsCollection, "follower", ids, func(d followDoc) string { return d.Follower })
	if err != nil {
		return err
	}
	posts, err := grouped(ctx, s.cfg.Database, postsCollection, "author", ids, func(d postDoc) string { return d.Author })
	if err != nil {
		return err
	}
	for _, u := range page {
		if err := s.publishUser(ctx, u, follows[u.ID], posts[u.ID]); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshotter) publishUser(ctx context.Context, u client.User, follows []followDoc, posts []postDoc) error {
	facts := []events.Payload{social.UserJoined{UserID: u.ID, Name: u.Name, JoinedAt: u.CreatedAt}}
	if u.Bio != "" {
		facts = append(facts, social.UserProfileUpdated{UserID: u.ID, Name: u.Name, Bio: u.Bio, Version: u.Version})
	}
	for _, f := range follows {
		facts = append(facts, social.RelationshipFollowed{FollowerID: f.Follower, FolloweeID: f.Followee, At: f.At.UTC()})
	}
	for _, p := range posts {
		facts = append(facts, social.PostPublished{PostID: p.ID.Hex(), AuthorID: p.Author, Text: p.Text, PublishedAt: p.At.UTC()})
	}
	for _, fact := range facts {
		if err := s.publish(ctx, fact); err != nil {
			return err
		}
	}
	s.counts.Users++
	s.counts.Follows += int64(len(follows))
	s.counts.Posts += int64(len(posts))
	return nil
}

func (s *snapshotter) publish(ctx context.Context, fact events.Payload) error {
	e, err := events.New(ctx, source, fact)
	if err != nil {
		return fmt.Errorf("publish %s of %s: %w", fact.EventType(), fact.Subject(), err)
	}
	wait, err := s.cfg.Enqueue(ctx, e)
	if err != nil {
		return fmt.Errorf("publish %s of %s: %w", fact.EventType(), fact.Subject(), err)
	}
	s.counts.Events++
	select {
	case s.waits <- wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// grouped reads the documents of these owners, oldest ids first, by owner.
func grouped[D any](ctx context.Context, db Database, collection, field string, ids []string, owner func(D) string) (map[string][]D, error) {
	filter := bson.D{{Key: field, Value: bson.D{{Key: "$in", Value: ids}}}}
	docs, err := find[D](ctx, db, collection, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read %s of %d users: %w", collection, len(ids), err)
	}
	groups := make(map[string][]D, len(ids))
	for _, d := range docs {
		groups[owner(d)] = append(groups[owner(d)], d)
	}
	return groups, nil
}

// CollectionLister lists the users of the monolith's own collection, for a
// snapshot before there is a users service. After a switch it is out of date.
type CollectionLister struct{ Database Database }

// List implements Lister.
func (l CollectionLister) List(ctx context.Context, after string, limit int) (client.Page, error) {
	filter := bson.D{}
	if after != "" {
		id, err := bson.ObjectIDFromHex(after)
		if err != nil {
			return client.Page{}, fmt.Errorf("list users after %q: %w", after, err)
		}
		filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: id}}}}
	}
	docs, err := find[bson.Raw](ctx, l.Database, usersCollection, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
	if err != nil {
		return client.Page{}, fmt.Errorf("list users: %w", err)
	}
	var page client.Page
	for _, d := range docs {
		u, err := listed(d)
		if err != nil {
			return client.Page{}, err
		}
		page.Users = append(page.Users, u)
	}
	if len(page.Users) == limit {
		page.Next = page.Users[limit-1].ID
	}
	return page, nil
}

func listed(d bson.Raw) (client.User, error) {
	id, ok := d.Lookup("_id").ObjectIDOK()
	if !ok {
		return client.User{}, errors.New("list users: a user's _id is not an ObjectId")
	}
	u := client.User{ID: id.Hex(), CreatedAt: id.Timestamp().UTC()}
	u.Name, _ = d.Lookup("name").StringValueOK()
	u.Bio, _ = d.Lookup("bio").StringValueOK()
	u.Version, _ = d.Lookup("version").AsInt64OK()
	if at, ok := d.Lookup("createdAt").TimeOK(); ok {
		u.CreatedAt = at.UTC()
	}
	return u, nil
}
