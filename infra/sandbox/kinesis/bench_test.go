package kinesis_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

// BenchmarkPutRecords is a full call of 500 records of 1 KiB, client included.
func BenchmarkPutRecords(b *testing.B) {
	client, stream := benchStream(b)
	entries := make([]types.PutRecordsRequestEntry, 500)
	for i := range entries {
		entries[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: make([]byte, 1023)}
	}
	b.SetBytes(500 << 10)
	for b.Loop() {
		if _, err := client.PutRecords(b.Context(), &kinesis.PutRecordsInput{StreamName: stream, Records: entries}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetRecords is an answer of 5,000 records of 1 KiB, client included.
func BenchmarkGetRecords(b *testing.B) {
	client, stream := benchStream(b)
	entries := make([]types.PutRecordsRequestEntry, 500)
	for i := range entries {
		entries[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: make([]byte, 1023)}
	}
	for range 10 {
		if _, err := client.PutRecords(b.Context(), &kinesis.PutRecordsInput{StreamName: stream, Records: entries}); err != nil {
			b.Fatal(err)
		}
	}
	it, err := client.GetShardIterator(b.Context(), &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: aws.String(firstShard),
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(5000 << 10)
	for b.Loop() {
		out, err := client.GetRecords(b.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
		if err != nil || len(out.Records) != 5000 {
			b.Fatal(len(out.Records), err)
		}
	}
}

func benchStream(b *testing.B) (*kinesis.Client, *string) {
	b.Helper()
	clock, stream := newClock(), aws.String("s")
	_, client := serve(b, sandbox.Config{Unlimited: true, MaxStreamBytes: 64 << 20, Now: clock.Now})
	if _, err := client.CreateStream(b.Context(), &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(1)}); err != nil {
		b.Fatal(err)
	}
	clock.advance(1e9)
	return client, stream
}
