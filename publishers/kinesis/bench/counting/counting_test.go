package counting_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/fxamacker/cbor/v2"

	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
)

// start serves the streams and gives the SDK's client of them.
func start(t *testing.T, streams ...counting.Stream) (*counting.Server, *kinesis.Client, string) {
	t.Helper()
	s := counting.NewServer(streams...)
	front := httptest.NewServer(s)
	transport := &http.Transport{}
	t.Cleanup(func() { transport.CloseIdleConnections(); front.Close() })
	return s, kinesis.New(kinesis.Options{
		Region: "eu-west-1", BaseEndpoint: &front.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}), front.URL
}

func put(t *testing.T, client *kinesis.Client, stream string, records ...types.PutRecordsRequestEntry) *kinesis.PutRecordsOutput {
	t.Helper()
	out, err := client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &stream, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Records) != len(records) {
		t.Fatalf("%d answers to %d records", len(out.Records), len(records))
	}
	return out
}

func number(t *testing.T, decimal *string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(aws.ToString(decimal), 10)
	if !ok {
		t.Fatalf("%q is not a number", aws.ToString(decimal))
	}
	return n
}

// Each answer names the shard in whose listed range the hash of the key is, and
// the ranges are without gaps.
func TestRecordsAreInTheListedShard(t *testing.T) {
	for _, shards := range []int{1, 3, 4, 7} {
		_, client, _ := start(t, counting.Stream{Name: "s", Shards: shards})
		list, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
		if err != nil || len(list.Shards) != shards {
			t.Fatalf("%d shards, %v, want %d", len(list.Shards), err, shards)
		}
		next := new(big.Int)
		for _, s := range list.Shards {
			if number(t, s.HashKeyRange.StartingHashKey).Cmp(next) != 0 {
				t.Fatalf("shard %s begins at %s, want %v", *s.ShardId, *s.HashKeyRange.StartingHashKey, next)
			}
			next.Add(number(t, s.HashKeyRange.EndingHashKey), big.NewInt(1))
		}
		if next.Cmp(new(big.Int).Lsh(big.NewInt(1), 128)) != 0 {
			t.Fatalf("the last shard ends before %v", next)
		}
		last := new(big.Int)
		for i := range 200 {
			key := fmt.Sprintf("key %d \" ü", i)
			sum := md5.Sum([]byte(key))
			hash := new(big.Int).SetBytes(sum[:])
			out := put(t, client, "s",
				types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte("x")},
				types.PutRecordsRequestEntry{PartitionKey: aws.String("other"), ExplicitHashKey: aws.String(hash.String()), Data: []byte("x")})
			for _, answer := range out.Records {
				if sequence := number(t, answer.SequenceNumber); len(*answer.SequenceNumber) != 56 || sequence.Cmp(last) <= 0 {
					t.Fatalf("sequence number %v after %v", sequence, last)
				} else {
					last = sequence
				}
				for _, s := range list.Shards {
					inside := number(t, s.HashKeyRange.StartingHashKey).Cmp(hash) <= 0 && hash.Cmp(number(t, s.HashKeyRange.EndingHashKey)) <= 0
					if inside != (*s.ShardId == *answer.ShardId) {
						t.Fatalf("%q is answered to be in %s", key, *answer.ShardId)
					}
				}
			}
		}
	}
}

func TestCheckCountsEventsAndFindsMisplacedOnes(t *testing.T) {
	server, client, _ := start(t, counting.Stream{Name: "s", Shards: 2, Check: true})
	var b aggregate.Builder
	var right int64
	for i := range 100 {
		key := fmt.Sprint(i)
		if sum := md5.Sum([]byte(key)); sum[0] < 128 {
			right++
		}
		b.Add(aggregate.Record{PartitionKey: key, Data: []byte("x")})
	}
	put(t, client, "s",
		types.PutRecordsRequestEntry{PartitionKey: aws.String("a"), ExplicitHashKey: aws.String("0"), Data: b.Append(nil)},
		types.PutRecordsRequestEntry{PartitionKey: aws.String("a"), Data: []byte("plain")})
	got := server.Counts("s")
	if got.Requests != 1 || got.Records != 2 || got.Events != 101 || got.Misplaced != 100-right || right == 0 || right == 100 {
		t.Errorf("got %+v, %d of 100 are in the right shard", got, right)
	}
}

