package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// segmentDeletes is how many tombstones each segment of a scan deletes at once.
const segmentDeletes = 8

// CountTombstones counts the tombstones of the table and of the tables of unique values, where
// a deleted _id or a value that the service gave up has one. It reads all tables whole.
func (t *Tables) CountTombstones(ctx context.Context) (int64, error) {
	var n atomic.Int64
	err := t.scanTombstones(ctx, func(_ context.Context, _ string, found []codec.Item) error {
		n.Add(int64(len(found)))
		return nil
	})
	return n.Load(), err
}

// RemoveTombstones deletes those tombstones, at most perSecond a second (0 is
// unlimited), and returns how many it deleted, also with an error; one whose answer was
// lost is not counted. It reads all tables whole; run again after an error or a crash, it goes on with what is left. An item that
// is no longer the tombstone that was read stays.
//
// A tombstone is what refuses a late copy of its document: remove none before nothing can
// arrive any more that was sent by a migration, see [SignatureLifetime].
func (t *Tables) RemoveTombstones(ctx context.Context, perSecond int) (int64, error) {
	limit := rate.NewLimiter(rate.Inf, 1)
	if perSecond > 0 {
		limit.SetLimit(rate.Limit(perSecond))
	}
	var removed atomic.Int64
	err := t.scanTombstones(ctx, func(ctx context.Context, table string, found []codec.Item) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(segmentDeletes)
		for _, item := range found {
			if err := limit.Wait(ctx); err != nil {
				return errors.Join(err, g.Wait())
			}
			g.Go(func() error {
				gone, err := t.removeTombstone(ctx, table, item)
				if gone {
					removed.Add(1)
				}
				return err
			})
		}
		return g.Wait()
	})
	if err != nil {
		return removed.Load(), fmt.Errorf("remove the tombstones of %s (%d are removed): %w; do it again to remove the rest",
			t.Plan.Target.Table, removed.Load(), err)
	}
	return removed.Load(), nil
}

// removeTombstone reports whether the item was still the tombstone that was read.
func (t *Tables) removeTombstone(ctx context.Context, table string, item codec.Item) (bool, error) {
	key := codec.Item{}
	for name, v := range item {
		if name != stamp.Attribute { // nothing else was read
			key[name] = v
		}
	}
	c := (&condition{}).stamp(item, stamp.Time, stamp.Epoch, stamp.Tombstone)
	err := retry.Do(ctx, "delete a tombstone", func(ctx context.Context) error {
		_, err := t.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key, ConditionExpression: c.expression(),
			ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values}, t.ofWrites...)
		return err
	})
	if dynamo.IsConditionFailed(err) {
		return false, nil
	}
	return err == nil, err
}

// scanTombstones reads keys and stamps of the tombstones, table by table in parallel segments,
// a page at a time.
func (t *Tables) scanTombstones(ctx context.Context, page func(ctx context.Context, table string, found []codec.Item) error) error {
	scan := func(table, key string, names map[string]string) error {
		maps.Copy(names, map[string]string{"#b": stamp.Attribute, "#t": stamp.Time, "#e": stamp.Epoch, "#d": stamp.Tombstone})
		return t.scan(ctx, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true),
			FilterExpression:          aws.String("#b.#d = :true"),
			ProjectionExpression:      aws.String(key + ", #b.#t, #b.#e, #b.#d"),
			ExpressionAttributeNames:  names,
			ExpressionAttributeValues: map[string]types.AttributeValue{":true": dynamo.Bool(true)}},
			func(ctx context.Context, found []codec.Item) error { return page(ctx, table, found) })
	}
	names := map[string]string{}
	err := scan(t.Plan.Target.Table, t.projectKey(names), names)
	for i := range t.Plan.Unique {
		if err == nil {
			err = scan(t.Plan.Unique[i].Table, "#value", map[string]string{"#value": entryValue})
		}
	}
	return err
}
