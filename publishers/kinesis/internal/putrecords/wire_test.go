package putrecords_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

const (
	jsonType = "application/x-amz-json-1.1"
	cborType = "application/x-amz-cbor-1.1"
)

// wireRecord and wireRequest are a body as a server reads it.
type wireRecord struct {
	Data            []byte
	ExplicitHashKey *string
	PartitionKey    string
}

type wireRequest struct {
	Records    []wireRecord
	StreamName string
}

// keys that an encoding may get wrong.
var oddKeys = []string{
	"k", "59b99db4cfa9a34dcd7885b6", `quote " and \ backslash`, "line\nbreak\ttab\x01", "<html>&amp;", "schlüssel", "鍵\u2028",
	"\U0001f333", "bad \xff UTF-8", "del\x7f", strings.Repeat("k", 23), strings.Repeat("k", 24), strings.Repeat("ж", 256),
}

// fill adds the same random records to r and returns them for the SDK.
func fill(r *putrecords.Request, rnd *rand.Rand) []types.PutRecordsRequestEntry {
	r.Reset(stream)
	var plain []types.PutRecordsRequestEntry
	for i := range 1 + rnd.IntN(40) {
		entry := types.PutRecordsRequestEntry{PartitionKey: aws.String(oddKeys[rnd.IntN(len(oddKeys))])}
		hash := ""
		if rnd.IntN(2) == 0 {
			hash = fmt.Sprint(rnd.Uint64())
			entry.ExplicitHashKey = &hash
		}
		if rnd.IntN(3) == 0 {
			b := randomAggregate(rnd, i)
			entry.Data = b.Append(nil)
			r.AddAggregate(*entry.PartitionKey, hash, b)
		} else {
			entry.Data = filler(1+rnd.IntN(300), i)
			r.Add(*entry.PartitionKey, hash, entry.Data)
		}
		plain = append(plain, entry)
	}
	return plain
}

func randomAggregate(rnd *rand.Rand, seed int) *aggregate.Builder {
	b := new(aggregate.Builder)
	for i := range 1 + rnd.IntN(20) {
		b.Add(aggregate.Record{PartitionKey: fmt.Sprint("key", rnd.IntN(5)), Data: filler(1+rnd.IntN(2000), seed+i)})
	}
	return b
}