func TestTheFirstShardIsThrottledHalfTheTime(t *testing.T) {
	server, client, _ := start(t, counting.Stream{Name: "s", Shards: 2, ThrottleFirst: 20 * time.Millisecond})
	refused, kept := 0, 0
	for deadline := time.Now().Add(time.Minute); (refused < 5 || kept < 5) && time.Now().Before(deadline); {
		out := put(t, client, "s",
			types.PutRecordsRequestEntry{PartitionKey: aws.String("a"), ExplicitHashKey: aws.String("0"), Data: []byte("x")},
			types.PutRecordsRequestEntry{PartitionKey: aws.String("a"), ExplicitHashKey: aws.String("340282366920938463463374607431768211455"), Data: []byte("x")})
		first, second := out.Records[0], out.Records[1]
		if second.SequenceNumber == nil || second.ErrorCode != nil {
			t.Fatalf("the other shard answers %+v", second)
		}
		if aws.ToInt32(out.FailedRecordCount) == 0 {
			kept++
			continue
		}
		if aws.ToString(first.ErrorCode) != "ProvisionedThroughputExceededException" || first.SequenceNumber != nil {
			t.Fatalf("the throttled shard answers %+v", first)
		}
		refused++
	}
	got := server.Counts("s")
	if refused < 5 || kept < 5 || got.Refused != int64(refused) || got.Records != int64(refused+2*kept) {
		t.Errorf("refused %d, kept %d, counted %+v", refused, kept, got)
	}
}

// The CBOR here is an independent library's.
func TestCBORIsAnsweredAsJSONIs(t *testing.T) {
	server, _, url := start(t, counting.Stream{Name: "s", Shards: 2, ThrottleFirst: time.Nanosecond, Check: true})
	body, err := cbor.Marshal(map[string]any{
		"StreamName": "s", "Unknown": map[string]any{"a": []any{1, -1, nil, []byte("b"), 1.5, map[string]int{}}},
		"Records": []map[string]any{
			{"PartitionKey": "key", "ExplicitHashKey": "340282366920938463463374607431768211455", "Data": bytes.Repeat([]byte("x"), 70_000)},
			{"PartitionKey": "key", "ExplicitHashKey": "0", "Data": []byte("x")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		status, media, answer := post(t, url, "Kinesis_20131202.PutRecords", "application/x-amz-cbor-1.1", body)
		var got struct {
			FailedRecordCount int
			Records           []struct{ SequenceNumber, ShardId, ErrorCode, ErrorMessage string }
		}
		if err := cbor.Unmarshal(answer, &got); err != nil || status != 200 || media != "application/x-amz-cbor-1.1" || len(got.Records) != 2 {
			t.Fatalf("%d, %s, %x, %v", status, media, answer, err)
		}
		if r := got.Records[0]; len(r.SequenceNumber) != 56 || r.ShardId != "shardId-000000000001" || r.ErrorCode != "" {
			t.Fatalf("got %+v", got)
		}
		if got.FailedRecordCount == 1 && got.Records[1].ErrorCode == "ProvisionedThroughputExceededException" && server.Counts("s").Events > 1 {
			return // both kinds of answer have been read
		}
	}
	t.Error("nothing was refused")
}

func post(t *testing.T, url, target, media string, body []byte) (status int, answered string, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("X-Amz-Target", target)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), answer
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	_, _, url := start(t, counting.Stream{Name: "s"})
	const js = "application/x-amz-json-1.1"
	for _, tc := range []struct{ target, media, body, want string }{
		{"Kinesis_20131202.PutRecords", js, `{"StreamName":"t","Records":[]}`, `no stream \"t\"`},
		{"Kinesis_20131202.PutRecords", js, `{"StreamName":"s","Records":[{"Data":"eA=="}]}`, "without partition key"},
		{"Kinesis_20131202.PutRecords", js, `{"StreamName":"s","Records":[{"Data":"eA==","PartitionKey":"k","ExplicitHashKey":"x"}]}`, "not a hash key"},
		{"Kinesis_20131202.PutRecords", js, `{"StreamName":"s","Records":[`, "malformed body"},
		{"Kinesis_20131202.PutRecords", "text/plain", `{}`, "neither"},
		{"Kinesis_20131202.PutRecords", "application/x-amz-cbor-1.1", "\xa1\x64", "cbor"},
		{"Kinesis_20131202.GetRecords", js, `{"StreamName":"s"}`, "GetRecords"},
	} {
		status, _, answer := post(t, url, tc.target, tc.media, []byte(tc.body))
		if status != http.StatusBadRequest || !strings.Contains(string(answer), tc.want) {
			t.Errorf("%s: %d %s, want %q", tc.body, status, answer, tc.want)
		}
	}
}

func TestCountsCanBeAsked(t *testing.T) {
	_, client, url := start(t, counting.Stream{Name: "s"})
	put(t, client, "s", types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte("x")})
	res, err := http.Get(url + "/counts/s")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	var got counting.Counts
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Requests != 1 || got.Records != 1 || got.Bytes == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
