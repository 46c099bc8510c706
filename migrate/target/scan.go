package target

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// ScanIDs reads the identifiers of all documents of a segment, a page at a time, how
// many tombstones there are beside them, and which items are not where their documents are.
func (t *Tables) ScanIDs(ctx context.Context, s side.Segment,
	page func(ctx context.Context, ids []bson.RawValue, tombstones int, misplaced []side.Mismatch) error) error {
	names := map[string]string{"#b": stamp.Attribute, "#t": stamp.Time, "#d": stamp.Tombstone}
	in := &dynamodb.ScanInput{TableName: &t.Plan.Target.Table, ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String(t.projectKey(names) + ", #b.#t, #b.#d"), ExpressionAttributeNames: names}
	return t.scanSegment(ctx, in, s, func(items []codec.Item) error {
		ids, live, tombstones := make([]bson.RawValue, 0, len(items)), items[:0:0], 0
		for _, item := range items {
			if stamp.Of(item).Tombstone {
				tombstones++
				continue
			}
			id, err := t.Plan.Codec().ID(item)
			if err != nil {
				return fmt.Errorf("read the keys of the table %s: %w", t.Plan.Target.Table, err)
			}
			ids, live = append(ids, id), append(live, item)
		}
		var misplaced []side.Mismatch
		if t.Plan.Lookup() >= 0 {
			var err error
			if misplaced, err = t.misplaced(ctx, live); err != nil {
				return err
			}
		}
		return page(ctx, ids, tombstones, misplaced)
	})
}

// projectKey are placeholders of the key attributes, which it adds to names.
func (t *Tables) projectKey(names map[string]string) string {
	var all []string
	for i, a := range t.Plan.Codec().KeyAttributes() {
		placeholder := fmt.Sprintf("#key%d", i)
		names[placeholder] = a.Name
		all = append(all, placeholder)
	}
	return strings.Join(all, ", ")
}

// ScanUnique reads all unique entries of a segment of each table of such, a page at a time:
// how many, and which of them are left over.
func (t *Tables) ScanUnique(ctx context.Context, s side.Segment,
	page func(ctx context.Context, entries int, leftover []side.Mismatch) error) error {
	for i, u := range t.Plan.Unique {
		in := &dynamodb.ScanInput{TableName: &u.Table, ConsistentRead: aws.Bool(true)}
		err := t.scanSegment(ctx, in, s, func(items []codec.Item) error {
			for entries := range slices.Chunk(items, maxGet) {
				bad, err := t.compareUnique(ctx, i, entries)
				if err != nil {
					return err
				}
				if err := page(ctx, len(entries), bad); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// IsEmpty reports whether the table has no item, not even a tombstone.
func (t *Tables) IsEmpty(ctx context.Context) (empty bool, err error) {
	in := &dynamodb.ScanInput{TableName: &t.Plan.Target.Table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(1), Select: types.SelectCount}
	err = retry.Do(ctx, "look into the table "+t.Plan.Target.Table, func(ctx context.Context) error {
		out, err := t.Client.Scan(ctx, in)
		empty = err == nil && out.Count == 0
		return err
	})
	return empty, err
}

// scanSegments is how many readers a whole scan has, and so how many pages are handled at once.
const scanSegments = 4

// scan reads a table in parallel segments.
func (t *Tables) scan(ctx context.Context, in *dynamodb.ScanInput, page func(context.Context, []codec.Item) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for n := range scanSegments {
		in := *in
		g.Go(func() error {
			return t.scanSegment(ctx, &in, side.Segment{N: n, Of: scanSegments}, func(items []codec.Item) error { return page(ctx, items) })
		})
	}
	return g.Wait()
}

// scanSegment reads a segment of a table.
func (t *Tables) scanSegment(ctx context.Context, in *dynamodb.ScanInput, s side.Segment, page func([]codec.Item) error) error {
	in.Segment, in.TotalSegments, in.Limit = aws.Int32(int32(s.N)), aws.Int32(int32(s.Of)), aws.Int32(1000)
	for {
		var out *dynamodb.ScanOutput
		err := retry.Do(ctx, "scan "+*in.TableName, func(ctx context.Context) (err error) {
			out, err = t.Client.Scan(ctx, in)
			return err
		})
		if err != nil {
			return err
		}
		if err := page(out.Items); err != nil {
			return err
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
			return nil
		}
	}
}
