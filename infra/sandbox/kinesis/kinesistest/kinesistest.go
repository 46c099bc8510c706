// Package kinesistest states what Banyan relies on in Kinesis, as tests
// against the official client. The same suite runs on the sandbox and on other
// implementations, so that a test that passes on the sandbox is worth something.
package kinesistest

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
)

// Skip leaves out one test for a peer that differs from the documented
// service, and says how.
type Skip struct{ Test, Why string }

type suite struct {
	client *kinesis.Client
}

// Run runs the suite. It creates streams with random names and deletes them.
// Against a server other than the sandbox it may take a minute.
func Run(t *testing.T, client *kinesis.Client, skips ...Skip) {
	s := suite{client}
	tests := []struct {
		name string
		run  func(*testing.T)
	}{
		{"StreamLifecycle", s.streamLifecycle},
		{"UnknownStream", s.unknownStream},
		{"ListStreams", s.listStreams},
		{"ShardsCoverTheHashSpace", s.shardsCoverTheHashSpace},
		{"ListShardsInPages", s.listShardsInPages},
		{"PutAndGetInOrder", s.putAndGetInOrder},
		{"KeysAreRoutedByMD5", s.keysAreRoutedByMD5},
		{"ExplicitHashKey", s.explicitHashKey},
		{"MalformedHashKey", s.malformedHashKey},
		{"IteratorTypes", s.iteratorTypes},
		{"UnknownShard", s.unknownShard},
		{"UnknownIterator", s.unknownIterator},
		{"ForeignSequenceNumber", s.foreignSequenceNumber},
		{"GetRecordsInPages", s.getRecordsInPages},
		{"KeyLimits", s.keyLimits},
		{"CallOf500Records", s.callOf500Records},
		{"CallOf501Records", s.callOf501Records},
		{"CallOver10MiB", s.callOver10MiB},
		{"RecordLimit", s.recordLimit},
		{"RecordLimitCountsTheKey", s.recordLimitCountsTheKey},
		{"RaisedRecordLimit", s.raisedRecordLimit},
		{"Split", s.split},
		{"Merge", s.merge},
		{"UpdateShardCount", s.updateShardCount},
		{"ShardFilters", s.shardFilters},
		{"ShardFiltersOfThePast", s.shardFiltersOfThePast},
		{"Retention", s.retention},
		{"Tags", s.tags},
		{"ByARN", s.byARN},
		{"OnDemand", s.onDemand},
		{"ShardCountIsRequired", s.shardCountIsRequired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if i := slices.IndexFunc(skips, func(s Skip) bool { return s.Test == test.name }); i >= 0 {
				t.Skip(skips[i].Why)
			}
			test.run(t)
		})
	}
}

// stream creates a stream of n shards that is deleted with the test.
func (s suite) stream(t *testing.T, shards int32) string {
	t.Helper()
	name := "conformance-" + uuid.NewString()
	_, err := s.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards})
	fatal(t, err)
	s.deleteAfter(t, name)
	s.awaitActive(t, name)
	return name
}

func (s suite) deleteAfter(t *testing.T, name string) {
	t.Cleanup(func() {
		_, err := s.client.DeleteStream(context.WithoutCancel(t.Context()), &kinesis.DeleteStreamInput{StreamName: &name})
		if err != nil && !is[*types.ResourceNotFoundException](err) {
			t.Errorf("delete stream: %v", err)
		}
	})
}

func (s suite) awaitActive(t *testing.T, name string) *types.StreamDescriptionSummary {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		out, err := s.client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		fatal(t, err)
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
	fatal(t, err)
	return out.Shards
}

func (s suite) openShards(t *testing.T, name string) []types.Shard {
	t.Helper()
	return s.shards(t, name, &types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
}

func (s suite) put(t *testing.T, name, key, data string) *kinesis.PutRecordOutput {
	t.Helper()
	out, err := s.client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: []byte(data)})
	fatal(t, err)
	return out
}

func (s suite) iterator(t *testing.T, name string, in kinesis.GetShardIteratorInput) *string {
	t.Helper()
	in.StreamName = &name
	out, err := s.client.GetShardIterator(t.Context(), &in)
	fatal(t, err)
	return out.ShardIterator
}

// read reads from an iterator until want records came, the shard ended, or
// nothing came for a while.
func (s suite) read(t *testing.T, iterator *string, want int) (records []types.Record, last *kinesis.GetRecordsOutput) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		out, err := s.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: iterator})
		fatal(t, err)
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

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// wantError is for errors whose name is part of the promise.
func wantError[E error](t *testing.T, err error, what string) {
	t.Helper()
	if !is[E](err) {
		t.Errorf("%s: error %v, want a %T", what, err, *new(E))
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

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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
