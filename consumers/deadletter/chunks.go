package deadletter

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

const (
	// maxInline keeps the item of a dead letter small enough to list many.
	maxInline = 32 << 10
	// chunkSize leaves room for the keys below the 400 KB of an item.
	chunkSize = 350 << 10
)

func (s *Store) putChunks(ctx context.Context, d consumers.DeadLetter) error {
	for i := 0; i*chunkSize < len(d.Raw); i++ {
		part := d.Raw[i*chunkSize : min((i+1)*chunkSize, len(d.Raw))]
		item := dynamo.Key(IDOf(d).chunkPartition(), fmt.Sprintf("%06d", i))
		item[attrRaw] = dynamo.Bytes(part)
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item})
		if err != nil {
			return fmt.Errorf("write chunk %d of the bytes: %w", i, err)
		}
	}
	return nil
}

func (s *Store) chunks(ctx context.Context, id ID, size int) ([]byte, error) {
	raw := make([]byte, 0, size)
	err := s.eachChunk(ctx, id, "#pk, #sk, #raw", func(i dynamo.Item) error {
		raw = append(raw, dynamo.BytesOf(i, attrRaw)...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the chunks of the bytes: %w", err)
	}
	if len(raw) != size {
		return nil, fmt.Errorf("found %d of %d bytes: the others were deleted, perhaps by a discard that was interrupted; discard it again", len(raw), size)
	}
	return raw, nil
}

// deleteChunks deletes from the front, so that what is interrupted cannot be taken for whole.
func (s *Store) deleteChunks(ctx context.Context, id ID) error {
	return s.eachChunk(ctx, id, "#pk, #sk", func(i dynamo.Item) error {
		key := dynamo.Key(dynamo.StringOf(i, dynamo.AttrPK), dynamo.StringOf(i, dynamo.AttrSK))
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: key})
		return err
	})
}

// eachChunk calls do with the attributes of each chunk, in their order.
func (s *Store) eachChunk(ctx context.Context, id ID, attributes string, do func(dynamo.Item) error) error {
	in := &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ProjectionExpression:      &attributes,
		ExpressionAttributeNames:  namesIn(attributes),
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(id.chunkPartition())},
	}
	for {
		out, err := s.client.Query(ctx, in)
		if err != nil {
			return err
		}
		for _, i := range out.Items {
			if err := do(i); err != nil {
				return err
			}
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			return nil
		}
	}
}
