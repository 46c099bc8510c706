package target

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// barrierPrefix begins the key of a barrier where that is a text.
const barrierPrefix = "_banyan#barrier#"

// PutBarrier writes a barrier into the table's stream: an item under a random key, so that
// several reach all shards, which reads as absent. It returns the key. Readers of the stream
// know it by stamp.Barrier, which is id.
func (t *Tables) PutBarrier(ctx context.Context, id string) (types.AttributeValue, error) {
	key := t.barrierKey()
	item := t.itemKey(key)
	item[stamp.Attribute] = stamp.OfBarrier(id)
	err := retry.Do(ctx, "write a barrier to "+t.Plan.Target.Table, func(ctx context.Context) error {
		_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.Plan.Target.Table, Item: item}, t.ofWrites...)
		return err
	})
	return key, err
}

// barrierKey is a key that no document has: a text of ours, or a number beyond an int64.
func (t *Tables) barrierKey() types.AttributeValue {
	attributes := t.Plan.Codec().KeyAttributes()
	partition := barrierValue(attributes[0].Kind)
	if len(attributes) == 1 {
		return partition
	}
	return &types.AttributeValueMemberL{Value: []types.AttributeValue{partition, barrierValue(attributes[1].Kind)}}
}

func barrierValue(kind types.ScalarAttributeType) types.AttributeValue {
	if kind != types.ScalarAttributeTypeN {
		return dynamo.String(barrierPrefix + uuid.NewString())
	}
	var digits strings.Builder
	digits.WriteString("9")
	for range 3 {
		digits.WriteString(strconv.FormatInt(1_000_000_000+rand.Int64N(1_000_000_000), 10))
	}
	return &types.AttributeValueMemberN{Value: digits.String()}
}

// RemoveBarrier removes a barrier. One that is left behind does no harm, and goes with the
// tombstones.
func (t *Tables) RemoveBarrier(ctx context.Context, key types.AttributeValue) error {
	c := &condition{}
	c.terms = append(c.terms, "attribute_exists("+c.name(stamp.Attribute)+"."+c.name(stamp.Barrier)+")")
	err := retry.Do(ctx, "remove a barrier", func(ctx context.Context) error {
		_, err := t.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.Plan.Target.Table, Key: t.itemKey(key),
			ConditionExpression: c.expression(), ExpressionAttributeNames: c.names}, t.ofWrites...)
		return err
	})
	if dynamo.IsConditionFailed(err) {
		return nil
	}
	return err
}

// Item reads one item consistently; nil for none, and for a tombstone.
func (t *Tables) Item(ctx context.Context, key codec.Item) (codec.Item, error) {
	table := t.Plan.Target.Table
	var found codec.Item
	err := t.batchGet(ctx, map[string]types.KeysAndAttributes{table: {Keys: []map[string]types.AttributeValue{key}, ConsistentRead: aws.Bool(true)}},
		func(_ string, item codec.Item) {
			if !stamp.Of(item).Tombstone {
				found = item
			}
		})
	return found, err
}
