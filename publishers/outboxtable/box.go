package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/publishers/direct"
)

// BoxAPI is what a [Box] needs of *dynamodb.Client.
type BoxAPI interface {
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
}

// Box is the table of an owner that publishes its events by itself, right after the write:
// a direct.Box. It holds to the claims of relays, and they to its.
type Box struct {
	client BoxAPI
	table  string
}

// NewBox uses a table, which must exist.
func NewBox(client BoxAPI, table string) *Box { return &Box{client, table} }

// Waiting of the key of an entity is what its writes have left. For a write that follows
// another it may be sent once that has been read, and beside the write's own transaction.
func (b *Box) Waiting(ctx context.Context, key direct.Place) ([]direct.Entry, error) {
	var all []direct.Entry
	pages := dynamodb.NewQueryPaginator(b.client, &dynamodb.QueryInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": dynamo.AttrPK},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(string(key))},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("outboxtable: read key %q of table %q: %w", key, b.table, err)
		}
		for _, item := range page.Items {
			e, err := b.entryOf(item)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
	}
	return all, nil
}

func (b *Box) entryOf(item dynamo.Item) (direct.Entry, error) {
	s := storedOf(item)
	if len(s.events) == 0 {
		return direct.Entry{}, fmt.Errorf("outboxtable: item %s of key %q in table %q has no events, and blocks its key: look at it, and delete it",
			s.sk, s.pk, b.table)
	}
	e := direct.Entry{Place: direct.Place(s.pk), ID: s.sk}
	for _, data := range s.events {
		e.Events = append(e.Events, direct.Event{Key: s.pk, Data: data})
	}
	return e, nil
}

// Claim implements direct.Box.
func (b *Box) Claim(ctx context.Context, first direct.Entry, claimant string, until time.Time) (bool, error) {
	err := claimItem(ctx, b.client, b.table, dynamo.Key(string(first.Place), first.ID), claimant, time.Now(), until)
	if errors.Is(err, errLost) {
		return false, nil
	}
	return err == nil, err
}

// Remove implements direct.Box.
func (b *Box) Remove(ctx context.Context, entries []direct.Entry) error {
	for len(entries) > 0 {
		n := min(len(entries), 25) // the most of a BatchWriteItem
		if err := b.removeBatch(ctx, entries[:n]); err != nil {
			return fmt.Errorf("outboxtable: delete published entries of table %q: %w", b.table, err)
		}
		entries = entries[n:]
	}
	return nil
}

func (b *Box) removeBatch(ctx context.Context, entries []direct.Entry) error {
	var batch []types.WriteRequest
	for _, e := range entries {
		batch = append(batch, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: dynamo.Key(string(e.Place), e.ID)}})
	}
	for try := 0; len(batch) > 0; try++ {
		if try > 0 && retryDelay.Wait(ctx, try-1) != nil {
			return fmt.Errorf("%d were left unprocessed: %w", len(batch), context.Cause(ctx))
		}
		out, err := b.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{b.table: batch}})
		if err != nil {
			return err
		}
		batch = out.UnprocessedItems[b.table]
	}
	return nil
}

// Each implements direct.Box by a scan, which costs next to nothing while the table is as
// empty as it should be.
func (b *Box) Each(ctx context.Context, visit func([]direct.Entry) error) error {
	pages := dynamodb.NewScanPaginator(b.client, &dynamodb.ScanInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#pk"),
		ExpressionAttributeNames: map[string]string{"#pk": dynamo.AttrPK},
	})
	var wrong error
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("outboxtable: scan table %q: %w", b.table, err)
		}
		for _, key := range distinctKeys(page.Items) {
			entries, err := b.Waiting(ctx, direct.Place(key))
			if err != nil {
				wrong = errors.Join(wrong, err)
				continue
			}
			if err := visit(entries); err != nil {
				return err
			}
		}
	}
	return wrong
}
