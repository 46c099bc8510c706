// Package control is what the processes of one migration share: items of the control
// table under the entity's key. Each kind of item has a file of its own with its row and
// the ways to load and change it: the job, the ranges to copy, the changes, the misfits,
// the verifications, the workers, the clients that were seen, the entities that were switched
// after it, and the cut-over, which stands in the job.
//
// Every write is conditional on the revision that was read, so of two processes that
// change one item one fails with [ErrConflict], loads it again and looks anew.
package control

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// ErrConflict is returned by [Store.Save] for an item that another process changed since
// it was loaded. It is permanent: load the item again.
var ErrConflict error = retry.Permanent("changed by another process")

// Row is what all state items of a migration have in common. Every save is
// conditional on the revision that was read.
type Row struct {
	PK  string `dynamodbav:"pk" json:"-"`  // of the entity
	SK  string `dynamodbav:"sk" json:"-"`  // of the item
	Rev int64  `dynamodbav:"rev" json:"-"` // grows by one with each save; 0 for an item that does not exist
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

// Store is one migration's part of the control table. It is safe for concurrent use.
type Store struct {
	// MaxMisfits is how many documents may be set aside, [DefaultMaxMisfits] by default.
	MaxMisfits int

	client  DynamoDBAPI
	table   string
	pk      string
	misfits atomic.Int64 // set aside, as far as this process knows; -1: unknown
}

// New returns the store of an entity's migration in a control table. It sends nothing.
func New(client DynamoDBAPI, table, entity string) *Store {
	s := &Store{client: client, table: table, pk: "entity#" + entity}
	s.misfits.Store(-1)
	return s
}

// load reads one item consistently into v; found is false, and v as it was but
// for its key, when there is none.
func (s *Store) load(ctx context.Context, sk string, v Item) (found bool, err error) {
	err = retry.Do(ctx, "load "+sk+" of "+s.pk, func(ctx context.Context) error {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: dynamo.Key(s.pk, sk), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return err
		}
		*v.row() = Row{PK: s.pk, SK: sk}
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
		return fmt.Errorf("save %s of %s: %w", row.SK, s.pk, err)
	}
	in := &dynamodb.PutItemInput{TableName: &s.table, Item: item}
	if rev == 0 {
		in.ConditionExpression = aws.String("attribute_not_exists(pk)")
	} else {
		in.ConditionExpression = aws.String("rev = :rev")
		in.ExpressionAttributeValues = dynamo.Item{":rev": dynamo.Int(rev)}
	}
	err = retry.Do(ctx, "save "+row.SK+" of "+s.pk, func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, in)
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
	if _, err := s.load(ctx, row.SK, stored); err != nil {
		return err
	}
	if stored.Nonce == row.Nonce {
		return nil
	}
	return fmt.Errorf("save %s of %s: %w", row.SK, s.pk, ErrConflict)
}

// remove deletes one item unless another process has saved it since it was loaded, or has
// created it anew: a late removal hits nothing that was written after.
func (s *Store) remove(ctx context.Context, v Item) error {
	row := v.row()
	err := retry.Do(ctx, "remove "+row.SK+" of "+s.pk, func(ctx context.Context) error {
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: dynamo.Key(s.pk, row.SK),
			ConditionExpression: aws.String("nonce = :nonce"), ExpressionAttributeValues: dynamo.Item{":nonce": dynamo.String(row.Nonce)}})
		return err
	})
	if dynamo.IsConditionFailed(err) {
		return nil
	}
	return err
}

// Table is the name of the control table.
func (s *Store) Table() string { return s.table }

// maxClears is how often Clear looks for what other processes still wrote meanwhile.
const maxClears = 5

// Clear removes everything that the migration of a binding has stored but the ownership
// record and its members. It calls still behind each look at what there is, and ends when
// that is false: then what it has seen may be another migration's.
func (s *Store) Clear(ctx context.Context, bound *Binding, still func(context.Context) (bool, error)) error {
	for range maxClears {
		var all []Row
		for _, prefix := range []string{rangePrefix, verificationPrefix, verifyingPrefix, workerPrefix, jobKey, changesKey, clientsKey, dependentsKey} {
			rows, err := list[Row](ctx, s, prefix)
			if err != nil {
				return err
			}
			all = append(all, rows...)
		}
		if ours, err := still(ctx); err != nil || !ours || len(all) == 0 {
			return errors.Join(err, s.remove(ctx, bound))
		}
		for i := range all {
			if err := s.remove(ctx, &all[i]); err != nil {
				return err
			}
		}
	}
	return s.remove(ctx, bound)
}

// list reads all items whose sort key begins with prefix, in its order.
func list[T any](ctx context.Context, s *Store, prefix string) ([]T, error) {
	var all []T
	var from dynamo.Item
	for {
		var out *dynamodb.QueryOutput
		err := retry.Do(ctx, "list "+prefix+" of "+s.pk, func(ctx context.Context) (err error) {
			out, err = s.client.Query(ctx, &dynamodb.QueryInput{TableName: &s.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: from,
				KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :prefix)"),
				ExpressionAttributeValues: dynamo.Item{
					":pk": dynamo.String(s.pk), ":prefix": dynamo.String(prefix)}})
			return err
		})
		if err != nil {
			return nil, err
		}
		var page []T
		if err := attributevalue.UnmarshalListOfMaps(out.Items, &page); err != nil {
			return nil, fmt.Errorf("list %s of %s: %w", prefix, s.pk, err)
		}
		all = append(all, page...)
		if from = out.LastEvaluatedKey; from == nil {
			return all, nil
		}
	}
}
