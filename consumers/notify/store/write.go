package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// itemOf is an item with a key.
func itemOf(pk, sk string, attributes any) (dynamo.Item, error) {
	item, err := attributevalue.MarshalMap(attributes)
	if err != nil {
		return nil, fmt.Errorf("encode the item %s: %w", sk, err)
	}
	item[dynamo.AttrPK], item[dynamo.AttrSK] = dynamo.String(pk), dynamo.String(sk)
	return item, nil
}

// condition is an expression over attributes, each as "#name"; the zero value always holds.
type condition struct {
	text   string
	names  []string
	values dynamo.Item
}

// absent holds where there is no item.
var absent = condition{text: "attribute_not_exists(pk)"}

func (c condition) parts() (text *string, names map[string]string, values dynamo.Item) {
	if c.text == "" {
		return nil, nil, nil
	}
	for _, name := range c.names {
		if names == nil {
			names = map[string]string{}
		}
		names["#"+name] = name
	}
	return &c.text, names, c.values
}

func (s *Store) put(item dynamo.Item, c condition) types.TransactWriteItem {
	text, names, values := c.parts()
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table, Item: item,
		ConditionExpression: text, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}
}

func (s *Store) delete(key dynamo.Item, c condition) types.TransactWriteItem {
	text, names, values := c.parts()
	return types.TransactWriteItem{Delete: &types.Delete{
		TableName: &s.table, Key: key,
		ConditionExpression: text, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}
}

// write writes all or nothing; a single put at half the price of a transaction.
func (s *Store) write(ctx context.Context, writes ...types.TransactWriteItem) error {
	if p := writes[0].Put; p != nil && len(writes) == 1 {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: p.TableName, Item: p.Item,
			ConditionExpression: p.ConditionExpression, ExpressionAttributeNames: p.ExpressionAttributeNames,
			ExpressionAttributeValues: p.ExpressionAttributeValues,
		})
		return err
	}
	_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return err
}

// firstFailed reports whether the condition of the first write did not hold.
func firstFailed(err error) bool {
	if _, single := errors.AsType[*types.ConditionalCheckFailedException](err); single {
		return true
	}
	reasons := dynamo.CancellationReasons(err)
	return len(reasons) > 0 && aws.ToString(reasons[0].Code) == dynamo.CodeConditionFailed
}

// isRaced reports whether the transaction met another one, or a condition besides the
// first did not hold: what it was computed from must be read again.
func isRaced(err error) bool {
	return !firstFailed(err) && slices.ContainsFunc(dynamo.CancellationReasons(err), func(r types.CancellationReason) bool {
		code := aws.ToString(r.Code)
		return code == "TransactionConflict" || code == dynamo.CodeConditionFailed
	})
}
