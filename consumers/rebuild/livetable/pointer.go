package livetable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultControl is the name of the control table where a setting gives none. It is a
// [dynamo.CompositeTable] for all read models.
const DefaultControl = "banyan-rebuilds"

// DefaultAge is how old what a reader knows of the pointer may be.
const DefaultAge = 5 * time.Second

// Pointer says which table of a read model is live.
type Pointer struct {
	Model  string    `json:"model"`
	Table  string    `json:"table"`
	Former string    `json:"former,omitempty"` // the table before, while there is a way back
	Epoch  int64     `json:"epoch"`            // grows with each change; 0: there is no pointer
	Since  time.Time `json:"since"`            // when the table became live
}

// GetAPI is what reading a pointer needs of *dynamodb.Client.
type GetAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// API is what [Store] needs of *dynamodb.Client.
type API interface {
	GetAPI
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// Store has the pointers of all read models. Safe for concurrent use.
type Store struct {
	Client API
	Table  string // the control table
}

// ErrMoved is returned for a pointer that somebody else changed meanwhile.
var ErrMoved = errors.New("the pointer was changed meanwhile: look at its status, and try again")

const (
	sortPointer = "pointer"
	attrTable   = "table"
	attrFormer  = "former"
	attrEpoch   = "epoch"
	attrSince   = "since"
)

// Get reads the pointer of a model, strongly consistent. It is zero, but for the name, where
// there is none.
func (s Store) Get(ctx context.Context, model string) (Pointer, error) {
	return get(ctx, s.Client, s.Table, model)
}

func get(ctx context.Context, client GetAPI, control, model string) (p Pointer, err error) {
	out, err := client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &control, Key: dynamo.Key(model, sortPointer), ConsistentRead: aws.Bool(true),
	})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		err = fmt.Errorf("there is no table %q: create it with the keys pk and sk, or name another: %w", control, err)
	}
	if err == nil {
		p, err = decode(model, out.Item)
	}
	if err != nil {
		return p, fmt.Errorf("read the pointer of the read model %q: %w", model, err)
	}
	return p, nil
}

func decode(model string, item dynamo.Item) (p Pointer, err error) {
	p = Pointer{Model: model, Table: dynamo.StringOf(item, attrTable), Former: dynamo.StringOf(item, attrFormer)}
	if len(item) == 0 {
		return p, nil
	}
	if p.Epoch, err = dynamo.IntOf(item, attrEpoch); err == nil {
		p.Since, err = time.Parse(time.RFC3339Nano, dynamo.StringOf(item, attrSince))
	}
	if err == nil && (p.Epoch < 1 || p.Table == "") {
		err = errors.New("it names no table or no epoch: the item was not written by this package")
	}
	return p, err
}

// Set replaces the pointer that was read by one to a table with a way back to former, which may
// be "". It fails with [ErrMoved] where that is not the pointer any more.
func (s Store) Set(ctx context.Context, was Pointer, table, former string) (Pointer, error) {
	now := Pointer{Model: was.Model, Table: table, Former: former, Epoch: was.Epoch + 1, Since: was.Since}
	if was.Table != table {
		now.Since = time.Now().UTC()
	}
	in := &dynamodb.PutItemInput{TableName: &s.Table, Item: dynamo.Key(now.Model, sortPointer)}
	in.Item[attrTable], in.Item[attrEpoch] = dynamo.String(table), dynamo.Int(now.Epoch)
	in.Item[attrFormer], in.Item[attrSince] = dynamo.String(former), dynamo.String(now.Since.Format(time.RFC3339Nano))
	if was.Epoch == 0 {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("attribute_not_exists(#pk)"), map[string]string{"#pk": dynamo.AttrPK}
	} else {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("#epoch = :epoch"), map[string]string{"#epoch": attrEpoch}
		in.ExpressionAttributeValues = dynamo.Item{":epoch": dynamo.Int(was.Epoch)}
	}
	_, err := s.Client.PutItem(ctx, in)
	if err == nil {
		return now, nil
	}
	if is, readErr := s.Get(ctx, now.Model); readErr == nil && is == now {
		return now, nil // an attempt whose answer was lost
	}
	if dynamo.IsConditionFailed(err) {
		err = ErrMoved
	}
	return was, fmt.Errorf("write the pointer of the read model %q to %q: %w", now.Model, table, err)
}
