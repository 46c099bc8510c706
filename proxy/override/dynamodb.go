package override

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DynamoDBAPI is what [DynamoDB] needs of *dynamodb.Client: two actions on one item.
type DynamoDBAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// DynamoDB is the store of a fleet: one item of a table with the keys pk and sk, such as the
// control table, replaced as a whole where its revision is the one that was read. To poll it
// each second takes one read unit a second and process for each 4 KB, some ten overrides.
type DynamoDB struct {
	client DynamoDBAPI
	table  string
	key    dynamo.Item
	name   string
}

// NewDynamoDB keeps the overrides of the proxies called name, by default "default", in a
// table that exists (dynamo.CompositeTable). It sends nothing.
func NewDynamoDB(client DynamoDBAPI, table, name string) *DynamoDB {
	name = cmp.Or(name, "default")
	return &DynamoDB{client, table, dynamo.Key("proxy#"+name, "overrides"), name}
}

// Load reads the item consistently; one that does not exist is the zero State.
func (d *DynamoDB) Load(ctx context.Context) (State, error) {
	s, _, err := d.load(ctx)
	return s, err
}

func (d *DynamoDB) load(ctx context.Context) (s State, token string, err error) {
	out, err := d.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &d.table, Key: d.key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return s, "", d.wrapError("read", err)
	}
	if len(out.Item) == 0 {
		return s, "", nil
	}
	s, err = decode(dynamo.BytesOf(out.Item, "state"))
	if revision, err2 := dynamo.IntOf(out.Item, "revision"); err == nil && (err2 != nil || revision != s.Revision) {
		err = fmt.Errorf("revision %d is that of %d", s.Revision, revision)
	}
	if err != nil {
		return State{}, "", d.wrapError("read", fmt.Errorf("%w; delete the item, and it is written anew", err))
	}
	return s, dynamo.StringOf(out.Item, "token"), nil
}

// Save replaces the item. It knows its own write again when the answer to it was lost.
func (d *DynamoDB) Save(ctx context.Context, old int64, next State) error {
	src, err := encode(next)
	if err != nil {
		return err
	}
	token := uuid.NewString()
	in := &dynamodb.PutItemInput{
		TableName: &d.table, ConditionExpression: aws.String("attribute_not_exists(pk)"),
		Item: dynamo.Item{
			dynamo.AttrPK: d.key[dynamo.AttrPK], dynamo.AttrSK: d.key[dynamo.AttrSK],
			"revision": dynamo.Int(next.Revision), "state": dynamo.Bytes(src), "token": dynamo.String(token),
		},
	}
	if old > 0 {
		in.ConditionExpression = aws.String("#revision = :old")
		in.ExpressionAttributeNames = map[string]string{"#revision": "revision"}
		in.ExpressionAttributeValues = dynamo.Item{":old": dynamo.Int(old)}
	}
	_, err = d.client.PutItem(ctx, in)
	if !dynamo.IsConditionFailed(err) {
		return d.wrapError("save", err)
	}
	found, written, err := d.load(ctx)
	if err != nil || written == token {
		return err
	}
	return d.wrapError("save", fmt.Errorf("from revision %d: it is at %d: %w", old, found.Revision, ErrConflict))
}

func (d *DynamoDB) wrapError(verb string, err error) error {
	if err == nil {
		return nil
	}
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		err = fmt.Errorf("there is no such table: %w", err)
	}
	return fmt.Errorf("%s overrides of %q in table %q: %w", verb, d.name, d.table, err)
}
