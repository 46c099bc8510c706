// This is the conformance suite of DynamoDB and DynamoDB Streams, written against
// the official clients: what Banyan relies on, and what the sandbox claims.
//
// It checks the kinds of errors always and their words only where DynamoDB Local uses the same ones.
// A case that a known server answers otherwise than the service documents is skipped for that server
// alone, with the reason (see deviates).

package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/smithy-go"
)

// conforms runs the whole suite. It makes tables with names of its own and deletes them at the end.
func conforms(t *testing.T, client *dynamodb.Client, streams *dynamodbstreams.Client) {
	s := &suite{client: client, streams: streams}
	s.peer = s.identify(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"tables", s.tables},
		{"items", s.items},
		{"numbers", s.numbers},
		{"limits", s.limits},
		{"conditions", s.conditions},
		{"updates", s.updates},
		{"projections", s.projections},
		{"query", s.query},
		{"scan", s.scan},
		{"indexes", s.indexes},
		{"batches", s.batches},
		{"transactions", s.transactions},
		{"capacity", s.capacity},
		{"time to live", s.timeToLive},
		{"streams", s.streamCases},
		{"random", s.random},
	} {
		t.Run(part.name, part.run)
	}
}

const dynamoDBLocal = "DynamoDB Local"

type suite struct {
	client  *dynamodb.Client
	streams *dynamodbstreams.Client
	peer    string // the name of a server with known deviations, or ""
}

var unique atomic.Int64

// name makes a table name that no other test uses.
func name() string {
	return fmt.Sprintf("banyan.test-%d_%d", time.Now().UnixNano(), unique.Add(1))
}

func contextOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// identify finds out which server this is: DynamoDB Local writes "ddblocal" into its ARNs.
func (s *suite) identify(t *testing.T) string {
	table := s.table(t, spec{})
	out, err := s.client.DescribeTable(contextOf(t), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatalf("describe %s: %v", table, err)
	}
	if strings.Contains(aws.ToString(out.Table.TableArn), "ddblocal") {
		return dynamoDBLocal
	}
	return ""
}

// deviates skips the test on DynamoDB Local, which does not do here what the service documents.
func (s *suite) deviates(t *testing.T, how string) {
	t.Helper()
	if s.peer == dynamoDBLocal {
		t.Skipf("%s deviates: %s", s.peer, how)
	}
}

// spec is a table to make: hash key pk and, if sort is set, sort key sk of that type.
type spec struct {
	sort    types.ScalarAttributeType
	extra   []types.AttributeDefinition
	globals []types.GlobalSecondaryIndex
	view    types.StreamViewType
}

func (sp spec) input(table string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions:   append([]types.AttributeDefinition{define("pk", "S")}, sp.extra...),
		KeySchema:              schema("pk", ""),
		GlobalSecondaryIndexes: sp.globals,
	}
	if sp.sort != "" {
		in.AttributeDefinitions = append(in.AttributeDefinitions, define("sk", sp.sort))
		in.KeySchema = schema("pk", "sk")
	}
	if sp.view != "" {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: sp.view}
	}
	return in
}

func define(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: kind}
}

func schema(hash, sort string) []types.KeySchemaElement {
	out := []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}}
	if sort != "" {
		out = append(out, types.KeySchemaElement{AttributeName: &sort, KeyType: types.KeyTypeRange})
	}
	return out
}

// table makes a table, waits until it can be used, and deletes it when the test ends.
func (s *suite) table(t *testing.T, sp spec) string {
	t.Helper()
	table := name()
	if _, err := s.client.CreateTable(contextOf(t), sp.input(table)); err != nil {
		t.Fatalf("create %s: %v", table, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := s.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
		var gone *types.ResourceNotFoundException
		if err != nil && !errors.As(err, &gone) {
			t.Errorf("delete %s: %v", table, err)
		}
	})
	waiter := dynamodb.NewTableExistsWaiter(s.client)
	if err := waiter.Wait(contextOf(t), &dynamodb.DescribeTableInput{TableName: &table}, time.Minute); err != nil {
		t.Fatalf("wait for %s: %v", table, err)
	}
	return table
}

// item is an item as the client knows it.
type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(n any) types.AttributeValue    { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
func bin(b string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(b)} }
func boolean(b bool) types.AttributeValue {
	return &types.AttributeValueMemberBOOL{Value: b}
}
func null() types.AttributeValue { return &types.AttributeValueMemberNULL{Value: true} }
func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: v}
}
func members(m item) types.AttributeValue { return &types.AttributeValueMemberM{Value: m} }
func key(pk, sk string) item              { return item{"pk": str(pk), "sk": str(sk)} }

// with is a copy of the item with more attributes.
func with(it item, more item) item {
	out := item{}
	for k, v := range it {
		out[k] = v
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func (s *suite) put(t *testing.T, table string, it item) {
	t.Helper()
	if _, err := s.client.PutItem(contextOf(t), &dynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		t.Fatalf("put %s: %v", show(it), err)
	}
}

func (s *suite) get(t *testing.T, table string, k item) item {
	t.Helper()
	out, err := s.client.GetItem(contextOf(t), &dynamodb.GetItemInput{TableName: &table, Key: k, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatalf("get %s: %v", show(k), err)
	}
	return out.Item
}

const validation = "ValidationException"

// wantError checks the kind of an error and, if words are given, that its message has them.
func wantError(t *testing.T, err error, code string, words ...string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want a %s", err, code)
	}
	if api.ErrorCode() != code {
		t.Fatalf("got %s (%s), want %s", api.ErrorCode(), api.ErrorMessage(), code)
	}
	for _, w := range words {
		if !strings.Contains(api.ErrorMessage(), w) {
			t.Errorf("the message is %q and lacks %q", api.ErrorMessage(), w)
		}
	}
}

func wantItem(t *testing.T, got, want item) {
	t.Helper()
	if show(got) != show(want) {
		t.Errorf("got  %s\nwant %s", show(got), show(want))
	}
}

// values picks from all placeholders those that the expressions use.
func values(all item, expressions ...*string) item {
	text := ""
	for _, e := range expressions {
		text += " " + aws.ToString(e) + " "
	}
	out := item{}
	for k, v := range all {
		if uses(text, k) {
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// uses reports whether a placeholder occurs in the text, not merely as the beginning of a longer one.
func uses(text, placeholder string) bool {
	for i := range text {
		if strings.HasPrefix(text[i:], placeholder) && !wordAt(text, i+len(placeholder)) {
			return true
		}
	}
	return false
}

func wordAt(text string, i int) bool {
	return i < len(text) && (text[i] == '_' || text[i] >= '0' && text[i] <= '9' || text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z')
}
