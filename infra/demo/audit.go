package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// drainTimeout is how long the consumers may take to drain the stream when the
// traffic has ended; what is missing after it counts as lost.
const drainTimeout = 90 * time.Second

// ledger is what the events on the stream say, read by the audit itself.
type ledger struct {
	fold    *socialtest.Fold
	ids     map[string]bool // of events
	repeats int64
	joined  map[string]bool
	posts   map[string]bool
	follows map[string]follow // by "follower:followee"
	broken  []error
}

type follow struct {
	on bool
	at events.Position
}

func newLedger() *ledger {
	return &ledger{
		fold: socialtest.NewFold(), ids: map[string]bool{}, joined: map[string]bool{}, posts: map[string]bool{}, follows: map[string]follow{},
	}
}

func (l *ledger) record(m consumers.Message) {
	if l.ids[m.Event.ID] {
		l.repeats++
	}
	l.ids[m.Event.ID] = true
	if err := l.fold.Apply(m); err != nil {
		l.broken = append(l.broken, err)
	}
	p, err := social.Registry().Decode(m.Event)
	if err != nil {
		l.broken = append(l.broken, err)
		return
	}
	switch p := p.(type) {
	case social.UserJoined:
		l.joined[p.UserID] = true
	case social.PostPublished:
		l.posts[p.PostID] = true
	case social.RelationshipFollowed:
		l.follow(p.FollowerID, p.FolloweeID, follow{true, m.Position})
	case social.RelationshipUnfollowed:
		l.follow(p.FollowerID, p.FolloweeID, follow{false, m.Position})
	}
}

func (l *ledger) follow(a, b string, f follow) {
	if old, ok := l.follows[a+":"+b]; !ok || old.at.Before(f.at) {
		l.follows[a+":"+b] = f
	}
}

// audit compares, once nothing moves any more, the stream with what the
// legacy side acknowledged, and the read models with the stream.
func (w *World) audit(ctx context.Context, t *traffic, r *Report) error {
	l := newLedger()
	if err := w.readStream(ctx, l.record); err != nil {
		return err
	}
	if len(l.broken) > 0 {
		return fmt.Errorf("%d events on the stream cannot be read, the first: %w", len(l.broken), l.broken[0])
	}
	unpublished, err := w.unpublished(ctx, l, t)
	if err != nil {
		return err
	}
	differences, err := w.readModels(ctx, l)
	if err != nil {
		return err
	}
	for _, d := range differences[:min(len(differences), shownErrors)] {
		r.Details = append(r.Details, d.String())
	}
	r.Details = append(r.Details, unpublished[:min(len(unpublished), shownErrors)]...)
	lost := int64(socialtest.Count(differences, socialtest.Lost))
	r.EventsPublished, r.Redelivered = int64(len(l.ids)), l.repeats
	r.EventsLost = int64(len(unpublished)) + lost
	r.EventsAppliedTwice = int64(socialtest.Count(differences, socialtest.Twice))
	r.EventsApplied = r.EventsPublished - lost
	return nil
}

// readModels waits until the consumers have drained the stream and lists what
// still differs from its fold.
func (w *World) readModels(ctx context.Context, l *ledger) (all []socialtest.Difference, err error) {
	wantTimelines, wantProfiles := l.fold.Timelines(0), l.fold.Profiles()
	err = pollUntil(ctx, drainTimeout, func() (bool, error) {
		timelines, err := socialtest.SnapshotTimelines(ctx, w.aws.dynamodb, timelineTable, 0)
		if err != nil {
			return false, err
		}
		profiles, err := socialtest.SnapshotProfiles(ctx, w.aws.dynamodb, profileTable)
		if err != nil {
			return false, err
		}
		all = append(socialtest.DiffTimelines(wantTimelines, timelines), socialtest.DiffProfiles(wantProfiles, profiles)...)
		w.screen.progress("comparing the read models with the stream: %s differences left", number(int64(len(all))))
		return len(all) == 0, nil
	})
	return all, err
}

// unpublished lists what the legacy side acknowledged and the stream lacks.
func (w *World) unpublished(ctx context.Context, l *ledger, t *traffic) (missing []string, err error) {
	for _, m := range t.signed {
		if !l.joined[m.id] {
			missing = append(missing, "user.joined of "+m.id)
		}
	}
	err = w.withMongo(ctx, func(db *mongo.Database) error {
		more, err := l.unpublishedOf(ctx, db)
		missing = append(missing, more...)
		return err
	})
	return missing, err
}

// unpublishedOf compares the collections with the stream.
func (l *ledger) unpublishedOf(ctx context.Context, db *mongo.Database) (missing []string, err error) {
	edges := maps.Clone(l.follows)
	err = eachDocument(ctx, db.Collection("follows"), func(d bson.Raw) {
		key := text(d, "follower") + ":" + text(d, "followee")
		if !edges[key].on {
			missing = append(missing, "relationship.followed of "+key)
		}
		delete(edges, key)
	})
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(edges)) {
		if edges[key].on {
			missing = append(missing, "relationship.unfollowed of "+key)
		}
	}
	err = eachDocument(ctx, db.Collection("posts"), func(d bson.Raw) {
		if id := text(d, "_id"); !l.posts[id] {
			missing = append(missing, "post.published of "+id)
		}
	})
	return missing, err
}

func eachDocument(ctx context.Context, c *mongo.Collection, do func(bson.Raw)) error {
	cursor, err := c.Find(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("read the collection %s: %w", c.Name(), err)
	}
	for cursor.Next(ctx) {
		do(cursor.Current)
	}
	return cursor.Err()
}

func text(d bson.Raw, key string) string {
	v := d.Lookup(key)
	if id, ok := v.ObjectIDOK(); ok {
		return id.Hex()
	}
	s, _ := v.StringValueOK()
	return s
}
