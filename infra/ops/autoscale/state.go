package autoscale

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

// Table is what is asked of DynamoDB. A *dynamodb.Client is one.
type Table interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// ErrConflict is returned where another run changed the state in between.
var ErrConflict = errors.New("another run changed the state first")

// TableInput creates the table of states.
func TableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("stream"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("stream"), KeyType: types.KeyTypeHash}},
	}
}

// states keeps the state of streams.
type states struct {
	client Table
	table  string
}

func (t states) load(ctx context.Context, stream string) (State, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"stream": dynamo.String(stream)},
	})
	if err != nil {
		return State{}, fmt.Errorf("read the state of %s from table %s: %w", stream, t.table, err)
	}
	return parseState(out.Item), nil
}

// replace writes a state in the place of the one that it was made from, whose
// version it has, and returns it with its own version.
func (t states) replace(ctx context.Context, stream string, s State) (State, error) {
	before := s.Version
	s.Version++
	in := &dynamodb.PutItemInput{
		TableName: &t.table, Item: s.item(stream), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ConditionExpression: aws.String("attribute_not_exists(version)"),
	}
	if before > 0 {
		in.ConditionExpression = aws.String("version = :before")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":before": dynamo.Int(before)}
	}
	_, err := t.client.PutItem(ctx, in)
	var refused *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &refused):
		if found := parseState(refused.Item); found.Claim == s.Claim && found.Version == s.Version {
			return s, nil // our own write, whose answer was lost
		}
		return s, ErrConflict
	case err != nil:
		return s, fmt.Errorf("write the state of %s to table %s: %w", stream, t.table, err)
	}
	return s, nil
}

func (s State) item(stream string) map[string]types.AttributeValue {
	scalings := make([]types.AttributeValue, len(s.Scalings))
	for i, t := range s.Scalings {
		scalings[i] = dynamo.Int(t.UnixMilli())
	}
	return map[string]types.AttributeValue{
		"stream": dynamo.String(stream), "version": dynamo.Int(s.Version), "scalings": &types.AttributeValueMemberL{Value: scalings},
		"pending": dynamo.Bool(s.Pending), "claim": dynamo.String(s.Claim), "last": dynamo.String(s.Last),
		"changed": timeValue(s.Changed), "confirmed": timeValue(s.Confirmed), "blockedUntil": timeValue(s.BlockedUntil),
	}
}

func parseState(item map[string]types.AttributeValue) State {
	s := State{
		Version: int64Of(item, "version"), Changed: timeOf(item, "changed"), Confirmed: timeOf(item, "confirmed"),
		BlockedUntil: timeOf(item, "blockedUntil"), Last: dynamo.StringOf(item, "last"), Claim: dynamo.StringOf(item, "claim"),
	}
	s.Pending = dynamo.BoolOf(item, "pending")
	if l, ok := item["scalings"].(*types.AttributeValueMemberL); ok {
		for _, v := range l.Value {
			s.Scalings = append(s.Scalings, timeOf(dynamo.Item{"at": v}, "at"))
		}
	}
	return s
}

// timeValue is 0 for the zero time.
func timeValue(t time.Time) types.AttributeValue {
	if t.IsZero() {
		return dynamo.Int(0)
	}
	return dynamo.Int(t.UnixMilli())
}

func timeOf(item dynamo.Item, name string) time.Time {
	n := int64Of(item, name)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// int64Of reads what this package wrote; anything else counts as 0.
func int64Of(item dynamo.Item, name string) int64 {
	n, _ := dynamo.IntOf(item, name)
	return n
}
