package kinesis_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// TestPeerKeepsTheOrderToo publishes to another implementation of Kinesis, at
// the endpoint in BANYAN_CONFORMANCE_KINESIS, while its shards split and merge.
func TestPeerKeepsTheOrderToo(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_KINESIS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_KINESIS is not set")
	}
	w := &world{t: t, ctx: within(t, patience), client: newClient(t, url), url: url}
	if _, err := w.client.CreateStream(within(t, patience), &awskinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := w.client.DeleteStream(context.Background(), &awskinesis.DeleteStreamInput{StreamName: aws.String(stream)})
		if err != nil {
			t.Error(err)
		}
	})
	w.awaitActive()
	p := w.publisher(kinesis.Config{AggregateBytes: 2048})
	var published []sent
	burst := func() {
		for range 1000 {
			n := len(published)
			published = append(published, w.enqueue(p, fmt.Sprint("k", n%50), n/50))
		}
	}
	burst()
	w.split(w.open()[0])
	burst()
	w.merge(w.open()[1], w.open()[2])
	burst()
	flush(t, p)
	w.check(published)
	if s := p.Stats(); s.Events != 3000 || s.Reshards == 0 {
		t.Errorf("%+v", s)
	}
}
