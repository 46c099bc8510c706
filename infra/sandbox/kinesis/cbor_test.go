package kinesis_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/fxamacker/cbor/v2"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

const (
	jsonType = "application/x-amz-json-1.1"
	cborType = "application/x-amz-cbor-1.1"
)

// translator makes the SDK's client one that speaks CBOR: on the way out it
// writes what the client said in JSON as Amazon's SDK for Java would, and on the
// way back the reverse.
type translator struct {
	transport http.RoundTripper
	answered  atomic.Int64 // in CBOR
}

func inCBOR(o *kinesis.Options) {
	client := o.HTTPClient.(*http.Client)
	o.HTTPClient = &http.Client{Transport: &translator{transport: client.Transport}}
}

func (tr *translator) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if body, err = toCBOR(body); err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Header.Set("Content-Type", cborType)
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := tr.transport.RoundTrip(again)
	if err != nil {
		return nil, err
	}
	return tr.translate(resp)
}

func (tr *translator) translate(resp *http.Response) (*http.Response, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if got := resp.Header.Get("Content-Type"); got != cborType {
			return nil, fmt.Errorf("an answer of status %d in %s: %s", resp.StatusCode, got, body)
		}
		if body, err = toJSON(body); err != nil {
			return nil, err
		}
		tr.answered.Add(1)
	}
	resp.Header.Set("Content-Type", jsonType)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// toCBOR knows which members are bytes or timestamps.
func toCBOR(text []byte) ([]byte, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	v, err := typed("", v)
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(v)
}

func typed(name string, v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if v[k], err = typed(k, v[k]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = typed("", v[i]); err != nil {
				return nil, err
			}
		}
	case string:
		if name == "Data" {
			return base64.StdEncoding.DecodeString(v)
		}
	case json.Number:
		if name == "Timestamp" {
			seconds, err := v.Float64()
			return cbor.Tag{Number: 1, Content: int64(seconds * 1000)}, err
		}
		return v.Int64()
	}
	return v, nil
}

var manyItems = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: 100_000}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func toJSON(body []byte) ([]byte, error) {
	var v any
	if err := manyItems.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("an answer %x: %w", body, err)
	}
	v, err := untyped("", v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func untyped(name string, v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[any]any:
		out := make(map[string]any)
		for k, member := range v {
			if out[k.(string)], err = untyped(k.(string), member); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		for i := range v {
			if v[i], err = untyped("", v[i]); err != nil {
				return nil, err
			}
		}
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case time.Time: // the tag 1, which stands for seconds elsewhere
		return float64(v.Unix()) / 1000, nil
	case uint64:
		if strings.HasSuffix(name, "Timestamp") { // kinesis-local leaves the tag out
			return float64(v) / 1000, nil
		}
	}
	return v, nil
}

// TestSandboxConformsInCBOR runs the suite of what Banyan relies on once more.
func TestSandboxConformsInCBOR(t *testing.T) {
	_, c := serve(t, sandbox.Config{}, inCBOR)
	conforms(t, c)
	if n := c.Options().HTTPClient.(*http.Client).Transport.(*translator).answered.Load(); n < 100 {
		t.Errorf("%d answers in CBOR", n)
	}
}

// TestPeerConformsInCBOR is the witness that this is how CBOR is used.
func TestPeerConformsInCBOR(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_KINESIS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_KINESIS is not set")
	}
	conforms(t, client(t, url, inCBOR), peerDiffers...)
}

func callInCBOR(t *testing.T, server http.Handler, operation string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", sandbox.Target+"."+operation)
	r.Header.Set("Content-Type", cborType)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Header().Get("Content-Type") != cborType || w.Body.Len() > 0 && cbor.Wellformed(w.Body.Bytes()) != nil {
		t.Errorf("%s: answer in %s: %x", operation, w.Header().Get("Content-Type"), w.Body)
	}
	return w
}

func mustCBOR(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	must(t, err)
	return b
}

