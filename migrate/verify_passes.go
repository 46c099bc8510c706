package migrate

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

type idRange struct{ from, to bson.RawValue }

// compareDocuments compares every document with its item and its unique entries.
func (v *verifier) compareDocuments(ctx context.Context) error {
	n, err := v.e.source.EstimatedCount(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ranges := make(chan idRange)
	g.Go(func() error {
		defer close(ranges)
		_, err := v.e.divide(ctx, v.e.rangeSize(n), func(_ int, from, to bson.RawValue) error {
			select {
			case ranges <- idRange{from, to}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return err
	})
	for range verifyWorkers {
		g.Go(func() error {
			for r := range ranges {
				if err := v.compareRange(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (v *verifier) compareRange(ctx context.Context, r idRange) error {
	for after := r.from; ; {
		c, err := v.e.source.Read(ctx, after, r.to, v.e.ChunkSize)
		if err != nil || len(c.Docs) == 0 {
			return err
		}
		ids, docs := make([]bson.RawValue, 0, len(c.Docs)), make(map[string]bson.Raw, len(c.Docs))
		for _, doc := range c.Docs {
			id := doc.Lookup("_id")
			ids, docs[source.IDKey(id)] = append(ids, id), doc
		}
		found, err := v.e.target.Compare(ctx, ids, docs)
		if err != nil {
			return err
		}
		v.documents.Add(int64(len(ids)))
		if err := v.reportSuspects(ctx, found); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// findExtraItems looks for items whose document is not in the source.
func (v *verifier) findExtraItems(ctx context.Context) error {
	key := v.e.codec.KeyAttribute()
	in := &dynamodb.ScanInput{TableName: &v.e.Plan.Target.Table, ConsistentRead: aws.Bool(true),
		ProjectionExpression:     aws.String("#key, #b.#t, #b.#d"),
		ExpressionAttributeNames: map[string]string{"#key": key, "#b": stamp.Attribute, "#t": stamp.Time, "#d": stamp.Tombstone}}
	return v.scanTable(ctx, in, func(ctx context.Context, items []codec.Item) error {
		var ids []bson.RawValue
		for _, item := range items {
			if stamp.Of(item).Tombstone {
				v.tombstones.Add(1)
				continue
			}
			v.items.Add(1)
			id, err := v.e.codec.ID(item)
			if err != nil {
				return fmt.Errorf("verify the table %s: %w", v.e.Plan.Target.Table, err)
			}
			ids = append(ids, id)
		}
		return v.findExtraIDs(ctx, ids)
	})
}

func (v *verifier) findExtraIDs(ctx context.Context, ids []bson.RawValue) error {
	for len(ids) > 0 {
		n := min(len(ids), 500)
		there, err := v.e.source.Present(ctx, ids[:n])
		if err != nil {
			return err
		}
		for _, id := range ids[:n] {
			if !there[source.IDKey(id)] {
				if err := v.reportSuspects(ctx, []target.Mismatch{{ID: codec.Show(id), Kind: target.MismatchExtra, DocumentID: id}}); err != nil {
					return err
				}
			}
		}
		ids = ids[n:]
	}
	return nil
}

// findLeftovers looks for unique entries whose item does not have their value.
func (v *verifier) findLeftovers(ctx context.Context, constraint int) error {
	in := &dynamodb.ScanInput{TableName: &v.e.Plan.Unique[constraint].Table, ConsistentRead: aws.Bool(true)}
	return v.scanTable(ctx, in, func(ctx context.Context, entries []codec.Item) error {
		v.unique.Add(int64(len(entries)))
		for len(entries) > 0 {
			n := min(len(entries), 100)
			found, err := v.e.target.CompareUnique(ctx, constraint, entries[:n])
			if err != nil {
				return err
			}
			if err := v.reportSuspects(ctx, found); err != nil {
				return err
			}
			entries = entries[n:]
		}
		return nil
	})
}

// scanTable reads a table in parallel segments, a page at a time.
func (v *verifier) scanTable(ctx context.Context, in *dynamodb.ScanInput, page func(context.Context, []codec.Item) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for segment := range verifyWorkers {
		g.Go(func() error {
			in := *in
			in.Segment, in.TotalSegments, in.Limit = aws.Int32(int32(segment)), aws.Int32(verifyWorkers), aws.Int32(1000)
			for {
				var out *dynamodb.ScanOutput
				err := retry.Do(ctx, "scan "+*in.TableName, func(ctx context.Context) (err error) {
					out, err = v.e.DynamoDB.Scan(ctx, &in)
					return err
				})
				if err != nil {
					return err
				}
				if err := page(ctx, out.Items); err != nil {
					return err
				}
				if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
					return nil
				}
			}
		})
	}
	return g.Wait()
}