// success answers as many records as there are, of whatever encoding.
func success(got received, w http.ResponseWriter) {
	var request wireRequest
	if got.Header.Get("Content-Type") == cborType {
		_ = cbor.Unmarshal(got.body, &request)
	} else {
		_ = json.Unmarshal(got.body, &request)
	}
	answer := map[string]any{"FailedRecordCount": 0, "Records": results(len(request.Records))}
	w.Header().Set("Content-Type", got.Header.Get("Content-Type"))
	w.Header().Set("X-Amzn-RequestId", "request-1")
	if got.Header.Get("Content-Type") == cborType {
		text, _ := cbor.Marshal(answer)
		_, _ = w.Write(text)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func results(n int) []map[string]string {
	out := make([]map[string]string, n)
	for i := range out {
		out[i] = map[string]string{"SequenceNumber": fmt.Sprint("4959", i), "ShardId": "shardId-000000000001"}
	}
	return out
}

func TestJSONIsWhatTheSDKSends(t *testing.T) {
	rec, url := record(t, success)
	client := newClient(t, url)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var r putrecords.Request
	for range 50 {
		plain := fill(&r, rnd)
		answers, err := r.Send(t.Context(), client)
		if err != nil || len(answers) != len(plain) {
			t.Fatalf("seed %d: %d answers to %d records: %v", seed, len(answers), len(plain), err)
		}
		ours := rec.last(t)
		if _, err := client.PutRecords(t.Context(), &awskinesis.PutRecordsInput{StreamName: aws.String(stream), Records: plain}); err != nil {
			t.Fatal(err)
		}
		theirs := rec.last(t)
		if want, got := decodeJSON(t, theirs.body), decodeJSON(t, ours.body); !reflect.DeepEqual(want, got) {
			t.Fatalf("seed %d: the SDK's and ours: %s", seed, cmp.Diff(want, got))
		}
		if diff := cmp.Diff(common(theirs), common(ours)); diff != "" {
			t.Fatalf("seed %d: the SDK's header and ours: %s", seed, diff)
		}
		checkSignature(t, ours)
	}
}

func decodeJSON(t *testing.T, body []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

// common is what must be the same in two requests.
func common(got received) http.Header {
	h := got.Header.Clone()
	h.Set("Host", got.Host)
	h.Set("Path", got.Method+" "+got.URL.String())
	h.Del("Content-Length") // of bodies that may differ in escapes
	for _, once := range []string{"Authorization", "X-Amz-Date", "Amz-Sdk-Invocation-Id"} {
		if h.Get(once) == "" {
			h.Set(once, "is missing")
		} else {
			h.Del(once)
		}
	}
	return h
}

// checkSignature signs the request as it came and compares.
func checkSignature(t *testing.T, got received) {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", got.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := http.NewRequest(got.Method, "http://"+got.Host+got.URL.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, signed, _ := strings.Cut(got.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if values := got.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	again.ContentLength = int64(len(got.body))
	sum := sha256.Sum256(got.body)
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, again, hex.EncodeToString(sum[:]), "kinesis", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
	if want, got := again.Header.Get("Authorization"), got.Header.Get("Authorization"); got != want {
		t.Fatalf("the signature is %s\nand should be %s", got, want)
	}
}

func TestCBORHasTheSameContent(t *testing.T) {
	rec, url := record(t, success)
	client := newClient(t, url)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	r := putrecords.Request{Encoding: putrecords.CBOR}
	for range 50 {
		plain := fill(&r, rnd)
		answers, err := r.Send(t.Context(), client)
		if err != nil || len(answers) != len(plain) || answers[0].SequenceNumber != "49590" {
			t.Fatalf("seed %d: %v %v", seed, answers, err)
		}
		got := rec.last(t)
		want := wireRequest{StreamName: stream}
		for _, e := range plain {
			want.Records = append(want.Records, wireRecord{e.Data, e.ExplicitHashKey, string([]rune(*e.PartitionKey))})
		}
		var request wireRequest
		if err := strict(t).Unmarshal(got.body, &request); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !reflect.DeepEqual(want, request) { // cmp is slow on bytes
			t.Fatalf("seed %d: %s", seed, cmp.Diff(want, request))
		}
		if h := got.Header; h.Get("Content-Type") != cborType || h.Get("X-Amz-Target") != "Kinesis_20131202.PutRecords" {
			t.Fatal(h)
		}
		checkSignature(t, got)
	}
}

func strict(t *testing.T) cbor.DecMode {
	t.Helper()
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, UTF8: cbor.UTF8RejectInvalid}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	return mode
}

func TestAnotherClientGetsAllRecords(t *testing.T) {
	rec, url := record(t, success)
	wrapped := struct{ putrecords.API }{newClient(t, url)}
	r := putrecords.Request{Encoding: putrecords.CBOR}
	plain := fill(&r, rand.New(rand.NewPCG(1, 1)))
	answers, err := r.Send(t.Context(), wrapped)
	if err != nil || len(answers) != len(plain) || answers[0].ShardID != "shardId-000000000001" {
		t.Fatal(answers, err)
	}
	if _, err := newClient(t, url).PutRecords(t.Context(), &awskinesis.PutRecordsInput{StreamName: aws.String(stream), Records: plain}); err != nil {
		t.Fatal(err)
	}
	if string(rec.seen[0].body) != string(rec.seen[1].body) {
		t.Error("not what was added")
	}
}

func TestSizeIsWhatTheServiceCounts(t *testing.T) {
	var r putrecords.Request
	for _, e := range fill(&r, rand.New(rand.NewPCG(2, 2))) {
		r.Add(*e.PartitionKey, "", e.Data)
	}
	n := r.Len() / 2
	want := 0
	for _, e := range fill(&r, rand.New(rand.NewPCG(2, 2))) {
		want += len(*e.PartitionKey) + len(e.Data)
	}
	if r.Size() != want || r.Len() != n {
		t.Errorf("%d bytes in %d records, want %d in %d", r.Size(), r.Len(), want, n)
	}
}

// TestCBORIsWhatTheSDKForJavaSends compares with bytes that Amazon's SDK for
// Java sent; see TestJavaSDK of infra/sandbox/kinesis, which wrote them down.
func TestCBORIsWhatTheSDKForJavaSends(t *testing.T) {
	text, err := os.ReadFile("../../../../infra/sandbox/kinesis/testdata/putrecords-java.hex")
	if err != nil {
		t.Fatal(err)
	}
	rec, url := record(t, success)
	r := putrecords.Request{Encoding: putrecords.CBOR}
	r.Reset("s")
	r.Add("k", "", []byte{0, 0xff})
	r.Add("schlüssel", "7", []byte("→"))
	r.Add(strings.Repeat("k", 256), "", make([]byte, 300))
	if _, err := r.Send(t.Context(), newClient(t, url)); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(rec.last(t).body), strings.TrimSpace(string(text)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
