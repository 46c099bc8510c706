package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
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
	changes map[string][]int64 // versions of each user, in the order of their first occurrences
	posts   map[string]bool    // by id, whether it is there
	follows map[string]follow  // by "follower:followee"
	broken  []error
}

type follow struct {
	on bool
	at events.Position
}

func newLedger() *ledger {
	return &ledger{
		fold: socialtest.NewFold(), ids: map[string]bool{}, joined: map[string]bool{}, changes: map[string][]int64{},
		posts: map[string]bool{}, follows: map[string]follow{},
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
	case social.UserProfileUpdated:
		if all := l.changes[p.UserID]; !slices.Contains(all, p.Version) {
			l.changes[p.UserID] = append(all, p.Version)
		}
	case social.PostPublished:
		if _, known := l.posts[p.PostID]; !known {
			l.posts[p.PostID] = true
		}
	case social.PostDeleted:
		l.posts[p.PostID] = false
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
	r.OutOfOrder = l.outOfOrder()
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
	for _, unpublished := range []func(context.Context, *ledger) ([]string, error){
		w.unpublishedFollows, w.unpublishedPosts, w.unpublishedChanges,
	} {
		more, err := unpublished(ctx, l)
		if err != nil {
			return nil, err
		}
		missing = append(missing, more...)
	}
	return missing, nil
}

// unpublishedChanges compares the versions of the users with the stream: each was a write
// that took effect, whoever was killed behind it.
func (w *World) unpublishedChanges(ctx context.Context, l *ledger) (missing []string, err error) {
	profiles := l.fold.Profiles()
	items, err := w.items(ctx, w.plans["users"])
	if err != nil {
		return nil, err
	}
	for id, item := range items {
		version, err := dynamo.IntOf(item, "version")
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", id, err)
		}
		for v := int64(2); v <= version; v++ { // the first is user.joined
			if !slices.Contains(l.changes[id], v) {
				missing = append(missing, fmt.Sprintf("version %d of user %s", v, id))
			}
		}
		if name := dynamo.StringOf(item, "name"); version > 1 && profiles[id].Name != name {
			missing = append(missing, fmt.Sprintf("the name %q of user %s, who is %q by the events", name, id, profiles[id].Name))
		}
	}
	return missing, nil
}

// outOfOrder counts the users whose changes are not in the order of the writes.
func (l *ledger) outOfOrder() (n int64) {
	for _, versions := range l.changes {
		if !slices.IsSorted(versions) {
			n++
		}
	}
	return n
}

// outboxTimeout is how long events may wait in an outbox when the traffic has ended.
const outboxTimeout = 30 * time.Second

// awaitOutboxes waits until no event of an entity waits in either store.
func (w *World) awaitOutboxes(ctx context.Context) error {
	left := ""
	err := pollUntil(ctx, outboxTimeout, func() (bool, error) {
		left = ""
		for _, entity := range w.plans {
			if err := w.waiting(ctx, entity, &left); err != nil {
				return false, err
			}
		}
		return left == "", nil
	})
	if err == nil && left != "" {
		err = fmt.Errorf("%s after the traffic has ended, the first still %s later", left, outboxTimeout)
	}
	return err
}

// waiting says where events of an entity wait, if any do.
func (w *World) waiting(ctx context.Context, entity *plan.Plan, left *string) error {
	out, err := w.aws.dynamodb.Scan(ctx, &dynamodb.ScanInput{TableName: &entity.Outbox.Table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return err
	}
	if len(out.Items) > 0 {
		*left = fmt.Sprintf("%d items wait in %s", len(out.Items), entity.Outbox.Table)
	}
	return w.withMongo(ctx, func(db *mongo.Database) error {
		n, err := db.Collection(entity.Source.Collection).CountDocuments(ctx, bson.D{{Key: entity.Outbox.Field, Value: bson.D{{Key: "$exists", Value: true}}}})
		if n > 0 {
			*left = fmt.Sprintf("events wait in %d documents of %s in MongoDB", n, entity.Source.Collection)
		}
		return err
	})
}

// unpublishedFollows compares the table with the stream, in both directions.
func (w *World) unpublishedFollows(ctx context.Context, l *ledger) (missing []string, err error) {
	items, err := w.items(ctx, w.plans["relationships"])
	if err != nil {
		return nil, err
	}
	edges := maps.Clone(l.follows)
	for key, item := range items {
		if stamp.Of(item).Tombstone {
			continue
		}
		if !edges[key].on {
			missing = append(missing, "relationship.followed of "+key)
		}
		delete(edges, key)
	}
	for _, key := range slices.Sorted(maps.Keys(edges)) {
		if edges[key].on {
			missing = append(missing, "relationship.unfollowed of "+key)
		}
	}
	return missing, nil
}

// unpublishedPosts compares the table with the stream, in both directions.
func (w *World) unpublishedPosts(ctx context.Context, l *ledger) ([]string, error) {
	items, err := w.items(ctx, w.plans["posts"])
	return l.unpublishedPosts(items), err
}

func (l *ledger) unpublishedPosts(items map[string]dynamo.Item) (missing []string) {
	for id, item := range items {
		there, told := l.posts[id]
		switch gone := stamp.Of(item).Tombstone; {
		case gone && there:
			missing = append(missing, "post.deleted of "+id)
		case !gone && !told:
			missing = append(missing, "post.published of "+id)
		case !gone && !there:
			missing = append(missing, "the post "+id+", which the stream says is deleted, still stands")
		}
	}
	for id, there := range l.posts {
		if _, known := items[id]; there && !known {
			missing = append(missing, "post.deleted of "+id)
		}
	}
	return missing
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