// TestReadsWhatTheSDKForJavaWrites: maps and arrays without a length, timestamps
// in milliseconds. Written by hand.
func TestReadsWhatTheSDKForJavaWrites(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	server, err := sandbox.New(sandbox.Config{Now: func() time.Time { return now }})
	must(t, err)
	callInCBOR(t, server, "CreateStream", []byte("\xbf\x6aStreamName\x61s\x6aShardCount\x01\xff"))
	now = now.Add(time.Second)
	w := callInCBOR(t, server, "PutRecords", []byte("\xbf\x67Records\x9f"+
		"\xbf\x64Data\x42\x00\xff\x6cPartitionKey\x61k\xff\xbf\x64Data\x41x\x6fExplicitHashKey\x617\x6cPartitionKey\x61l\xff\xff\x6aStreamName\x61s\xff"))
	var put struct{ Records []map[string]string }
	if err := cbor.Unmarshal(w.Body.Bytes(), &put); err != nil || len(put.Records) != 2 || put.Records[1]["ShardId"] != "shardId-000000000000" {
		t.Fatalf("%v %v", put, err)
	}
	w = callInCBOR(t, server, "GetShardIterator", []byte("\xbf\x6aStreamName\x61s\x67ShardId\x74shardId-000000000000"+
		"\x71ShardIteratorType\x6cAT_TIMESTAMP\x69Timestamp\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x00\xff"))
	var it struct{ ShardIterator string }
	must(t, cbor.Unmarshal(w.Body.Bytes(), &it))
	w = callInCBOR(t, server, "GetRecords", mustCBOR(t, it))
	var got struct {
		Records []struct {
			Data                        []byte
			PartitionKey                string
			ApproximateArrivalTimestamp cbor.RawTag
		}
	}
	must(t, cbor.Unmarshal(w.Body.Bytes(), &got))
	if len(got.Records) != 2 || string(got.Records[0].Data) != "\x00\xff" || got.Records[1].PartitionKey != "l" {
		t.Fatalf("%+v", got)
	}
	if at := got.Records[0].ApproximateArrivalTimestamp; at.Number != 1 || !bytes.Equal(at.Content, mustCBOR(t, now.UnixMilli())) {
		t.Errorf("arrived at %+v", at)
	}
}

func TestErrorsInCBOR(t *testing.T) {
	server, err := sandbox.New(sandbox.Config{})
	must(t, err)
	nested := bytes.Repeat([]byte{0x81}, 1000)
	for name, test := range map[string]struct {
		operation string
		body      []byte
		want      string
	}{
		"no such stream": {"DescribeStream", mustCBOR(t, map[string]string{"StreamName": "s"}), "ResourceNotFoundException"},
		"cut":            {"PutRecords", []byte("\xbf\x6aStr"), "SerializationException"},
		"text for bytes": {"PutRecords", []byte("\xa1\x67Records\x81\xa1\x64Data\x61x"), "SerializationException"},
		"too deep":       {"PutRecords", nested, "SerializationException"},
		"too long":       {"PutRecords", []byte("\xa1\x67Records\x9a\xff\xff\xff\xff"), "SerializationException"},
		"a wild number":  {"GetShardIterator", []byte("\xa1\x69Timestamp\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "SerializationException"},
	} {
		w := callInCBOR(t, server, test.operation, test.body)
		var failure struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		must(t, cbor.Unmarshal(w.Body.Bytes(), &failure))
		if w.Code != 400 || failure.Type != test.want || failure.Message == "" {
			t.Errorf("%s: %d %+v", name, w.Code, failure)
		}
	}
}

// FuzzCallsInCBOR: whatever a client sends, it gets an answer in CBOR and never
// the sandbox's own failure.
func FuzzCallsInCBOR(f *testing.F) {
	add := func(operation string, v any) { f.Add(operation, mustCBOR(f, v)) }
	add("PutRecord", map[string]any{"StreamName": "s", "Data": []byte("x"), "PartitionKey": "k", "ExplicitHashKey": "340282366920938463463374607431768211455"})
	add("PutRecords", map[string]any{"StreamName": "s", "Records": []any{map[string]any{"Data": []byte{}, "PartitionKey": "k"}, nil}})
	add("GetShardIterator", map[string]any{"StreamName": "s", "ShardId": "shardId-000000000001", "ShardIteratorType": "AT_TIMESTAMP",
		"Timestamp": cbor.Tag{Number: 1, Content: 1_700_000_000_000}})
	add("ListShards", map[string]any{"StreamName": "s", "ShardFilter": map[string]any{"Type": "AT_TIMESTAMP", "Timestamp": 1e300}})
	add("EnableEnhancedMonitoring", map[string]any{"StreamName": "s", "ShardLevelMetrics": []string{"ALL"}})
	f.Add("ListStreams", []byte{})
	f.Add("CreateStream", []byte("\xbf\x6aStreamName\x7f\x61s\x61t\xff\x6aShardCount\x1b\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		now := time.Unix(1_700_000_000, 0)
		server, err := sandbox.New(sandbox.Config{Now: func() time.Time { return now }})
		must(t, err)
		call(t, server, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
		now = now.Add(time.Second)
		if w := callInCBOR(t, server, operation, body); w.Code >= 500 {
			t.Errorf("%s %x: %d %s", operation, body, w.Code, w.Body)
		}
	})
}
