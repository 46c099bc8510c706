package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
)

// errLost: a state item was changed by another process since it was read.
var errLost = errors.New("changed by another process")

// Row is what all state items of a migration have in common. Every save is
// conditional on the revision that was read.
type Row struct {
	PK  string `dynamodbav:"pk" json:"-"`
	SK  string `dynamodbav:"sk" json:"-"`
	Rev int64  `dynamodbav:"rev" json:"-"`
	// Nonce tells a process its own write again when the answer was lost.
	Nonce string `dynamodbav:"nonce" json:"-"`
}

func (r *Row) row() *Row { return r }

type rowed interface{ row() *Row }

// job is a migration's state that is not a range's or the changes'.
type job struct {
	Row
	Generation int64     `dynamodbav:"generation"` // raised when it is copied afresh
	StartedAt  time.Time `dynamodbav:"startedAt"`
	Planned    bool      `dynamodbav:"planned"` // the ranges are written down
	Ranges     int       `dynamodbav:"ranges"`
	Estimated  int64     `dynamodbav:"estimated"` // documents when it was planned
	Copied     bool      `dynamodbav:"copied"`    // backfill complete
	CopiedAt   time.Time `dynamodbav:"copiedAt"`
	Paused     bool      `dynamodbav:"paused"`
	Throttle   int       `dynamodbav:"throttle"` // documents a second and process; 0 is unlimited
	Cutover    *Switch   `dynamodbav:"cutover"`
}

const jobKey = "job"

// state is the migration's part of the control table.
type state struct {
	client DynamoDBAPI
	table  string
	pk     string
}

func (s *state) key(sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: s.pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

// load reads one item consistently into v; found is false, and v as it was but
// for its key, when there is none.
func (s *state) load(ctx context.Context, sk string, v rowed) (found bool, err error) {
	err = retry(ctx, "load "+sk+" of "+s.pk, func(ctx context.Context) error {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: s.key(sk), ConsistentRead: aws.Bool(true)})
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

// save stores v if nobody has since it was loaded, errLost otherwise.
func (s *state) save(ctx context.Context, v rowed) error {
	row := v.row()
	old := *row
	row.Rev, row.Nonce = old.Rev+1, uuid.NewString()
	err := s.put(ctx, v, old.Rev)
	if err != nil {
		*row = old
	}
	return err
}

func (s *state) put(ctx context.Context, v rowed, rev int64) error {
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
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":rev": &types.AttributeValueMemberN{Value: fmt.Sprint(rev)}}
	}
	err = retry(ctx, "save "+row.SK+" of "+s.pk, func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, in)
		return err
	})
	if conditionFailed(err) {
		return s.ownWrite(ctx, row)
	}
	return err
}

// ownWrite reports nil if the stored row is the one that was being written.
func (s *state) ownWrite(ctx context.Context, row *Row) error {
	stored := &Row{}
	if _, err := s.load(ctx, row.SK, stored); err != nil {
		return err
	}
	if stored.Nonce == row.Nonce {
		return nil
	}
	return fmt.Errorf("save %s of %s: %w", row.SK, s.pk, errLost)
}

func (s *state) remove(ctx context.Context, sk string) error {
	return retry(ctx, "remove "+sk+" of "+s.pk, func(ctx context.Context) error {
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: s.key(sk)})
		return err
	})
}

// list reads all items whose sort key begins with prefix, in its order.
func list[T any](ctx context.Context, s *state, prefix string) ([]T, error) {
	var all []T
	var from map[string]types.AttributeValue
	for {
		var out *dynamodb.QueryOutput
		err := retry(ctx, "list "+prefix+" of "+s.pk, func(ctx context.Context) (err error) {
			out, err = s.client.Query(ctx, &dynamodb.QueryInput{TableName: &s.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: from,
				KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :prefix)"),
				ExpressionAttributeValues: map[string]types.AttributeValue{
					":pk": &types.AttributeValueMemberS{Value: s.pk}, ":prefix": &types.AttributeValueMemberS{Value: prefix}}})
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

// updateJob changes the job whoever else changes it too; change runs again on a
// conflict, and returns false to leave the job as it is.
func (e *Engine) updateJob(ctx context.Context, change func(*job) bool) (*job, error) {
	for i := 0; ; i++ {
		j := &job{}
		if _, err := e.state.load(ctx, jobKey, j); err != nil {
			return nil, err
		}
		if !change(j) {
			return j, nil
		}
		err := e.state.save(ctx, j)
		if !errors.Is(err, errLost) || i > 50 {
			return j, err
		}
		if err := sleep(ctx, backoff(min(i, 3))); err != nil {
			return nil, err
		}
	}
}
