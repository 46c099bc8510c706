package dynamodb_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

func makeTable(t testing.TB, client *sdk.Client, name string) {
	t.Helper()
	_, err := client.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: "S"}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: "HASH"}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, client *sdk.Client, table string) int {
	t.Helper()
	out, err := client.Scan(t.Context(), &sdk.ScanInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Items)
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return "no answer"
	}
	return ""
}

// TestFaults lets one put go wrong in every way.
func TestFaults(t *testing.T) {
	var next atomic.Int64
	client := startOnce(t, dynamodb.Config{Fault: func(op, table string) dynamodb.Fault {
		if op != "PutItem" || table != "table" {
			return dynamodb.FaultNone
		}
		return dynamodb.Fault(next.Load())
	}})
	makeTable(t, client, "table")
	for _, c := range []struct {
		fault  dynamodb.Fault
		code   string
		effect int
	}{
		{dynamodb.FaultNone, "", 1},
		{dynamodb.FaultThrottle, "ProvisionedThroughputExceededException", 0},
		{dynamodb.FaultInternal, "InternalServerError", 0},
		{dynamodb.FaultTimeoutBefore, "no answer", 0},
		{dynamodb.FaultTimeoutAfter, "no answer", 1},
		{dynamodb.FaultPartial, "", 1},
		{dynamodb.FaultConflict, "TransactionConflictException", 0},
	} {
		before := count(t, client, "table")
		next.Store(int64(c.fault))
		_, err := client.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("table"), Item: item{"pk": str(fmt.Sprint("fault", c.fault))}})
		if got := codeOf(err); got != c.code {
			t.Errorf("fault %d: %q (%v), want %q", c.fault, got, err, c.code)
		}
		if got := count(t, client, "table") - before; got != c.effect {
			t.Errorf("fault %d: %d items more, want %d", c.fault, got, c.effect)
		}
	}
}

func TestPartialBatches(t *testing.T) {
	client := startOnce(t, dynamodb.Config{Fault: func(op, _ string) dynamodb.Fault {
		if strings.HasPrefix(op, "Batch") {
			return dynamodb.FaultPartial
		}
		return dynamodb.FaultNone
	}})
	makeTable(t, client, "table")
	var writes []types.WriteRequest
	var keys []item
	for i := range 5 {
		keys = append(keys, item{"pk": str(fmt.Sprint(i))})
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: keys[i]}})
	}
	rounds := 0
	for len(writes) > 1 {
		out, err := client.BatchWriteItem(t.Context(), &sdk.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"table": writes}})
		if err != nil {
			t.Fatal(err)
		}
		writes = out.UnprocessedItems["table"]
		rounds++
	}
	if rounds != 2 || count(t, client, "table") != 4 {
		t.Errorf("%d rounds wrote %d items, want 2 and 4", rounds, count(t, client, "table"))
	}
	_, err := client.BatchWriteItem(t.Context(), &sdk.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"table": writes}})
	if codeOf(err) != "ProvisionedThroughputExceededException" {
		t.Errorf("a batch of which nothing can be done: %v", err)
	}
	out, err := client.BatchGetItem(t.Context(), &sdk.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"table": {Keys: keys,
		ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#p"), ExpressionAttributeNames: map[string]string{"#p": "pk"}}}})
	if err != nil {
		t.Fatal(err)
	}
	left := out.UnprocessedKeys["table"]
	if len(left.Keys) != 2 || !aws.ToBool(left.ConsistentRead) || aws.ToString(left.ProjectionExpression) != "#p" || left.ExpressionAttributeNames["#p"] != "pk" {
		t.Errorf("left is %v", left)
	}
}

func TestConflictCancelsTransactions(t *testing.T) {
	client := startOnce(t, dynamodb.Config{Fault: func(op, _ string) dynamodb.Fault {
		if op == "TransactWriteItems" {
			return dynamodb.FaultConflict
		}
		return dynamodb.FaultNone
	}})
	makeTable(t, client, "table")
	_, err := client.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("table"), Item: item{"pk": str("a")}}},
	}})
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) || aws.ToString(canceled.CancellationReasons[0].Code) != "TransactionConflict" || count(t, client, "table") != 0 {
		t.Errorf("got %v", err)
	}
}

// clock is a clock that only moves when told to.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

