package autoscale

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Table is what is asked of DynamoDB. A *dynamodb.Client is one.
type Table interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// ErrOvertaken is returned where another run changed the state in between.
var ErrOvertaken = errors.New("another run was here first")

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
		Key: map[string]types.AttributeValue{"stream": text(stream)},
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
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":before": number(before)}
	}
	_, err := t.client.PutItem(ctx, in)
	var refused *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &refused):
		if found := parseState(refused.Item); found.Claim == s.Claim && found.Version == s.Version {
			return s, nil // our own write, whose answer was lost
		}
		return s, ErrOvertaken
	case err != nil:
		return s, fmt.Errorf("write the state of %s to table %s: %w", stream, t.table, err)
	}
	return s, nil
}

func (s State) item(stream string) map[string]types.AttributeValue {
	scalings := make([]types.AttributeValue, len(s.Scalings))
	for i, t := range s.Scalings {
		scalings[i] = number(t.UnixMilli())
	}
	return map[string]types.AttributeValue{
		"stream": text(stream), "version": number(s.Version), "scalings": &types.AttributeValueMemberL{Value: scalings},
		"pending": &types.AttributeValueMemberBOOL{Value: s.Pending}, "claim": text(s.Claim), "last": text(s.Last),
		"changed": moment(s.Changed), "settled": moment(s.Settled), "blockedUntil": moment(s.BlockedUntil),
	}
}

func parseState(item map[string]types.AttributeValue) State {
	s := State{
		Version: int64Of(item["version"]), Changed: timeOf(item["changed"]), Settled: timeOf(item["settled"]),
		BlockedUntil: timeOf(item["blockedUntil"]), Last: stringOf(item["last"]), Claim: stringOf(item["claim"]),
	}
	if b, ok := item["pending"].(*types.AttributeValueMemberBOOL); ok {
		s.Pending = b.Value
	}
	if l, ok := item["scalings"].(*types.AttributeValueMemberL); ok {
		for _, v := range l.Value {
			s.Scalings = append(s.Scalings, timeOf(v))
		}
	}
	return s
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// moment is 0 for the zero time.
func moment(t time.Time) types.AttributeValue {
	if t.IsZero() {
		return number(0)
	}
	return number(t.UnixMilli())
}

func timeOf(v types.AttributeValue) time.Time {
	n := int64Of(v)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

func int64Of(v types.AttributeValue) int64 {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	value, _ := strconv.ParseInt(n.Value, 10, 64) // written by us; anything else is as nothing
	return value
}

func stringOf(v types.AttributeValue) string {
	s, ok := v.(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return s.Value
}
