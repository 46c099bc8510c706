package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-dead-letters"

// ErrNotFound is returned where there is no such dead letter.
var ErrNotFound = errors.New("no such dead letter")

// Client is the part of the DynamoDB client that a Store uses.
type Client interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Store is the dead letters of all consumers. Safe for concurrent use.
type Store struct {
	client Client
	table  string
	now    func() time.Time
}

// TableInput defines the table.
func TableInput(name string) *dynamodb.CreateTableInput { return dynamo.CompositeTable(name) }

// New makes a store on a table that exists.
func New(client Client, table string) *Store {
	return &Store{client: client, table: table, now: time.Now}
}

// Letter is a stored dead letter.
type Letter struct {
	consumers.DeadLetter
	// Size is the length of Raw in bytes, set even where Raw was not read.
	Size int
	// RedrivenAt is when a redrive succeeded; zero before.
	RedrivenAt time.Time
}

// ID returns its id.
func (l Letter) ID() ID { return IDOf(l.DeadLetter) }

// Put stores d. When it returns nil, every byte is stored. Another Put of the same
// consumer, stream and position changes nothing, also after a redrive.
func (s *Store) Put(ctx context.Context, d consumers.DeadLetter) error {
	if d.Consumer == "" || d.Position.IsZero() {
		return errors.New("deadletter: put: a dead letter must have a consumer and a position")
	}
	inline := len(d.Raw) <= maxInline
	if !inline {
		if err := s.putChunks(ctx, d); err != nil {
			return fmt.Errorf("deadletter: put %s: %w", IDOf(d), err)
		}
	}
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                &s.table,
		Item:                     encode(d, inline),
		ConditionExpression:      aws.String("attribute_not_exists(#pk)"),
		ExpressionAttributeNames: map[string]string{"#pk": "pk"},
	})
	if err != nil && !dynamo.IsConditionFailed(err) {
		return fmt.Errorf("deadletter: put %s: %w", IDOf(d), err)
	}
	return nil
}

// Get reads a dead letter with all its bytes.
func (s *Store) Get(ctx context.Context, id ID) (Letter, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: id.headKey(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return Letter{}, fmt.Errorf("deadletter: get %s: %w", id, err)
	}
	if len(out.Item) == 0 {
		return Letter{}, fmt.Errorf("deadletter: get %s: %w", id, ErrNotFound)
	}
	l, err := decode(out.Item)
	if err == nil && len(l.Raw) < l.Size {
		l.Raw, err = s.chunks(ctx, id, l.Size)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("deadletter: get %s: %w", id, err)
	}
	return l, nil
}

// At returns the ids of the dead letters of a consumer at a position: none, one, or one of
// each stream that has a record with that number.
func (s *Store) At(ctx context.Context, consumer string, p events.Position) ([]ID, error) {
	out, err := s.client.Query(ctx, &dynamodb.QueryInput{ // far less than a page
		TableName:                &s.table,
		ConsistentRead:           aws.Bool(true),
		KeyConditionExpression:   aws.String("#pk = :pk AND begins_with(#sk, :sk)"),
		ProjectionExpression:     aws.String("#pk, #sk"),
		ExpressionAttributeNames: map[string]string{"#pk": dynamo.AttrPK, "#sk": dynamo.AttrSK},
		ExpressionAttributeValues: dynamo.Item{
			":pk": dynamo.String(prefixConsumer + consumer), ":sk": dynamo.String(p.String()),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("deadletter: look for %s of %s: %w", p, consumer, err)
	}
	var ids []ID
	for _, i := range out.Items {
		id, err := ID{Consumer: consumer}.parseSortKey(dynamo.StringOf(i, dynamo.AttrSK))
		if err != nil {
			return nil, fmt.Errorf("deadletter: look for %s of %s: %w", p, consumer, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Redrive calls handle, normally [consumers.Consumer.Redrive], with a dead letter and
// marks it as redriven when handle returns nil. It does nothing for one that is
// marked already. When handle succeeded and writing the mark failed, the error says
// so, and Redrive can be called again: handlers are idempotent.
func (s *Store) Redrive(ctx context.Context, id ID, handle func(context.Context, consumers.DeadLetter) error) error {
	l, err := s.Get(ctx, id)
	if err != nil || !l.RedrivenAt.IsZero() {
		return err
	}
	if err := handle(ctx, l.DeadLetter); err != nil {
		return fmt.Errorf("deadletter: %w", err)
	}
	_, err = s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &s.table,
		Key:                       id.headKey(),
		UpdateExpression:          aws.String("SET #redriven = :at"),
		ConditionExpression:       aws.String("attribute_exists(#pk)"),
		ExpressionAttributeNames:  map[string]string{"#pk": "pk", "#redriven": attrRedriven},
		ExpressionAttributeValues: dynamo.Item{":at": dynamo.String(formatTime(s.now()))},
	})
	if err != nil {
		return fmt.Errorf("deadletter: redrive %s: it was handled, but marking it as redriven failed: %w", id, err)
	}
	return nil
}

// Delete deletes a dead letter for good, its bytes first: where it is interrupted the
// letter is listed still, and another Delete finishes. Deleting none is no error.
func (s *Store) Delete(ctx context.Context, id ID) error {
	err := s.deleteChunks(ctx, id)
	if err == nil {
		_, err = s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: id.headKey()})
	}
	if err != nil {
		return fmt.Errorf("deadletter: delete %s: %w", id, err)
	}
	return nil
}