func newClock() *clock {
	c := &clock{}
	c.now.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func TestExpiry(t *testing.T) {
	clk := newClock()
	client, streams := start(t, dynamodb.Config{Now: clk.Now})
	makeTable(t, client, "table")
	_, err := client.UpdateTimeToLive(t.Context(), &sdk.UpdateTimeToLiveInput{TableName: aws.String("table"),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)}})
	if err != nil {
		t.Fatal(err)
	}
	now := clk.Now().Unix()
	for pk, ttl := range map[string]types.AttributeValue{"soon": num(now + 10), "later": num(now + 1000), "text": str("no time"),
		"ancient": num(now - 6*365*24*3600), "moved": num(now + 10)} {
		if _, err := client.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("table"), Item: item{"pk": str(pk), "ttl": ttl}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: aws.String("table"), Key: item{"pk": str("moved")},
		UpdateExpression: aws.String("SET #t = :t"), ExpressionAttributeNames: map[string]string{"#t": "ttl"}, ExpressionAttributeValues: item{":t": num(now + 500)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := count(t, client, "table"); got != 5 {
		t.Errorf("%d items at first, want 5", got)
	}
	clk.advance(11 * time.Second)
	if got := count(t, client, "table"); got != 4 {
		t.Errorf("%d items after 11 s, want 4", got)
	}
	records := allRecords(t, client, streams, "table")
	last := records[len(records)-1]
	if last.EventName != streamtypes.OperationTypeRemove || last.UserIdentity == nil || aws.ToString(last.UserIdentity.PrincipalId) != "dynamodb.amazonaws.com" {
		t.Errorf("the stream ends with %s by %v", last.EventName, last.UserIdentity)
	}
}

func allRecords(t *testing.T, client *sdk.Client, streams *dynamodbstreams.Client, table string) []streamtypes.Record {
	t.Helper()
	it := iterator(t, client, streams, table, streamtypes.ShardIteratorTypeTrimHorizon)
	page, err := streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: it})
	if err != nil {
		t.Fatal(err)
	}
	return page.Records
}

func iterator(t *testing.T, client *sdk.Client, streams *dynamodbstreams.Client, table string, kind streamtypes.ShardIteratorType) *string {
	t.Helper()
	d, err := client.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	s, err := streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: d.Table.LatestStreamArn})
	if err != nil {
		t.Fatal(err)
	}
	out, err := streams.GetShardIterator(t.Context(),
		&dynamodbstreams.GetShardIteratorInput{StreamArn: d.Table.LatestStreamArn, ShardId: s.StreamDescription.Shards[0].ShardId, ShardIteratorType: kind})
	if err != nil {
		t.Fatal(err)
	}
	return out.ShardIterator
}

// TestStreamsAreBounded keeps so many records, trims the rest, and lets iterators grow old.
func TestStreamsAreBounded(t *testing.T) {
	clk := newClock()
	client, streams := start(t, dynamodb.Config{Now: clk.Now, StreamRecords: 10})
	makeTable(t, client, "table")
	first := iterator(t, client, streams, "table", streamtypes.ShardIteratorTypeTrimHorizon)
	for i := range 35 {
		if _, err := client.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("table"), Item: item{"pk": str(fmt.Sprint(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: first})
	if err != nil || len(page.Records) != 10 || page.Records[9].Dynamodb.Keys["pk"].(*streamtypes.AttributeValueMemberS).Value != "34" {
		t.Fatalf("%d records (%v), want the last 10", len(page.Records), err)
	}
	clk.advance(16 * time.Minute)
	_, err = streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: first})
	if codeOf(err) != "ExpiredIteratorException" {
		t.Errorf("after 16 minutes: %v", err)
	}
}

func TestTokensAreForgotten(t *testing.T) {
	clk := newClock()
	client, _ := start(t, dynamodb.Config{Now: clk.Now})
	makeTable(t, client, "table")
	in := &sdk.TransactWriteItemsInput{ClientRequestToken: aws.String("token"),
		TransactItems: []types.TransactWriteItem{{Update: &types.Update{TableName: aws.String("table"), Key: item{"pk": str("a")},
			UpdateExpression: aws.String("ADD n :n"), ExpressionAttributeValues: item{":n": num(1)}}}}}
	for _, wait := range []time.Duration{0, 9 * time.Minute, 2 * time.Minute} {
		clk.advance(wait)
		if _, err := client.TransactWriteItems(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	out, err := client.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("table"), Key: item{"pk": str("a")}})
	if err != nil || out.Item["n"].(*types.AttributeValueMemberN).Value != "2" {
		t.Errorf("n is %v (%v), want 2: the token holds for ten minutes", out.Item["n"], err)
	}
}

