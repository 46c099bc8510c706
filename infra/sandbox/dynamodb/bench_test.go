package dynamodb_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// send calls the handler without a network between.
func send(b *testing.B, s *dynamodb.Server, operation, body string) {
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		b.Fatalf("%s: %s", operation, w.Body)
	}
}

// BenchmarkOperations measures requests on a table of 10,000 items, without the network and the
// client, which cost more than what is measured here.
func BenchmarkOperations(b *testing.B) {
	s := dynamodb.New(dynamodb.Config{})
	send(b, s, "CreateTable", `{"TableName":"table","BillingMode":"PAY_PER_REQUEST",`+
		`"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"}],`+
		`"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]}`)
	put := func(i int) string {
		return fmt.Sprintf(`{"TableName":"table","Item":{"pk":{"S":"user#%d"},"sk":{"S":"post#%08d"},"text":{"S":"%s"},"n":{"N":"%d"}},`+
			`"ConditionExpression":"attribute_not_exists(pk) OR n <= :n",`+
			`"ExpressionAttributeValues":{":n":{"N":"%d"}}}`, i%100, i%10_000, strings.Repeat("x", 120), i, i)
	}
	for i := range 10_000 {
		send(b, s, "PutItem", put(i))
	}
	serial := 0
	for _, c := range []struct {
		operation string
		body      func(i int) string
	}{
		{"PutItem", func(i int) string { return put(i + 10_000) }},
		{"GetItem", func(i int) string {
			return fmt.Sprintf(`{"TableName":"table","Key":{"pk":{"S":"user#%d"},"sk":{"S":"post#%08d"}}}`, i%100, i%10_000)
		}},
		{"UpdateItem", func(i int) string {
			serial++
			return fmt.Sprintf(`{"TableName":"table","Key":{"pk":{"S":"user#%d"},"sk":{"S":"counter"}},`+
				`"UpdateExpression":"ADD #c :one SET seen = :s","ConditionExpression":"attribute_not_exists(seen) OR seen <> :s",`+
				`"ExpressionAttributeNames":{"#c":"count"},"ExpressionAttributeValues":{":one":{"N":"1"},":s":{"S":"%d"}}}`, i%100, serial)
		}},
		{"Query", func(i int) string {
			return fmt.Sprintf(`{"TableName":"table","KeyConditionExpression":"pk = :p AND begins_with(sk, :s)",`+
				`"ExpressionAttributeValues":{":p":{"S":"user#%d"},":s":{"S":"post#"}},"ScanIndexForward":false,"Limit":20}`, i%100)
		}},
		{"TransactWriteItems", func(i int) string {
			return fmt.Sprintf(`{"TransactItems":[{"Put":{"TableName":"table","Item":{"pk":{"S":"t#%d"},"sk":{"S":"x"}}}},`+
				`{"Update":{"TableName":"table","Key":{"pk":{"S":"t#%d"},"sk":{"S":"y"}},"UpdateExpression":"ADD n :n",`+
				`"ExpressionAttributeValues":{":n":{"N":"1"}}}},`+
				`{"ConditionCheck":{"TableName":"table","Key":{"pk":{"S":"user#1"},"sk":{"S":"post#00000001"}},`+
				`"ConditionExpression":"attribute_exists(pk)"}}]}`, i%500, i%500)
		}},
	} {
		b.Run(c.operation, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				send(b, s, c.operation, c.body(i))
			}
		})
	}
}
