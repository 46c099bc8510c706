package recommend

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// connections implements graph. Strongly consistent, so that a list that is derived after a
// mark has what the mark was for.
func (m *Model) connections(ctx context.Context, user string, limit int) ([]string, bool, error) {
	ids, left, more, err := m.neighbours(ctx, prefixOut+user, "", limit)
	if left {
		return nil, false, err
	}
	return ids, more, err
}

// maxPages bounds how many pages are read past edges that are gone.
const maxPages = 4

// neighbours lists users of a partition of edges from a hash on. left says that its user left.
func (m *Model) neighbours(ctx context.Context, partition, from string, limit int) (ids []string, left, more bool, err error) {
	in := &dynamodb.QueryInput{
		TableName: &m.cfg.Table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit) + 1),
		KeyConditionExpression:    aws.String("#pk = :pk AND #sk >= :from"),
		ProjectionExpression:      aws.String("#sk, #present"),
		ExpressionAttributeNames:  map[string]string{"#pk": dynamo.AttrPK, "#sk": dynamo.AttrSK, "#present": attrPresent},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(partition), ":from": dynamo.String("!" + from)},
	}
	if from != "" {
		in.ExpressionAttributeValues[":from"] = dynamo.String(from)
	}
	for range maxPages {
		page, err := m.cfg.Client.Query(ctx, in)
		if err != nil {
			return nil, false, false, once.Classify(fmt.Errorf("recommend: read the connections in %s: %w", partition, err))
		}
		for _, item := range page.Items {
			id := dynamo.StringOf(item, dynamo.AttrSK)
			_, isEdge := item[attrPresent]
			switch {
			case id == sortLeft:
				left = true
			case isEdge && !dynamo.BoolOf(item, attrPresent):
			case len(ids) == limit:
				return ids, left, true, nil
			default:
				ids = append(ids, id[hashSize:])
			}
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
		if more = in.ExclusiveStartKey != nil; !more {
			break
		}
	}
	return ids, left, more, nil
}

// without implements graph.
func (m *Model) without(ctx context.Context, user string, candidates []string, connected bool) ([]string, error) {
	var keys []once.Key
	for _, id := range candidates {
		keys = append(keys, once.KeyOf(prefixOut+id, sortLeft))
		if connected {
			keys = append(keys, outKey(user, id))
		}
	}
	found := map[once.Key]bool{}
	for part := range slices.Chunk(keys, maxBatch) {
		if err := m.find(ctx, part, found); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(candidates), func(id string) bool {
		return found[once.KeyOf(prefixOut+id, sortLeft)] || found[outKey(user, id)]
	}), nil
}

// maxBatch is DynamoDB's limit for BatchGetItem; maxRounds is how often it may leave keys
// unprocessed before the user stays due.
const (
	maxBatch  = 100
	maxRounds = 8
)

// find adds the keys of which there are items, edges that are gone left out.
func (m *Model) find(ctx context.Context, keys []once.Key, found map[once.Key]bool) error {
	request := types.KeysAndAttributes{
		ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#pk, #sk, #present"),
		ExpressionAttributeNames: map[string]string{"#pk": dynamo.AttrPK, "#sk": dynamo.AttrSK, "#present": attrPresent},
	}
	for _, k := range keys {
		request.Keys = append(request.Keys, k.Item())
	}
	pending := map[string]types.KeysAndAttributes{m.cfg.Table: request}
	for range maxRounds {
		out, err := m.cfg.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: pending})
		if err != nil {
			return once.Classify(fmt.Errorf("recommend: look up %d users: %w", len(keys), err))
		}
		for _, item := range out.Responses[m.cfg.Table] {
			k := once.KeyOf(dynamo.StringOf(item, dynamo.AttrPK), dynamo.StringOf(item, dynamo.AttrSK))
			found[k] = k.SK == sortLeft || dynamo.BoolOf(item, attrPresent)
		}
		if pending = out.UnprocessedKeys; len(pending) == 0 {
			return nil
		}
	}
	return fmt.Errorf("recommend: look up %d users: DynamoDB left keys unprocessed %d times: the table is throttled", len(keys), maxRounds)
}
