package target

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Texts are what the table holds of documents, stamps included, by side.IDKey: two of them
// are the same where nothing was written in between. Documents without an item have none.
func (t *Tables) Texts(ctx context.Context, ids []bson.RawValue) (map[string]string, error) {
	texts, byKey := map[string]string{}, map[string]string{}
	all, err := t.Keys(ctx, ids)
	if err != nil {
		return nil, err
	}
	var keys []types.AttributeValue
	for id, key := range all {
		if key != nil {
			keys, byKey[keyText(key)] = append(keys, key), id
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), maxGet)
		items, _, err := t.Get(ctx, keys[:n], nil)
		if err != nil {
			return nil, err
		}
		for key, item := range items {
			if texts[byKey[key]], err = ItemText(item); err != nil {
				return nil, err
			}
		}
		keys = keys[n:]
	}
	return texts, nil
}

// ItemText is an item as the JSON of DynamoDB, always the same for the same item: the SDK
// writes members in any order.
func ItemText(item codec.Item) (string, error) {
	unordered, err := attributevalue.MarshalMapJSON(item)
	if err != nil {
		return "", err
	}
	var members map[string]any // numbers are texts
	if err := json.Unmarshal(unordered, &members); err != nil {
		return "", err
	}
	text, err := json.Marshal(members)
	return string(text), err
}

// Touch has the way back carry an item again, as it is: it changes nothing but the item's
// stamp, to the epoch of these tables. Where there is no item it leaves a tombstone, so that
// MongoDB has no document either. It changes nothing of a later epoch.
func (t *Tables) Touch(ctx context.Context, id bson.RawValue) error {
	keys, err := t.Keys(ctx, []bson.RawValue{id})
	if err != nil {
		return err
	}
	key := keys[side.IDKey(id)]
	if key == nil { // it has no item: any key will do that leads to it
		if key, err = t.Plan.Codec().KeyOfID(id); err != nil {
			return err
		}
	}
	again := codec.Item{stamp.Epoch: dynamo.Int(t.epoch()), stamp.Touched: dynamo.String(uuid.NewString())}
	err = t.update(ctx, key, "SET #b.#e = :e, #b.#r = :r", "attribute_exists(#b) AND (attribute_not_exists(#b.#e) OR #b.#e <= :e)",
		codec.Item{":e": again[stamp.Epoch], ":r": again[stamp.Touched]}, map[string]string{"#b": stamp.Attribute, "#e": stamp.Epoch, "#r": stamp.Touched})
	if !dynamo.IsConditionFailed(err) {
		return err
	}
	names := map[string]string{"#b": stamp.Attribute, "#key": t.Plan.Codec().KeyAttribute()}
	err = t.update(ctx, key, "SET #b = :b", "attribute_exists(#key) AND attribute_not_exists(#b)", // somebody else's
		codec.Item{":b": &types.AttributeValueMemberM{Value: again}}, names)
	if !dynamo.IsConditionFailed(err) {
		return err
	}
	again[stamp.Tombstone] = dynamo.Bool(true)
	err = t.update(ctx, key, "SET #b = :b", "attribute_not_exists(#key)", codec.Item{":b": &types.AttributeValueMemberM{Value: again}}, names)
	if dynamo.IsConditionFailed(err) { // of a later epoch, or written just now
		return nil
	}
	return err
}

func (t *Tables) update(ctx context.Context, key types.AttributeValue, change, condition string, values codec.Item, names map[string]string) error {
	return retry.Do(ctx, "have the table "+t.Plan.Target.Table+" tell of an item again", func(ctx context.Context) error {
		_, err := t.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &t.Plan.Target.Table, Key: t.itemKey(key),
			UpdateExpression: &change, ConditionExpression: &condition, ExpressionAttributeNames: names,
			ExpressionAttributeValues: values}, t.ofWrites...)
		return err
	})
}
