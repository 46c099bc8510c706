package dynamodb

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/services/entity"
)

// errUnstamped says that an item has no reserved attribute: somebody has put it by hand.
var errUnstamped = errors.New("the item has no " + stamp.Attribute)

// send makes all steps or none, and says why it was refused.
func (b *Backend) send(ctx context.Context, g ownership.Grant, w entity.Write, steps []step) error {
	var err error
	var unsure bool
	for attempt := range attempts {
		if err = b.sendOnce(ctx, steps, &unsure); !throttled(err) {
			break
		}
		if waitErr := betweenAttempts.Wait(ctx, attempt); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
	refused := map[int]dynamo.Item{} // what stands in the way, by step
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		refused[0] = failed.Item
	}
	for i, reason := range dynamo.CancellationReasons(err) {
		if aws.ToString(reason.Code) == dynamo.CodeConditionFailed {
			refused[i] = reason.Item
		}
	}
	switch mark := steps[0].mark; {
	case mark != "" && mark == dynamo.StringOf(stampsOf(refused[0]), stamp.Touched):
		return nil
	case unsure && err != nil:
		return fmt.Errorf("write to %s: it was sent again for want of an answer, and may have its effect, or get it: %w", b.plan.Target.Table, err)
	case len(refused) > 0:
		return fmt.Errorf("write to %s: %w", b.plan.Target.Table, b.explain(ctx, g, w, steps, refused))
	case conflicted(err):
		return fmt.Errorf("write to %s: %w: %w", b.plan.Target.Table, entity.ErrChanged, err)
	}
	return b.told(err, "write to "+b.plan.Target.Table)
}

// sendOnce sends a single put or update alone, which costs half of a transaction. A
// transaction that the SDK sends again has the token of the first; an item has the mark of its
// write. unsure is set where a request was not answered.
func (b *Backend) sendOnce(ctx context.Context, steps []step, unsure *bool) (err error) {
	watch := func(o *dynamodb.Options) { o.Retryer = watching{o.Retryer, unsure} }
	switch put, update := steps[0].Put, steps[0].Update; {
	case len(steps) == 1 && put != nil && steps[0].mark != "":
		_, err = b.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeNames: put.ExpressionAttributeNames, ExpressionAttributeValues: put.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: allOld}, watch)
	case len(steps) == 1 && update != nil:
		_, err = b.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: update.TableName, Key: update.Key,
			UpdateExpression: update.UpdateExpression, ConditionExpression: update.ConditionExpression,
			ExpressionAttributeNames: update.ExpressionAttributeNames, ExpressionAttributeValues: update.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: allOld}, watch)
	default:
		items := make([]types.TransactWriteItem, len(steps))
		for i, s := range steps {
			items[i] = s.TransactWriteItem
		}
		_, err = b.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items}, watch)
	}
	return err
}

// watching notes attempts that may have been carried out although they failed.
type watching struct {
	aws.Retryer
	unsure *bool
}

// IsErrorRetryable implements aws.Retryer.
func (w watching) IsErrorRetryable(err error) bool {
	if answer, ok := errors.AsType[smithy.APIError](err); !ok || answer.ErrorFault() != smithy.FaultClient {
		*w.unsure = true
	}
	return w.Retryer.IsErrorRetryable(err)
}

// throttled reports whether a transaction was cancelled for nothing but that.
func throttled(err error) bool {
	some := false
	for _, reason := range dynamo.CancellationReasons(err) {
		switch aws.ToString(reason.Code) {
		case "ThrottlingError", "ProvisionedThroughputExceeded":
			some = true
		case "", "None":
		default:
			return false
		}
	}
	return some
}

// conflicted reports whether another write of the same items was under way.
func conflicted(err error) bool {
	_, other := errors.AsType[*types.TransactionConflictException](err)
	for _, reason := range dynamo.CancellationReasons(err) {
		other = other || aws.ToString(reason.Code) == "TransactionConflict"
	}
	return other
}

// explain is what a write was refused for, by what stands in the place of its steps.
func (b *Backend) explain(ctx context.Context, g ownership.Grant, w entity.Write, steps []step, refused map[int]dynamo.Item) error {
	for _, item := range refused {
		if is := stamp.Of(item).Epoch; is > g.Epoch {
			return fmt.Errorf("under epoch %d, over what is of epoch %d: %w", g.Epoch, is, ownership.ErrFenced)
		}
	}
	for i, s := range steps {
		item, ok := refused[i]
		if !ok || len(item) == 0 {
			continue
		}
		switch deleted, _ := dynamo.IntOf(stampsOf(item), stamp.Version); {
		case w.Before == nil && stamp.Of(item).Tombstone && deleted >= b.version(w.After):
			return &entity.DeletedError{Version: deleted}
		case s.constraint != noConstraint && !stamp.Of(item).Tombstone:
			if err := b.contest(ctx, g, w, s, item); err != nil {
				return err
			}
		case i > 0:
		case w.Before == nil && b.expired(item):
			if err := b.bury(ctx, g, w, item); err != nil {
				return err
			}
		case w.Before == nil && !stamp.Of(item).Tombstone:
			return entity.ErrExists
		case w.Before != nil && item[stamp.Attribute] == nil && s.Update != nil:
			return errUnstamped
		}
	}
	return entity.ErrChanged
}

func stampsOf(item dynamo.Item) dynamo.Item {
	if m, ok := item[stamp.Attribute].(*types.AttributeValueMemberM); ok {
		return m.Value
	}
	return nil
}

// contest frees a value whose document is not there any more: it has expired, or DynamoDB has
// deleted its item because of that. It fails where another document has the value.
func (b *Backend) contest(ctx context.Context, g ownership.Grant, w entity.Write, s step, entry dynamo.Item) error {
	owner := b.codec.KeyItem(b.codec.KeyOfText(ownerOf(entry)))
	items, docs, err := b.documents(ctx, []dynamo.Item{owner})
	if err != nil {
		return err
	}
	if len(items) == 0 {
		var x expression
		absent := "attribute_not_exists(" + x.name(b.codec.KeyAttribute()) + ")"
		check := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &b.plan.Target.Table, Key: owner,
			ConditionExpression: &absent, ExpressionAttributeNames: x.names, ReturnValuesOnConditionCheckFailure: allOld}}
		return b.send(ctx, g, entity.Write{ID: w.ID, Before: w.After}, []step{
			{TransactWriteItem: check, constraint: noConstraint}, release(b.plan.Unique[s.constraint].Table, entry, g, 0, w.Final)})
	}
	switch doc := docs[0]; {
	case b.expired(items[0]):
		return b.bury(ctx, g, w, items[0])
	case doc == nil || b.valueOf(s.constraint, doc) != s.value:
		return nil // it has changed since
	case s.constraint == b.plan.Lookup():
		return entity.ErrExists
	}
	return &entity.TakenError{Fields: b.plan.Unique[s.constraint].Names()}
}

// bury deletes a document that has expired.
func (b *Backend) bury(ctx context.Context, g ownership.Grant, w entity.Write, item dynamo.Item) error {
	doc, err := b.codec.Read(item)
	if err == nil {
		_, err = b.Delete(ctx, g, entity.Write{ID: doc.Lookup("_id"), Before: doc, Final: w.Final})
	}
	return err
}
