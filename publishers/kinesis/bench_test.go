package kinesis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// counter answers like a stream of one shard that keeps nothing.
type counter struct {
	mu      sync.Mutex
	answers map[int][]byte
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(body)
	body.Reset()
	_, _ = body.ReadFrom(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ListShards") {
		_, _ = io.WriteString(w, `{"Shards":[{"ShardId":"shardId-000000000000","HashKeyRange":{"StartingHashKey":"0",`+
			`"EndingHashKey":"340282366920938463463374607431768211455"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}`)
		return
	}
	_, _ = w.Write(c.answer(bytes.Count(body.Bytes(), []byte(`"PartitionKey"`))))
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (c *counter) answer(records int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.answers[records]; a != nil {
		return a
	}
	entry := map[string]string{"SequenceNumber": "49590338271490256608559692538361571095921575989136588898", "ShardId": "shardId-000000000000"}
	entries := make([]map[string]string, records)
	for i := range entries {
		entries[i] = entry
	}
	a, _ := json.Marshal(map[string]any{"FailedRecordCount": 0, "Records": entries})
	c.answers[records] = a
	return a
}

func counting(b *testing.B) *awskinesis.Client {
	front := httptest.NewServer(&counter{answers: make(map[int][]byte)})
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
			client, data := counting(b), bytes.Repeat([]byte("x"), size)
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
	cfg.Client, cfg.Stream = counting(b), stream
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
