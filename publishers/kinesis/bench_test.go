package kinesis_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
)

func counted(b *testing.B) *awskinesis.Client {
	front := httptest.NewServer(counting.NewServer(counting.Stream{Name: stream, Shards: 1}))
	b.Cleanup(front.Close)
	return newClient(b, front.URL)
}

const benchKeys = 1000

func benchKey(i int) string { return fmt.Sprintf("59b99db4cfa9a34dcd%06x", i%benchKeys) }

// BenchmarkPutRecords is what everybody writes first: the SDK, 500 records a
// call, one call after the other.
func BenchmarkPutRecords(b *testing.B) {
	for _, size := range []int{200, 1000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			client, data := counted(b), bytes.Repeat([]byte("x"), size)
			batch := make([]types.PutRecordsRequestEntry, 500)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(batch) {
				for j := range batch {
					batch[j] = types.PutRecordsRequestEntry{PartitionKey: aws.String(benchKey(i + j)), Data: data}
				}
				_, err := client.PutRecords(context.Background(), &awskinesis.PutRecordsInput{StreamName: aws.String(stream), Records: batch})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublisher puts the same bytes through the ordered publisher.
func BenchmarkPublisher(b *testing.B) {
	for _, size := range []int{200, 1000} {
		data := bytes.Repeat([]byte("x"), size)
		b.Run(fmt.Sprintf("%dB/aggregated", size), func(b *testing.B) { benchmarkPublisher(b, kinesis.Config{}, data) })
		b.Run(fmt.Sprintf("%dB/plain", size), func(b *testing.B) { benchmarkPublisher(b, kinesis.Config{NoAggregation: true}, data) })
	}
}

func benchmarkPublisher(b *testing.B, cfg kinesis.Config, data []byte) {
	p := benchPublisher(b, cfg)
	keys := make([]string, benchKeys)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := p.EnqueueEncoded(context.Background(), keys[i%benchKeys], data); err != nil {
			b.Fatal(err)
		}
	}
	endBench(b, p)
}

func benchPublisher(b *testing.B, cfg kinesis.Config) *kinesis.Publisher {
	cfg.Client, cfg.Stream = counted(b), stream
	p, err := kinesis.New(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func endBench(b *testing.B, p *kinesis.Publisher) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		b.Fatal(err)
	}
	s := p.Stats()
	b.ReportMetric(float64(s.Events)/float64(s.Requests), "events/request")
	b.ReportMetric(float64(s.Events)/float64(s.Records), "events/record")
}

// BenchmarkPublisherWithEnvelope encodes each event on the way.
func BenchmarkPublisherWithEnvelope(b *testing.B) {
	for _, size := range []int{200, 1000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			p := benchPublisher(b, kinesis.Config{})
			e, err := events.New(context.Background(), "/bench", events.PostPublished{PostID: "p", AuthorID: "u", Text: strings.Repeat("x", size-80)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				e.PartitionKey = benchKey(i)
				if _, err := p.Enqueue(context.Background(), e); err != nil {
					b.Fatal(err)
				}
			}
			endBench(b, p)
		})
	}
}
