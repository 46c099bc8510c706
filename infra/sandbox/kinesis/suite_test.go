// The suite states what Banyan relies on in Kinesis, as tests
// against the official client. The same suite runs on the sandbox and on other
// implementations, so that a test that passes on the sandbox is worth something.

package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

type suite struct {
	client *kinesis.Client
}

// conforms runs the suite. It creates streams with random names and deletes them.
// Against a server other than the sandbox it may take a minute.
func conforms(t *testing.T, client *kinesis.Client, skips ...sandboxtest.Skip) {
	s := suite{client}
	sandboxtest.Run(t, []sandboxtest.Case{
		{Name: "StreamLifecycle", Run: s.streamLifecycle},
		{Name: "UnknownStream", Run: s.unknownStream},
		{Name: "ListStreams", Run: s.listStreams},
		{Name: "ShardsCoverTheHashSpace", Run: s.shardsCoverTheHashSpace},
		{Name: "ListShardsInPages", Run: s.listShardsInPages},
		{Name: "PutAndGetInOrder", Run: s.putAndGetInOrder},
		{Name: "KeysAreRoutedByMD5", Run: s.keysAreRoutedByMD5},
		{Name: "ExplicitHashKey", Run: s.explicitHashKey},
		{Name: "MalformedHashKey", Run: s.malformedHashKey},
		{Name: "IteratorTypes", Run: s.iteratorTypes},
		{Name: "UnknownShard", Run: s.unknownShard},
		{Name: "UnknownIterator", Run: s.unknownIterator},
		{Name: "ForeignSequenceNumber", Run: s.foreignSequenceNumber},
		{Name: "GetRecordsInPages", Run: s.getRecordsInPages},
		{Name: "KeyLimits", Run: s.keyLimits},
		{Name: "CallOf500Records", Run: s.callOf500Records},
		{Name: "CallOf501Records", Run: s.callOf501Records},
		{Name: "CallOver10MiB", Run: s.callOver10MiB},
		{Name: "RecordLimit", Run: s.recordLimit},
		{Name: "RecordLimitCountsTheKey", Run: s.recordLimitCountsTheKey},
		{Name: "Split", Run: s.split},
		{Name: "Merge", Run: s.merge},
		{Name: "UpdateShardCount", Run: s.updateShardCount},
		{Name: "ByARN", Run: s.byARN},
		{Name: "OnDemand", Run: s.onDemand},
		{Name: "ShardCountIsRequired", Run: s.shardCountIsRequired},
	}, skips...)
}

// stream creates a stream of n shards that is deleted with the test.
func (s suite) stream(t *testing.T, shards int32) string {
	t.Helper()
	name := "conformance-" + uuid.NewString()
	_, err := s.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards})
	sandboxtest.Must(t, err)
	s.deleteAfter(t, name)
	s.awaitActive(t, name)
	return name
}

func (s suite) deleteAfter(t *testing.T, name string) {
	t.Cleanup(func() {
		_, err := s.client.DeleteStream(context.WithoutCancel(t.Context()), &kinesis.DeleteStreamInput{StreamName: &name})
		if err != nil && !sandboxtest.Is[*types.ResourceNotFoundException](err) {
			t.Errorf("delete stream: %v", err)
		}
	})
}

func (s suite) awaitActive(t *testing.T, name string) *types.StreamDescriptionSummary {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		out, err := s.client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		sandboxtest.Must(t, err)
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return out.StreamDescriptionSummary
		}
		if time.Now().After(deadline) {
			t.Fatalf("stream %s is still %s", name, out.StreamDescriptionSummary.StreamStatus)
		}
	}
}

func (s suite) shards(t *testing.T, name string, filter *types.ShardFilter) []types.Shard {
	t.Helper()
	out, err := s.client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &name, ShardFilter: filter})
	sandboxtest.Must(t, err)
	return out.Shards
}

func (s suite) openShards(t *testing.T, name string) []types.Shard {
	t.Helper()
	return s.shards(t, name, &types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
}

func (s suite) put(t *testing.T, name, key, data string) *kinesis.PutRecordOutput {
	t.Helper()
	out, err := s.client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: []byte(data)})
	sandboxtest.Must(t, err)
	return out
}

func (s suite) iterator(t *testing.T, name string, in kinesis.GetShardIteratorInput) *string {
	t.Helper()
	in.StreamName = &name
	out, err := s.client.GetShardIterator(t.Context(), &in)
	sandboxtest.Must(t, err)
	return out.ShardIterator
}

// read reads from an iterator until want records came, the shard ended, or
// nothing came for a while.
func (s suite) read(t *testing.T, iterator *string, want int) (records []types.Record, last *kinesis.GetRecordsOutput) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		out, err := s.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: iterator})
		sandboxtest.Must(t, err)
		records = append(records, out.Records...)
		if len(records) >= want || out.NextShardIterator == nil {
			return records, out
		}
		if time.Now().After(deadline) {
			t.Fatalf("read %d records, want %d", len(records), want)
		}
		iterator = out.NextShardIterator
		time.Sleep(20 * time.Millisecond)
	}
}

// readShard reads a shard from its beginning.
func (s suite) readShard(t *testing.T, name, shard string, want int) ([]types.Record, *kinesis.GetRecordsOutput) {
	t.Helper()
	it := s.iterator(t, name, kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	return s.read(t, it, want)
}

func texts(records []types.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Data))
	}
	return out
}

func wantTexts(t *testing.T, records []types.Record, want ...string) {
	t.Helper()
	if got := texts(records); !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
}

// wantRefused is for refusals whose name differs between implementations and
// versions of the service (ValidationException, InvalidArgumentException).
func wantRefused(t *testing.T, err error, what string) {
	t.Helper()
	refused, ok := errors.AsType[smithy.APIError](err)
	if !ok || !slices.Contains([]string{"ValidationException", "InvalidArgumentException", "LimitExceededException"}, refused.ErrorCode()) {
		t.Errorf("%s: error %v, want a validation error", what, err)
	}
}

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return out
}

func entries(key string, data []string) []types.PutRecordsRequestEntry {
	var out []types.PutRecordsRequestEntry
	for _, d := range data {
		out = append(out, types.PutRecordsRequestEntry{PartitionKey: aws.String(key), Data: []byte(d)})
	}
	return out
}