// TestUnknown checks what the sandbox says to what it does not do, over plain HTTP.
func TestUnknown(t *testing.T) {
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	defer server.Close()
	for _, c := range []struct {
		target, body, want string
		status             int
	}{
		{"DynamoDB_20120810.ExecuteStatement", `{}`, "not implemented by the sandbox: ExecuteStatement", 501},
		{"", `{}`, "not implemented by the sandbox", 501},
		{"DynamoDB_20120810.GetItem", `{"TableName":`, "SerializationException", 400},
		{"DynamoDB_20120810.GetItem", `[]`, "SerializationException", 400},
		{"DynamoDB_20120810.GetItem", `{} trailing`, "SerializationException", 400},
		{"DynamoDB_20120810.CreateTable", `{"TableName":7}`, "SerializationException", 400},
		{"DynamoDB_20120810.PutItem", `{"TableName":"t","Item":{"pk":{"B":"not base64!"}}}`, "SerializationException", 400},
		{"DynamoDB_20120810.PutItem", `{"TableName":"none","Item":{"pk":{"S":"a"}},"Expected":{}}`, "not implemented by the sandbox: the parameter Expected", 501},
		{"DynamoDB_20120810.PutItem", `{"TableName":"none","Item":{"pk":{"SS":["a"]}}}`, "not implemented by the sandbox: the sets", 400},
		{"DynamoDB_20120810.CreateTable", `{"TableName":"none","LocalSecondaryIndexes":[]}`,
			"not implemented by the sandbox: the parameter LocalSecondaryIndexes", 501},
		{"DynamoDB_20120810.Query", `{}`, "Either the KeyConditions or KeyConditionExpression parameter must be specified", 400},
		{"DynamoDB_20120810.GetItem", `{}`, "Value null at 'tableName' failed to satisfy constraint", 400},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(c.body))
		req.Header.Set("X-Amz-Target", c.target)
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.want) || resp.Header.Get("X-Amzn-RequestId") == "" {
			t.Errorf("%s %s: %d %s", c.target, c.body, resp.StatusCode, body)
		}
	}
	server.CloseClientConnections()
}

// TestTooLarge: a body that no operation takes is refused unread.
func TestTooLarge(t *testing.T) {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.PutItem")
	r.ContentLength = 100 << 20
	dynamodb.New(dynamodb.Config{}).ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "larger than the 40 MiB") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSimulation(t *testing.T) {
	client, _ := start(t, dynamodb.Config{})
	for seed := uint64(100); seed < 104; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { simulate(t, client, seed, 250) })
	}
}

// TestEverythingAtOnce has the race detector watch all operations on one table.
func TestEverythingAtOnce(t *testing.T) {
	client, streams := start(t, dynamodb.Config{StreamRecords: 50})
	makeTable(t, client, "table")
	table, ctx := aws.String("table"), t.Context()
	works := []func(i int) error{
		func(i int) error {
			_, err := client.UpdateItem(ctx, &sdk.UpdateItemInput{TableName: table, Key: item{"pk": str(fmt.Sprint(i % 7))},
				UpdateExpression: aws.String("ADD n :n"), ExpressionAttributeValues: item{":n": num(1)}})
			return err
		},
		func(i int) error {
			_, err := client.TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: table,
				Item: item{"pk": str("t")}}}, {Delete: &types.Delete{TableName: table, Key: item{"pk": str("u")}}}}})
			return err
		},
		func(i int) error {
			_, err := client.Scan(ctx, &sdk.ScanInput{TableName: table})
			return err
		},
		func(i int) error {
			_, err := client.GetItem(ctx, &sdk.GetItemInput{TableName: table, Key: item{"pk": str("3")}})
			return err
		},
		func(i int) error {
			_, err := streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator(t, client, streams, "table",
				streamtypes.ShardIteratorTypeTrimHorizon)})
			return err
		},
	}
	var wg sync.WaitGroup
	for _, work := range works {
		wg.Go(func() {
			for i := range 40 {
				if err := work(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAnOldSignatureIsRefused(t *testing.T) {
	for ahead, want := range map[time.Duration]string{14 * time.Minute: "", 16 * time.Minute: "InvalidSignatureException: Signature expired"} {
		client := startOnce(t, dynamodb.Config{Now: func() time.Time { return time.Now().Add(ahead) }})
		_, err := client.ListTables(t.Context(), &sdk.ListTablesInput{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s old: %v", ahead, err)
		}
	}
}
