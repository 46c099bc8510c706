package dynamodb_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func putRequest(it item) types.WriteRequest {
	return types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}
}

func deleteRequest(k item) types.WriteRequest {
	return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: k}}
}

func (s *suite) batches(t *testing.T) {
	t.Run("write and read several tables", s.batchTwoTables)
	t.Run("are refused whole", s.badBatches)
	t.Run("read no more than 16 MB", s.largeBatchGet)
}

func (s *suite) batchTwoTables(t *testing.T) {
	ctx, first, second := contextOf(t), s.table(t, spec{sort: "S"}), s.table(t, spec{})
	s.put(t, first, key("old", "x"))
	var writes []types.WriteRequest
	var keys []map[string]types.AttributeValue
	for i := range 20 {
		it := with(key("p", strconv.Itoa(i)), item{"n": num(strconv.Itoa(i)), "x": str("x")})
		writes, keys = append(writes, putRequest(it)), append(keys, key("p", strconv.Itoa(i)))
	}
	out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
		first:  append(writes, deleteRequest(key("old", "x")), deleteRequest(key("never", "there"))),
		second: {putRequest(everything("e"))},
	}})
	if err != nil || len(out.UnprocessedItems) > 0 {
		t.Fatalf("left %v, %v", out, err)
	}
	read, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		first:  {Keys: append(keys, key("old", "x")), ProjectionExpression: aws.String("sk, #n"), ExpressionAttributeNames: map[string]string{"#n": "n"}},
		second: {Keys: []map[string]types.AttributeValue{{"pk": str("e")}}, ConsistentRead: aws.Bool(true)},
	}})
	if err != nil || len(read.UnprocessedKeys) > 0 {
		t.Fatalf("left %v, %v", read, err)
	}
	if len(read.Responses[first]) != 20 {
		t.Errorf("%d items, want the 20 that are there", len(read.Responses[first]))
	}
	for _, it := range read.Responses[first] {
		wantItem(t, it, item{"sk": str(it["n"].(*types.AttributeValueMemberN).Value), "n": it["n"]})
	}
	wantItem(t, read.Responses[second][0], everything("e"))
}

func (s *suite) badBatches(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "S"})
	good := putRequest(key("good", "1"))
	many := make([]types.WriteRequest, 26)
	keys := make([]map[string]types.AttributeValue, 101)
	for i := range keys {
		keys[i] = key("p", strconv.Itoa(i))
		many[i%26] = putRequest(keys[i])
	}
	for what, c := range map[string]struct {
		requests []types.WriteRequest
		words    string
	}{
		"none":           {nil, "The batch write request list for a table cannot be null or empty"},
		"too many":       {many, "Too many items requested for the BatchWriteItem call"},
		"twice the same": {[]types.WriteRequest{good, putRequest(key("a", "b")), deleteRequest(key("a", "b"))}, "Provided list of item keys contains duplicates"},
		"a missing key":  {[]types.WriteRequest{good, putRequest(item{"pk": str("a")})}, ""},
		"a wrong key":    {[]types.WriteRequest{good, deleteRequest(item{"pk": str("a")})}, ""},
		"a large item": {[]types.WriteRequest{good, putRequest(with(key("a", "b"), item{"x": str(strings.Repeat("x", 400<<10))}))},
			"Item size has exceeded the maximum allowed size"},
		"an empty request": {[]types.WriteRequest{good, {}}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: c.requests}})
			wantError(t, err, validation, c.words)
		})
	}
	wantItem(t, s.get(t, table, key("good", "1")), nil)
	_, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"no.such.table": {good}}})
	wantError(t, err, "ResourceNotFoundException")
	for what, ks := range map[string][]map[string]types.AttributeValue{
		"Too many items requested for the BatchGetItem call": keys,
		"Provided list of item keys contains duplicates":     {key("a", "b"), key("a", "b")},
		"The list of keys in RequestItems for BatchGetItem":  {},
		"": {item{"pk": str("a")}},
	} {
		_, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: ks}}})
		wantError(t, err, validation, what)
	}
}

func (s *suite) largeBatchGet(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	text := strings.Repeat("x", 390<<10)
	keys := make([]map[string]types.AttributeValue, 50)
	for i := range keys {
		keys[i] = item{"pk": str(strconv.Itoa(i))}
		s.put(t, table, with(keys[i], item{"x": str(text)}))
	}
	seen, rounds := 0, 0
	for left := keys; len(left) > 0; rounds++ {
		if rounds > 10 {
			t.Fatal("no end of unprocessed keys")
		}
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: left}}})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(out.Responses[table])
		left = out.UnprocessedKeys[table].Keys
	}
	if seen != len(keys) || rounds < 2 {
		t.Errorf("%d of %d items of 390 KB in %d rounds, want all and more than one round", seen, len(keys), rounds)
	}
}
