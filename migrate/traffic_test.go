package migrate_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// traffic is a service at work: instances that write users through a membership
// each, to whichever store owns them.
type traffic struct {
	w        *world
	wg       sync.WaitGroup
	stop     context.CancelFunc
	writes   atomic.Int64 // acknowledged by MongoDB
	switched atomic.Int64 // admitted for DynamoDB
	late     atomic.Int64 // acknowledged by MongoDB although DynamoDB was known as owner
	seenNew  atomic.Bool
}

func (w *world) startTraffic(instances, users int, seed uint64) *traffic {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	tr := &traffic{w: w, stop: cancel}
	for i := range instances {
		m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", Service: "test", Probe: anyName})
		if err != nil {
			w.t.Fatal(err)
		}
		tr.wg.Go(func() {
			tr.work(ctx, m, i, instances, users, rand.New(rand.NewPCG(seed, uint64(i))))
			out, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_ = m.Leave(out)
		})
	}
	return tr
}

func (tr *traffic) end() {
	tr.stop()
	tr.wg.Wait()
}

func (tr *traffic) work(ctx context.Context, m *ownership.Member, n, of, users int, rng *rand.Rand) {
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, 3*time.Second)
		_ = m.Write(one, func(ctx context.Context, g ownership.Grant) error {
			if g.Owner == ownership.DynamoDB {
				tr.seenNew.Store(true)
				tr.switched.Add(1)
				return nil
			}
			before := tr.seenNew.Load()
			err := tr.write(ctx, tr.w.db.Collection(cmp.Or(g.Collection, "users")), rng, n, of, users)
			if err == nil {
				tr.writes.Add(1)
				if before {
					tr.late.Add(1)
				}
			}
			return fencedError(err)
		})
		cancel()
		_ = pause(ctx, slower*time.Duration(5+rng.IntN(20))*time.Millisecond)
	}
}

func fencedError(err error) error {
	var server mongo.ServerError
	if errors.As(err, &server) && server.HasErrorCode(166) {
		return fmt.Errorf("%w: %w", ownership.ErrFenced, err)
	}
	return err
}

// write does one of what services do: join, change, move an e-mail from one
// user to another, leave.
func (tr *traffic) write(ctx context.Context, c *mongo.Collection, rng *rand.Rand, n, of, users int) error {
	pick := func() bson.ObjectID { return userID(rng.IntN(users/of)*of + n) }
	switch rng.IntN(8) {
	case 0:
		i := (users+rng.IntN(users))/of*of + n
		_, err := c.InsertOne(ctx, user(3*i+1)) // one with version and date
		return err
	case 1:
		_, err := c.DeleteOne(ctx, bson.D{{Key: "_id", Value: pick()}})
		return err
	case 2, 3:
		return tr.moveEmail(ctx, c, pick(), pick(), rng)
	case 4:
		_, err := c.UpdateByID(ctx, pick(), bson.D{{Key: "$set", Value: bson.D{{Key: "score", Value: rng.Float64()}}},
			{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}}})
		return err
	default:
		_, err := c.UpdateByID(ctx, pick(), bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: fmt.Sprint("name ", rng.Uint32())}}},
			{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}}})
		return err
	}
}

// moveEmail gives a another address, and its old one to b.
func (tr *traffic) moveEmail(ctx context.Context, c *mongo.Collection, a, b bson.ObjectID, rng *rand.Rand) error {
	set := func(id bson.ObjectID, email string) error {
		_, err := c.UpdateByID(ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: "email", Value: email}}},
			{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}}})
		return err
	}
	var doc struct{ Email string }
	if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: a}}).Decode(&doc); err != nil || a == b {
		return err
	}
	if err := set(a, fmt.Sprintf("moved%d@example.com", rng.Uint64())); err != nil {
		return err
	}
	return set(b, doc.Email)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
