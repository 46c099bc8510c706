package reverse

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamostream"
)

const (
	// drainPoll is the shortest time between two looks of a drain, which else takes half of
	// the time for looking.
	drainPoll = 10 * time.Millisecond
	// relistEvery is how often a drain lists the shards: one may have closed meanwhile.
	relistEvery = 500 * time.Millisecond
	// rewriteEvery is how often it writes more barriers: keys are random, and a shard may
	// have got none.
	rewriteEvery = 300 * time.Millisecond
)

// Drain returns when everything that was written to the table before the call, and answered,
// is in MongoDB: when every open shard has delivered a barrier that was written after the
// call, and all shards before them are at their ends. Somebody must follow. That it came
// through is kept for Health. It needs the position of no process, and writes only barriers
// to the table, which it removes.
func (r *Reverse) Drain(ctx context.Context) error {
	d, err := r.newDrain(ctx)
	if err != nil {
		return err
	}
	defer d.clean(ctx)
	if err := d.await(ctx); err != nil {
		return err
	}
	return d.setHead(ctx, bson.D{{Key: "probedAt", Value: time.Now().UTC()}})
}

// DrainInAHurry is Drain while writes are held: whoever follows reads at once, where a
// barrier was carried within the last ten seconds. Call tidy when they are held no longer.
func (r *Reverse) DrainInAHurry(ctx context.Context) (tidy func(context.Context), err error) {
	d, err := r.newDrain(ctx)
	if err != nil {
		return func(context.Context) {}, err
	}
	hurried := make(chan struct{})
	go func() {
		defer close(hurried)
		_ = d.setHead(ctx, bson.D{{Key: "hurry", Value: true}}) // it saves time at most
	}()
	err = d.await(ctx)
	<-hurried
	return func(ctx context.Context) {
		d.clean(ctx)
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = d.setHead(out, bson.D{{Key: "hurry", Value: false}}) // else the next rollback's readers hurry too soon
	}, err
}

func (r *Reverse) newDrain(ctx context.Context) (*drain, error) {
	arn, err := r.Tables.StreamARN(ctx)
	return &drain{Reverse: r, stream: dynamostream.Stream{Client: r.Streams, ARN: arn}, id: uuid.NewString()}, err
}

// await writes barriers, and returns when they have come through.
func (d *drain) await(ctx context.Context) error {
	for {
		began := time.Now()
		if passed, err := d.look(ctx); passed || err != nil {
			return err
		}
		if err := backoff.Sleep(ctx, max(drainPoll, time.Since(began))); err != nil {
			return fmt.Errorf("wait until the way back has carried a barrier (is `banyan-migrate run` running?): %w", err)
		}
	}
}

// setHead sets fields of the stream's row.
func (d *drain) setHead(ctx context.Context, set bson.D) error {
	_, err := d.rows().UpdateOne(ctx, bson.D{{Key: "_id", Value: d.rowID(d.stream.ARN, "")}}, bson.D{{Key: "$set", Value: set}})
	return err
}

type drain struct {
	*Reverse
	stream  dynamostream.Stream
	id      string
	shards  dynamostream.Shards
	listed  time.Time
	written time.Time
	keys    []types.AttributeValue
}

// look reports whether the barrier has come through, after it has written what is missing.
func (d *drain) look(ctx context.Context) (bool, error) {
	all, err := d.loadRows(ctx)
	if err != nil {
		return false, err
	}
	rows := all[d.stream.ARN]
	if head := rows[""]; head != nil && head.Ended != "" {
		return false, fmt.Errorf("%w (%s)", ErrEnded, head.Ended)
	} else if head == nil {
		return false, nil // it has not begun
	}
	if time.Since(d.listed) > relistEvery {
		if d.shards, err = d.stream.Shards(ctx); err != nil {
			return false, err
		}
		d.listed = time.Now()
	}
	passed := func(id string) bool { return rows[id] != nil && slices.Contains(rows[id].Barriers, d.id) }
	done := func(id string) bool { return rows[id] != nil && rows[id].Done }
	if d.shards.Passed(passed, done) {
		return true, nil
	}
	if time.Since(d.written) < rewriteEvery {
		return false, nil
	}
	missing := 0
	for _, shard := range d.shards {
		if !shard.Closed && !passed(shard.ID) {
			missing++
		}
	}
	d.written = time.Now()
	return false, d.write(ctx, max(1, missing))
}

// barriersPerShard is how many random keys are tried for each shard at once: with three,
// nineteen of twenty shards get one.
const barriersPerShard = 3

func (d *drain) write(ctx context.Context, shards int) error {
	keys := make([]types.AttributeValue, shards*barriersPerShard)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range keys {
		g.Go(func() (err error) {
			keys[i], err = d.Tables.PutBarrier(ctx, d.id)
			return err
		})
	}
	err := g.Wait()
	d.keys = append(d.keys, slices.DeleteFunc(keys, func(k types.AttributeValue) bool { return k == nil })...)
	return err
}

// clean removes the barriers, for a few seconds. One that is left behind reads as absent.
func (d *drain) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, key := range d.keys {
		g.Go(func() error { return d.Tables.RemoveBarrier(ctx, key) })
	}
	if err := g.Wait(); err != nil {
		d.Log.Warn("remove barriers from the table: failed; they go with the tombstones", "error", err)
	}
}
