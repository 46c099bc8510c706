package mongostream

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

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// Checkpoints is the collection that positions are stored in by default.
const Checkpoints = "banyan_relays"

// checkpointRow is the stored document:
//
//	owner, epoch, expires   the follower, the number of that owner, and the end of the lease by
//	                        the server's clock; renewed by each save
//	start                   where the stream begins when there is no token yet
//	token, clusterTime, n   the last change before which everything is acknowledged,
//	                        its time, and its number among those of that time
//	after                   the token is that of an invalidation: resume behind it
//	state                   how far an [Interleaver] is
//	rev, updatedAt          number of the save within the epoch, and when it was
type checkpointRow struct {
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

func (row *checkpointRow) position() Position {
	p := Position{Start: row.Start, Token: row.Token, At: row.ClusterTime, Index: row.N, Invalidated: row.After, State: row.State}
	if p.Token == nil {
		p.Index = -1
	}
	return p
}

// mongoCheckpoint is a [Checkpoint] in a collection.
type mongoCheckpoint struct {
	rows *mongo.Collection
	name string
	term time.Duration
	now  func() time.Time

	mu       sync.Mutex
	owner    string
	acquired bool
	epoch    int64
	rev      int64
	renewed  time.Time // when the last save that succeeded was sent
}

// NewCheckpoint stores the position in the document name of a collection, with a
// lease that expires when it was not renewed for term. After a process has died, the
// next one waits for as long.
func NewCheckpoint(rows *mongo.Collection, name string, term time.Duration) Checkpoint {
	return newMongoCheckpoint(rows, name, term)
}

func newMongoCheckpoint(rows *mongo.Collection, name string, term time.Duration) *mongoCheckpoint {
	majority := options.Collection().SetWriteConcern(writeconcern.Majority())
	return &mongoCheckpoint{rows: rows.Clone(majority), name: name, owner: newOwner(), term: term, now: time.Now}
}

func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString())
}

func (l *mongoCheckpoint) Holder() (owner string, epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner, l.epoch
}

// Acquire decides in one step on the server and by the server's clock. It may be
// repeated when its outcome is unknown. Each acquisition has an owner of its own, so
// that a late save of an earlier one is refused.
func (l *mongoCheckpoint) Acquire(ctx context.Context) (p Position, acquired bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	owner, sent := l.nextOwner(), l.now()
	mine := bson.D{{Key: "$eq", Value: bson.A{"$owner", owner}}}
	free := bson.D{{Key: "$lte", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$expires", time.Unix(0, 0)}}}, "$$NOW"}}}
	ours := bson.D{{Key: "$or", Value: bson.A{mine, free}}}
	epoch := bson.D{{Key: "$ifNull", Value: bson.A{"$epoch", int64(0)}}}
	next := bson.D{{Key: "$add", Value: bson.A{epoch, int64(1)}}}
	set := bson.D{
		{Key: "owner", Value: ifElse(ours, owner, "$owner")},
		{Key: "epoch", Value: ifElse(mine, "$epoch", ifElse(free, next, "$epoch"))},
		{Key: "rev", Value: ifElse(mine, "$rev", ifElse(free, int64(0), "$rev"))},
		{Key: "expires", Value: ifElse(ours, l.expiry(), "$expires")},
	}
	var row checkpointRow
	err = l.rows.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: l.name}}, mongo.Pipeline{{{Key: "$set", Value: set}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&row)
	switch {
	case mongo.IsDuplicateKeyError(err): // another process inserted it at the same time
		return Position{}, false, nil
	case mongoerr.IsPermanent(err):
		return Position{}, false, fmt.Errorf("%w: %s: %w", ErrCheckpointRefused, l.rows.Name(), err)
	case err != nil || row.Owner != owner:
		return Position{}, false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acquired, l.epoch, l.rev, l.renewed = true, row.Epoch, row.Rev, sent
	return row.position(), true, nil
}

// nextOwner returns a new owner for each acquisition, and the same one until it succeeds.
func (l *mongoCheckpoint) nextOwner() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acquired {
		l.acquired, l.owner = false, newOwner()
	}
	return l.owner
}

func ifElse(condition, yes, no any) bson.D {
	return bson.D{{Key: "$cond", Value: bson.A{condition, yes, no}}}
}

func (l *mongoCheckpoint) expiry() bson.D {
	return bson.D{{Key: "$add", Value: bson.A{"$$NOW", l.term.Milliseconds()}}}
}

// Held compares two clocks: the monotonic one stands still while a machine is
// suspended, the other can be set.
func (l *mongoCheckpoint) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return now.Sub(l.renewed) < l.term && now.Round(0).Sub(l.renewed.Round(0)) < l.term
}

// Save is refused by the server if there is a newer owner.
func (l *mongoCheckpoint) Save(ctx context.Context, p Position) error {
	return l.updateFenced(ctx, func() any {
		set := bson.D{
			{Key: "rev", Value: l.rev},
			{Key: "expires", Value: l.expiry()},
			{Key: "updatedAt", Value: "$$NOW"},
			{Key: "start", Value: timestampOrNil(p.Start)},
			{Key: "clusterTime", Value: timestampOrNil(p.At)},
			{Key: "n", Value: p.Index},
			{Key: "after", Value: p.Invalidated},
			{Key: "token", Value: literalOf(p.Token)},
			{Key: "state", Value: literalOf(p.State)},
		}
		return mongo.Pipeline{{{Key: "$set", Value: set}}}
	})
}

// timestampOrNil writes null for zero, which a server replaces by its present time.
func timestampOrNil(t bson.Timestamp) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func literalOf(doc bson.Raw) any {
	if doc == nil {
		return nil
	}
	return bson.D{{Key: "$literal", Value: doc}}
}

// Release lets the next follower start at once.
func (l *mongoCheckpoint) Release(ctx context.Context, _ error) error {
	return l.updateFenced(ctx, func() any { return bson.D{{Key: "$set", Value: released}} })
}

// released are the fields of a lease that no process holds.
var released = bson.D{{Key: "owner", Value: ""}, {Key: "expires", Value: time.Unix(0, 0)}}

// updateFenced updates the row: the epoch fences off earlier owners, and the number of the
// save an earlier save of this owner that was delayed.
func (l *mongoCheckpoint) updateFenced(ctx context.Context, change func() any) error {
	l.mu.Lock()
	l.rev++
	sent := l.now()
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
		return ErrLeaseLost
	}
	l.mu.Lock()
	l.renewed = sent
	l.mu.Unlock()
	return nil
}
