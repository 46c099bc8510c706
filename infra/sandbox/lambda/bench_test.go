package lambda_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

// BenchmarkInvoke is the time of a synchronous invocation of a warm function,
// through the official client.
func BenchmarkInvoke(b *testing.B) {
	w := newWorld(b, sandbox.Config{})
	w.function("bench", 5, nil)
	w.invoke("bench", map[string]int{})
	for b.Loop() {
		if _, err := w.lambda.Invoke(b.Context(), &lambda.InvokeInput{FunctionName: aws.String("bench")}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLag is the time from a put record to its sight by the function, with
// the poll interval that is the default.
func BenchmarkLag(b *testing.B) {
	w := newWorld(b, sandbox.Config{PollInterval: 100 * time.Millisecond})
	out := w.function("lag", 5, map[string]string{"MODE": "stream"})
	arn := w.stream("lag", 1)
	w.mapping("lag", arn, lambda.CreateEventSourceMappingInput{StartingPosition: types.EventSourcePositionLatest})
	n := 0
	for b.Loop() {
		if _, err := w.kinesis.PutRecord(b.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("lag"), PartitionKey: aws.String("k"), Data: []byte("ok"),
		}); err != nil {
			b.Fatal(err)
		}
		n++
		eventually(b, "the record is seen", func() bool { return len(lines(b, out, "records")) == n })
	}
}
