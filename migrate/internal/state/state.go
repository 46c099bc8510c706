// Package state stores what the processes of one migration share: items of the control
// table under the entity's key. Every write is conditional on the revision that was read.
package state

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// ErrConflict is returned by [Store.Save] for an item that another process changed since
// it was loaded.
var ErrConflict error = retry.Permanent("changed by another process")

// Row is what all state items of a migration have in common. Every save is
// conditional on the revision that was read.
type Row struct {
	PK  string `dynamodbav:"pk" json:"-"`
	SK  string `dynamodbav:"sk" json:"-"`
	Rev int64  `dynamodbav:"rev" json:"-"`
	// Nonce lets a process recognise its own write when the answer was lost.
	Nonce string `dynamodbav:"nonce" json:"-"`
}

func (r *Row) row() *Row { return r }

// Item is a struct that embeds Row.
type Item interface{ row() *Row }

// DynamoDBAPI is what [Store] needs of *dynamodb.Client.
type DynamoDBAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

// Store is the migration's part of the control table. It is safe for concurrent use.
type Store struct {
	Client DynamoDBAPI
	Table  string
	PK     string // of the entity
}

// Load reads one item consistently into v; found is false, and v as it was but
// for its key, when there is none.
func (s *Store) Load(ctx context.Context, sk string, v Item) (found bool, err error) {
	err = retry.Do(ctx, "load "+sk+" of "+s.PK, func(ctx context.Context) error {
		out, err := s.Client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.Table, Key: dynamo.Key(s.PK, sk), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return err
		}
		*v.row() = Row{PK: s.PK, SK: sk}
		if found = len(out.Item) > 0; found {
			return attributevalue.UnmarshalMap(out.Item, v)
		}
		return nil
	})
	return found, err
}

// Save stores v unless another process has since it was loaded; then it fails with
// ErrConflict.
func (s *Store) Save(ctx context.Context, v Item) error {
	row := v.row()
	old := *row
	row.Rev, row.Nonce = old.Rev+1, uuid.NewString()
	err := s.put(ctx, v, old.Rev)
	if err != nil {
		*row = old
	}
	return err
}

func (s *Store) put(ctx context.Context, v Item, rev int64) error {
	row := v.row()
	item, err := attributevalue.MarshalMap(v)
	if err != nil {
		return fmt.Errorf("save %s of %s: %w", row.SK, s.PK, err)
	}
	in := &dynamodb.PutItemInput{TableName: &s.Table, Item: item}
	if rev == 0 {
		in.ConditionExpression = aws.String("attribute_not_exists(pk)")
	} else {
		in.ConditionExpression = aws.String("rev = :rev")
		in.ExpressionAttributeValues = dynamo.Item{":rev": dynamo.Int(rev)}
	}
	err = retry.Do(ctx, "save "+row.SK+" of "+s.PK, func(ctx context.Context) error {
		_, err := s.Client.PutItem(ctx, in)
		return err
	})
	if dynamo.IsConditionFailed(err) {
		return s.ownWrite(ctx, row)
	}
	return err
}

// ownWrite returns nil if the stored row is the one that was being written.
func (s *Store) ownWrite(ctx context.Context, row *Row) error {
	stored := &Row{}
	if _, err := s.Load(ctx, row.SK, stored); err != nil {
		return err
	}
	if stored.Nonce == row.Nonce {
		return nil
	}
	return fmt.Errorf("save %s of %s: %w", row.SK, s.PK, ErrConflict)
}

// Delete removes one item, whatever is in it.
func (s *Store) Delete(ctx context.Context, sk string) error {
	return retry.Do(ctx, "remove "+sk+" of "+s.PK, func(ctx context.Context) error {
		_, err := s.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.Table, Key: dynamo.Key(s.PK, sk)})
		return err
	})
}

// List reads all items whose sort key begins with prefix, in its order.
func List[T any](ctx context.Context, s *Store, prefix string) ([]T, error) {
	var all []T
	var from dynamo.Item
	for {
		var out *dynamodb.QueryOutput
		err := retry.Do(ctx, "list "+prefix+" of "+s.PK, func(ctx context.Context) (err error) {
			out, err = s.Client.Query(ctx, &dynamodb.QueryInput{TableName: &s.Table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: from,
				KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :prefix)"),
				ExpressionAttributeValues: dynamo.Item{
					":pk": dynamo.String(s.PK), ":prefix": dynamo.String(prefix)}})
			return err
		})
		if err != nil {
			return nil, err
		}
		var page []T
		if err := attributevalue.UnmarshalListOfMaps(out.Items, &page); err != nil {
			return nil, fmt.Errorf("list %s of %s: %w", prefix, s.PK, err)
		}
		all = append(all, page...)
		if from = out.LastEvaluatedKey; from == nil {
			return all, nil
		}
	}
}
