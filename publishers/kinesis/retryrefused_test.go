package kinesis_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

// TestRetryRefusedKeepsTheOrderWhileRightsAreMissing: what is refused waits in its
// place, so that nothing is lost, overtaken or sent twice.
func TestRetryRefusedKeepsTheOrderWhileRightsAreMissing(t *testing.T) {
	seed := rand.Uint64()
	_, cfg := faulty(t, "kinesis.PutRecords denied=0.5", seed)
	w := newWorld(t, 3, cfg)
	p := w.publisher(kinesis.Config{RetryRefused: true, AggregateBytes: 200})
	var published []sent
	for i := range 2000 {
		published = append(published, w.enqueue(p, fmt.Sprint("user", i%50), i/50))
		if i%100 == 0 { // more requests than one a shard
			asked := p.Stats().Requests
			w.awaitStats(p, func(s kinesis.Stats) bool { return s.Requests > asked })
		}
	}
	flush(t, p)
	if n := w.check(published); n != 0 {
		t.Errorf("seed %d: %d duplicates", seed, n)
	}
	if s := p.Stats(); s.Refused == 0 || s.Failed != 0 || s.UnknownOutcomes != 0 || s.Retries == 0 {
		t.Errorf("seed %d: %+v", seed, s)
	}
}

// TestInsistWaitsForAStreamThatIsGone tells what is wrong meanwhile, and goes on
// when it is there again.
func TestInsistWaitsForAStreamThatIsGone(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{})
	p := w.publisher(kinesis.Config{RetryRefused: true})
	if _, err := w.client.DeleteStream(w.ctx, &awskinesis.DeleteStreamInput{StreamName: aws.String(stream)}); err != nil {
		t.Fatal(err)
	}
	published := []sent{w.enqueue(p, "k", 0), w.enqueue(p, "k", 1)}
	w.awaitStats(p, func(s kinesis.Stats) bool { return s.Refused >= 3 })
	if s := p.Stats(); s.Pending != 2 || !strings.Contains(s.PerShard[0].Failing, "create it") {
		t.Errorf("%+v", s)
	}
	contains(t, p.Flush(canceled()), "2 events", "ResourceNotFoundException", "create it")
	if err := streamtest.Create(w.ctx, w.client, stream, 1); err != nil {
		t.Fatal(err)
	}
	flush(t, p)
	w.check(published)
	if s := p.Stats(); s.Failed != 0 || s.PerShard[0].Failing != "" {
		t.Errorf("%+v", s)
	}
}

// TestWithoutRetryRefusedEventsFail: without RetryRefused, the events of a refused request fail.
func TestWithoutRetryRefusedEventsFail(t *testing.T) {
	_, cfg := faulty(t, "kinesis.PutRecords denied=1", 1)
	w := newWorld(t, 1, cfg)
	p := w.publisher(kinesis.Config{})
	_, err := p.Publish(w.ctx, joined(t, "u"))
	contains(t, err, "AccessDeniedException", "allow kinesis:ListShards and kinesis:PutRecords")
	if s := p.Stats(); s.Refused != 1 || s.Requests != 1 || s.Failed != 1 {
		t.Errorf("%+v", s)
	}
}
