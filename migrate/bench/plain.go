package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// The plain program, as one would write it for this collection: a cursor, a switch over the
// types that occur, and writers. It has no conditions: what arrives late would replace what
// is newer, which is why a migration cannot be made of it.
const (
	plainWriters = 16
	plainBatch   = 25
)

func copyPlainly(ctx context.Context, from *mongo.Collection, db *dynamodb.Client, table string) error {
	batches := make(chan []types.WriteRequest)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		return readPlainly(ctx, from, batches)
	})
	for range plainWriters {
		g.Go(func() error {
			for batch := range batches {
				if err := writePlainly(ctx, db, table, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func readPlainly(ctx context.Context, from *mongo.Collection, out chan<- []types.WriteRequest) error {
	cursor, err := from.Find(ctx, bson.D{}, options.Find().SetBatchSize(1000))
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(ctx) }() // only read
	var batch []types.WriteRequest
	for more := true; more; {
		if more = cursor.Next(ctx); more {
			var doc bson.D
			if err := cursor.Decode(&doc); err != nil {
				return err
			}
			batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: plainItem(doc)}})
		}
		if len(batch) == plainBatch || !more && len(batch) > 0 {
			select {
			case out <- batch:
			case <-ctx.Done():
				return ctx.Err()
			}
			batch = nil
		}
	}
	return cursor.Err()
}

func plainItem(doc bson.D) dynamo.Item {
	item := dynamo.Item{}
	for _, e := range doc {
		name := e.Key
		if name == "_id" {
			name = "id"
		}
		switch v := e.Value.(type) {
		case string:
			item[name] = &types.AttributeValueMemberS{Value: v}
		case int64:
			item[name] = &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
		case bson.DateTime:
			item[name] = &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(v), 10)}
		case bson.ObjectID:
			item[name] = &types.AttributeValueMemberS{Value: v.Hex()}
		}
	}
	return item
}

func writePlainly(ctx context.Context, db *dynamodb.Client, table string, batch []types.WriteRequest) error {
	for request := map[string][]types.WriteRequest{table: batch}; len(request) > 0; {
		out, err := db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: request})
		if err != nil {
			return fmt.Errorf("write a batch to %s: %w", table, err)
		}
		request = out.UnprocessedItems
	}
	return nil
}
