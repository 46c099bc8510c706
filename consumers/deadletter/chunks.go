package deadletter

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
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
		item := dynamo.Key(chunkPartition(d.Consumer, d.Position), fmt.Sprintf("%06d", i))
		item[attrRaw] = dynamo.Bytes(part)
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item})
		if err != nil {
			return fmt.Errorf("write chunk %d of the bytes: %w", i, err)
		}
	}
	return nil
}

func (s *Store) chunks(ctx context.Context, consumer string, p events.Position, size int) ([]byte, error) {
	raw := make([]byte, 0, size)
	in := &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": "pk"},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(chunkPartition(consumer, p))},
	}
	for {
		out, err := s.client.Query(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("read the chunks of the bytes: %w", err)
		}
		for _, i := range out.Items {
			raw = append(raw, dynamo.BytesOf(i, attrRaw)...)
		}
		if len(out.LastEvaluatedKey) == 0 {
			break
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
	if len(raw) != size {
		return nil, fmt.Errorf("found %d of %d bytes: chunks were deleted from the table", len(raw), size)
	}
	return raw, nil
}
