package lambda_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/eventually"
	dynamosandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// The stream of a table reaches a function in the shape that AWS documents, so
// that the official event types read it, whatever is in the items.
func TestTableStreamsReachFunctions(t *testing.T) {
	url := sandboxtest.Serve(t, dynamosandbox.New(dynamosandbox.Config{}))
	w := newWorld(t, sandbox.Config{Env: []string{"AWS_ENDPOINT_URL_DYNAMODB_STREAMS=" + url}})
	out := w.function("table", 60, map[string]string{"MODE": "stream"})
	client := dynamodb.NewFromConfig(w.base, func(o *dynamodb.Options) { o.BaseEndpoint = &url })
	table, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("outbox"), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		t.Fatal(err)
	}
	item := map[string]types.AttributeValue{
		"id": &types.AttributeValueMemberS{Value: "<1>"}, "n": &types.AttributeValueMemberN{Value: "12.5"},
		"b": &types.AttributeValueMemberB{Value: []byte{0, 255}}, "t": &types.AttributeValueMemberBOOL{Value: true},
		"z": &types.AttributeValueMemberNULL{Value: true},
		"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberS{Value: "x"}}},
		"m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"k": &types.AttributeValueMemberN{Value: "1"}}},
	}
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("outbox"), Item: item}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("outbox"), Key: map[string]types.AttributeValue{"id": item["id"]},
	}); err != nil {
		t.Fatal(err)
	}
	w.mapping("table", *table.TableDescription.LatestStreamArn, lambda.CreateEventSourceMappingInput{ParallelizationFactor: aws.Int32(2)})
	var got []events.DynamoDBEventRecord
	eventually.True(t, "both changes are seen", func() bool {
		got = nil
		for _, l := range lines(t, out, "dynamodb") {
			got = append(got, parse[events.DynamoDBEvent](t, []byte(l)).Records...)
		}
		return len(got) == 2
	})
	put, del := got[0], got[1]
	if put.EventName != "INSERT" || del.EventName != "REMOVE" || put.EventSource != "aws:dynamodb" || put.AWSRegion != "us-east-1" ||
		put.EventSourceArn != *table.TableDescription.LatestStreamArn || put.EventID == "" || put.Change.SequenceNumber == "" ||
		put.Change.StreamViewType != "NEW_AND_OLD_IMAGES" || put.Change.Keys["id"].String() != "<1>" ||
		put.Change.ApproximateCreationDateTime.IsZero() || put.Change.SizeBytes == 0 {
		t.Errorf("got %+v", got)
	}
	image := string(encode(t, put.Change.NewImage))
	want := `{"b":{"B":"AP8="},"id":{"S":"<1>"},"l":{"L":[{"S":"x"}]},"m":{"M":{"k":{"N":"1"}}},` +
		`"n":{"N":"12.5"},"t":{"BOOL":true},"z":{"NULL":true}}`
	if image != string(encode(t, json.RawMessage(want))) || string(encode(t, del.Change.OldImage)) != image {
		t.Errorf("the image is %s", image)
	}
}
