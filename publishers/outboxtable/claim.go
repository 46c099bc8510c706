package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// errLost: an item was deleted, or another relay has claimed it.
var errLost = errors.New("the claim was lost to another relay")

// claim reserves the key of which s is the first item for this relay, or renews that.
func (r *Relay) claim(ctx context.Context, s stored) error {
	now := r.cfg.Now()
	return claimItem(ctx, r.cfg.Client, r.cfg.Table, s.key(), r.cfg.ID, now, now.Add(r.cfg.Claim))
}

// claimItem claims the key of an item for me; errLost where another has.
func claimItem(ctx context.Context, client interface {
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}, table string, key dynamo.Item, me string, now, until time.Time,
) error {
	_, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:           &table,
		Key:                 key,
		UpdateExpression:    aws.String("SET #relay = :me, #until = :until"),
		ConditionExpression: aws.String("attribute_exists(#pk) AND (attribute_not_exists(#relay) OR #relay = :me OR #until < :now)"),
		ExpressionAttributeNames: map[string]string{
			"#pk": dynamo.AttrPK, "#relay": attrRelay, "#until": attrUntil,
		},
		ExpressionAttributeValues: dynamo.Item{
			":me": dynamo.String(me), ":until": dynamo.Int(until.UnixMilli()), ":now": dynamo.Int(now.UnixMilli()),
		},
	})
	if err != nil {
		return fmt.Errorf("claim it by %s: %w", dynamo.StringOf(key, dynamo.AttrSK), lostOr(err))
	}
	return nil
}

// release ends a claim under which nothing was published. An already ended claim is
// not an error.
func (r *Relay) release(ctx context.Context, s stored) error {
	_, err := r.cfg.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &r.cfg.Table,
		Key:                       s.key(),
		UpdateExpression:          aws.String("REMOVE #relay, #until"),
		ConditionExpression:       aws.String("#relay = :me"),
		ExpressionAttributeNames:  map[string]string{"#relay": attrRelay, "#until": attrUntil},
		ExpressionAttributeValues: dynamo.Item{":me": dynamo.String(r.cfg.ID)},
	})
	if err = lostOr(err); err != nil && !errors.Is(err, errLost) {
		return fmt.Errorf("release it: %w", err)
	}
	return nil
}

// removeAttempts bounds how often a deletion that conflicts with another transaction is
// retried.
const removeAttempts = 6

// remove deletes published items, all or none of them, provided that the claim
// on the first is still held. Where it was lost, another relay publishes them, or
// has; or the response was lost, and they are deleted.
func (r *Relay) remove(ctx context.Context, items []stored) (lost bool, err error) {
	for try := 0; ; try++ {
		err := r.removeOnce(ctx, items)
		if err == nil || errors.Is(err, errLost) {
			return err != nil, nil
		}
		if try+1 == removeAttempts || !isConflict(err) || retryDelay.Wait(ctx, try) != nil {
			return false, fmt.Errorf("delete %d items that were published: %w", len(items), err)
		}
	}
}

func (r *Relay) removeOnce(ctx context.Context, items []stored) error {
	held := aws.String("#relay = :me")
	names := map[string]string{"#relay": attrRelay}
	values := dynamo.Item{":me": dynamo.String(r.cfg.ID)}
	if len(items) == 1 {
		_, err := r.cfg.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &r.cfg.Table, Key: items[0].key(),
			ConditionExpression: held, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		})
		return lostOr(err)
	}
	all := make([]types.TransactWriteItem, len(items))
	for i, s := range items {
		all[i].Delete = &types.Delete{TableName: &r.cfg.Table, Key: s.key()}
	}
	d := all[0].Delete
	d.ConditionExpression, d.ExpressionAttributeNames, d.ExpressionAttributeValues = held, names, values
	_, err := r.cfg.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: all})
	return lostOr(err)
}

// lostOr returns errLost for a condition that did not hold.
func lostOr(err error) error {
	if _, failed := errors.AsType[*types.ConditionalCheckFailedException](err); failed || Repeated(err, 0) {
		return errLost
	}
	return err
}

// isConflict recognizes errors that the SDK does not retry by itself: two transactions
// conflicted, or one was throttled.
func isConflict(err error) bool {
	return awserr.Is(err, "TransactionConflictException", "TransactionCanceledException")
}

// retryDelay is waited after a conflict.
var retryDelay = backoff.Backoff{Min: 20 * time.Millisecond, Max: 640 * time.Millisecond}
