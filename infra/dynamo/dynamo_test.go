package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

func newClient(t *testing.T) *awsdynamodb.Client {
	t.Helper()
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	t.Cleanup(server.Close)
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

func TestEnsureTable(t *testing.T) {
	client := newClient(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var several sync.WaitGroup
	for range 4 { // at the same time
		several.Go(func() {
			if err := dynamo.EnsureTable(ctx, client, dynamo.CompositeTable("things")); err != nil {
				t.Error(err)
			}
		})
	}
	several.Wait()
	key := dynamo.Key("a", "b")
	put := func() error {
		_, err := client.PutItem(ctx, &awsdynamodb.PutItemInput{
			TableName: aws.String("things"), Item: key, ConditionExpression: aws.String("attribute_not_exists(pk)"),
		})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := put(); !dynamo.IsConditionFailed(err) {
		t.Errorf("the second put: %v", err)
	}
	_, err := client.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("things"), Item: dynamo.Key("c", "d")}},
		{Put: &types.Put{TableName: aws.String("things"), Item: key, ConditionExpression: aws.String("attribute_not_exists(pk)")}},
	}})
	if reasons := dynamo.CancellationReasons(err); !dynamo.IsConditionFailed(err) || len(reasons) != 2 || *reasons[1].Code != dynamo.CodeConditionFailed {
		t.Errorf("the transaction: %v, %v", err, reasons)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := dynamo.EnsureTable(ended, client, dynamo.CompositeTable("others")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestAttributes(t *testing.T) {
	item := dynamo.Item{
		"s": dynamo.String("x"), "n": dynamo.Int(-7), "b": dynamo.Bytes([]byte{1}), "t": dynamo.Bool(true),
		"f": &types.AttributeValueMemberN{Value: "1.5"},
	}
	n, err := dynamo.IntOf(item, "n")
	if dynamo.StringOf(item, "s") != "x" || n != -7 || err != nil || dynamo.BytesOf(item, "b")[0] != 1 || !dynamo.BoolOf(item, "t") {
		t.Errorf("%v reads otherwise", item)
	}
	for _, name := range []string{"s", "absent"} { // of another type, or absent
		if n, err := dynamo.IntOf(item, name); n != 0 || err != nil || dynamo.BoolOf(item, name) || dynamo.BytesOf(item, name) != nil {
			t.Errorf("%s is read", name)
		}
	}
	if _, err := dynamo.IntOf(item, "f"); err == nil {
		t.Error("1.5 is a whole number")
	}
	if dynamo.StringOf(item, "n") != "" || dynamo.IsConditionFailed(fmt.Errorf("ConditionalCheckFailedException")) {
		t.Error("mistaken")
	}
}
