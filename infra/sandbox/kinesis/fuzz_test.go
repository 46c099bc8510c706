package kinesis_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

func call(t *testing.T, server http.Handler, operation, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", sandbox.Target+"."+operation)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s %s: answer %q", operation, body, w.Body)
	}
	return w
}

// FuzzCalls: whatever a client sends, it gets an answer in JSON and never the
// sandbox's own failure.
func FuzzCalls(f *testing.F) {
	f.Add("PutRecord", `{"StreamName":"s","Data":"eA==","PartitionKey":"k","ExplicitHashKey":"340282366920938463463374607431768211455"}`)
	f.Add("PutRecords", `{"StreamName":"s","Records":[{"Data":"eA==","PartitionKey":"\ud800"}]}`)
	f.Add("GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"49"}`)
	f.Add("GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"AT_TIMESTAMP","Timestamp":-1e10}`)
	f.Add("GetRecords", `{"ShardIterator":"`+base64.StdEncoding.EncodeToString([]byte("s/0/1/18446744073709551615/0"))+`"}`)
	f.Add("SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"1"}`)
	f.Add("MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000000"}`)
	f.Add("UpdateShardCount", `{"StreamName":"s","TargetShardCount":4611686018427387904,"ScalingType":"UNIFORM_SCALING"}`)
	f.Add("ListShards", `{"NextToken":"e30"}`)
	f.Add("ListShards", `{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1e300}}`)
	f.Add("CreateStream", `{"StreamName":"t","ShardCount":1000000000000}`)
	f.Fuzz(func(t *testing.T, operation, body string) {
		now := time.Unix(1_700_000_000, 0)
		server, err := sandbox.New(sandbox.Config{Now: func() time.Time { return now }})
		must(t, err)
		call(t, server, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
		now = now.Add(time.Second)
		if w := call(t, server, operation, body); w.Code >= 500 {
			t.Errorf("%s %s: %d %s", operation, body, w.Code, w.Body)
		}
		now = now.Add(time.Second)
		if w := call(t, server, "DescribeStream", `{"StreamName":"s"}`); w.Code >= 500 {
			t.Errorf("after %s %s: %d %s", operation, body, w.Code, w.Body)
		}
	})
}
