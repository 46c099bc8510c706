package follow

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// attemptTimeout bounds one request.
const attemptTimeout = 15 * time.Second

// checkpoint is the stored document, see the package comment.
type checkpoint struct {
	Name        string         `bson:"_id"`
	Owner       string         `bson:"owner"`
	Epoch       int64          `bson:"epoch"`
	Expires     time.Time      `bson:"expires"`
	Rev         int64          `bson:"rev"`
	Start       bson.Timestamp `bson:"start"`
	Token       bson.Raw       `bson:"token"`
	ClusterTime bson.Timestamp `bson:"clusterTime"`
	N           int            `bson:"n"`
	After       bool           `bson:"after"`
	State       bson.Raw       `bson:"state"`
	UpdatedAt   time.Time      `bson:"updatedAt"`
}

// lease is the right to follow, held from taken on.
type lease struct {
	rows  *mongo.Collection
	name  string
	owner string
	epoch int64
	term  time.Duration
	now   func() time.Time

	mu      sync.Mutex
	rev     int64
	renewed time.Time // when the last save that succeeded was asked for
}

func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString())
}

func (c *Config) newLease() *lease {
	strict := options.Collection().SetWriteConcern(writeconcern.Majority())
	return &lease{rows: c.Checkpoints.Clone(strict), name: c.Name, owner: newOwner(), term: c.Lease, now: c.Now}
}

// take tries once. In one step on the server and by the server's clock, it makes
// us the owner if there is none whose time has not run out. It may be repeated
// when its outcome is unknown. The checkpoint is nil when somebody else follows.
func (l *lease) take(ctx context.Context) (*checkpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	asked := l.now()
	mine := bson.D{{Key: "$eq", Value: bson.A{"$owner", l.owner}}}
	free := bson.D{{Key: "$lte", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$expires", time.Unix(0, 0)}}}, "$$NOW"}}}
	ours := bson.D{{Key: "$or", Value: bson.A{mine, free}}}
	epoch := bson.D{{Key: "$ifNull", Value: bson.A{"$epoch", int64(0)}}}
	next := bson.D{{Key: "$add", Value: bson.A{epoch, int64(1)}}}
	set := bson.D{
		{Key: "owner", Value: either(ours, l.owner, "$owner")},
		{Key: "epoch", Value: either(mine, "$epoch", either(free, next, "$epoch"))},
		{Key: "rev", Value: either(mine, "$rev", either(free, int64(0), "$rev"))},
		{Key: "expires", Value: either(ours, l.expiry(), "$expires")},
	}
	var row checkpoint
	err := l.rows.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: l.name}}, mongo.Pipeline{{{Key: "$set", Value: set}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&row)
	switch {
	case mongo.IsDuplicateKeyError(err): // somebody else inserted it at the same time
		return nil, nil
	case err != nil:
		return nil, err
	case row.Owner != l.owner:
		return nil, nil
	}
	l.epoch, l.rev, l.renewed = row.Epoch, row.Rev, asked
	return &row, nil
}

func either(condition, yes, no any) bson.D {
	return bson.D{{Key: "$cond", Value: bson.A{condition, yes, no}}}
}

func (l *lease) expiry() bson.D {
	return bson.D{{Key: "$add", Value: bson.A{"$$NOW", l.term.Milliseconds()}}}
}

// held says whether the lease cannot have run out yet. Two clocks are asked: the
// monotonic one stands still while a machine is suspended, the other can be set.
func (l *lease) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return now.Sub(l.renewed) < l.term && now.Round(0).Sub(l.renewed.Round(0)) < l.term
}

// save stores p and renews the lease, errLeaseLost if there is a newer owner.
func (l *lease) save(ctx context.Context, p position) error {
	return l.update(ctx, func() any {
		set := bson.D{
			{Key: "rev", Value: l.rev},
			{Key: "expires", Value: l.expiry()},
			{Key: "updatedAt", Value: "$$NOW"},
			{Key: "start", Value: stamp(p.start)},
			{Key: "clusterTime", Value: stamp(p.at)},
			{Key: "n", Value: p.index},
			{Key: "after", Value: p.after},
			{Key: "token", Value: literal(p.token)},
			{Key: "state", Value: literal(p.state)},
		}
		return mongo.Pipeline{{{Key: "$set", Value: set}}}
	})
}

// stamp writes none for zero, which a server takes for "now".
func stamp(t bson.Timestamp) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func literal(doc bson.Raw) any {
	if doc == nil {
		return nil
	}
	return bson.D{{Key: "$literal", Value: doc}}
}

// release lets the next follower in at once.
func (l *lease) release(ctx context.Context) error {
	return l.update(ctx, func() any {
		return bson.D{{Key: "$set", Value: bson.D{{Key: "owner", Value: ""}, {Key: "expires", Value: time.Unix(0, 0)}}}}
	})
}

// update is fenced: by the epoch against earlier owners, and by the number of
// the save against an earlier one of ours that was held up.
func (l *lease) update(ctx context.Context, change func() any) error {
	l.mu.Lock()
	l.rev++
	asked := l.now()
	filter := bson.D{{Key: "_id", Value: l.name}, {Key: "owner", Value: l.owner}, {Key: "epoch", Value: l.epoch},
		{Key: "rev", Value: bson.D{{Key: "$lte", Value: l.rev}}}}
	update := change()
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, min(attemptTimeout, l.term/3))
	defer cancel()
	res, err := l.rows.UpdateOne(ctx, filter, update)
	if err != nil {
		return err
	}
	if res.MatchedCount == 0 {
		return errLeaseLost
	}
	l.mu.Lock()
	l.renewed = asked
	l.mu.Unlock()
	return nil
}

// acquire waits until the lease is ours.
func (f *Follower) acquire(ctx context.Context) (*lease, *checkpoint, error) {
	l, standby := f.cfg.newLease(), false
	for attempt := 0; ; attempt++ {
		row, err := l.take(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil && hasCode(err, refusals...):
			return nil, nil, fmt.Errorf("follow: take the lease of %q in %s: %w", f.cfg.Name, f.cfg.Checkpoints.Name(), err)
		case err != nil:
			f.note(fmt.Errorf("take the lease of %q: %w", f.cfg.Name, err))
		case row != nil:
			return l, row, nil
		}
		if err == nil {
			if !standby {
				standby = true
				f.cfg.Log.Info("standing by: another process is following", "name", f.cfg.Name)
			}
			attempt = 0
		}
		if err := f.pause(ctx, max(backoff(attempt), f.cfg.Lease/8)); err != nil {
			return nil, nil, err
		}
	}
}
