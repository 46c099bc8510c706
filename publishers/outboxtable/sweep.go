package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Sweep relays every key that has an item older than olderThan: what the table's stream
// lost or had no reader for, and what an owner that publishes by
// itself left to it. It publishes all items of such a key, in order; it
// is safe beside [Relay.Handle] and other sweeps, whose keys it skips
// (Report.Busy). It scans the table, which costs next to nothing while the
// table is as empty as it should be.
//
// Keys that fail do not stop the others; the error then joins the first
// few reasons. It ends when ctx does; [ErrInFlight].
func (r *Relay) Sweep(ctx context.Context, olderThan time.Duration) (Report, error) {
	rep := Report{Table: r.cfg.Table}
	before := r.cfg.Now().Add(-olderThan)
	in := r.scanInput(before)
	var errs []error
	for {
		out, err := r.cfg.Client.Scan(ctx, in)
		if err != nil {
			errs = append(errs, fmt.Errorf("outboxtable: sweep: scan table %q: %w", r.cfg.Table, err))
			break
		}
		results := r.drainAll(ctx, distinctKeys(out.Items))
		rep.addResults(results)
		errs = append(errs, errorsOf(results)...)
		if len(out.LastEvaluatedKey) == 0 || ctx.Err() != nil {
			break
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
	rep.At = r.cfg.Now()
	if r.cfg.Observe != nil {
		r.cfg.Observe(ctx, rep)
	}
	return rep, errors.Join(errs[:min(len(errs), maxErrors)]...)
}

func (r *Relay) scanInput(before time.Time) *dynamodb.ScanInput {
	return &dynamodb.ScanInput{
		TableName:                 &r.cfg.Table,
		ConsistentRead:            aws.Bool(true),
		ProjectionExpression:      aws.String("#pk"),
		FilterExpression:          aws.String("attribute_not_exists(#at) OR #at <= :before"),
		ExpressionAttributeNames:  map[string]string{"#pk": dynamo.AttrPK, "#at": attrAt},
		ExpressionAttributeValues: dynamo.Item{":before": dynamo.Int(before.UnixMilli())},
	}
}

func distinctKeys(items []dynamo.Item) []string {
	seen := map[string]bool{}
	var keys []string
	for _, a := range items {
		if key := dynamo.StringOf(a, dynamo.AttrPK); !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

func errorsOf(results []keyResult) []error {
	var errs []error
	for _, res := range results {
		if res.err != nil && !errors.Is(res.err, ErrClaimed) {
			errs = append(errs, res.err)
		}
	}
	return errs
}
