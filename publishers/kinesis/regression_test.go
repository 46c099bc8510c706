package kinesis_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events/aggregate"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// Bugs of others, that must not be ours.

// Debezium Server's Kinesis sink and a8m/kinesis-producer send the records that
// were refused again, behind the successors that were not: the order is lost.
func TestRefusedRecordsAreNotSentBehindTheirSuccessors(t *testing.T) {
	for name, cfg := range map[string]kinesis.Config{
		"plain":      {NoAggregation: true},
		"aggregated": {AggregateBytes: 60, MaxRequestBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, sandbox.Config{Unlimited: true})
			calls := 0
			m := &meddler{API: w.client}
			m.put = func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error) {
				keysAreApart(t, in)
				calls++
				// Every other call refuses the first record and keeps what is behind it.
				return sendExcept(in, func(i int) bool { return i == 0 && calls%2 == 1 }, send)
			}
			cfg.Client = m
			p := w.publisher(cfg)
			var published []sent
			for i := range 40 {
				for k := range 4 {
					published = append(published, w.enqueue(p, fmt.Sprint("key", k), i))
				}
			}
			flush(t, p)
			if n := w.check(published); n != 0 {
				t.Errorf("%d duplicates: more was sent again than what was refused", n)
			}
			if s := p.Stats(); s.Retries == 0 {
				t.Errorf("nothing was refused: %+v", s)
			}
		})
	}
}

// keysAreApart fails when a key is in two records of a request.
func keysAreApart(t *testing.T, in *awskinesis.PutRecordsInput) {
	t.Helper()
	owner := make(map[string]int)
	for i, r := range in.Records {
		keys := []string{*r.PartitionKey}
		if aggregate.IsAggregate(r.Data) {
			keys = nil
			subs, _ := aggregate.Decode(r.Data)
			for _, sub := range subs {
				keys = append(keys, sub.PartitionKey)
			}
		}
		for _, key := range keys {
			if other, ok := owner[key]; ok && other != i {
				t.Errorf("key %s is in records %d and %d of one request", key, other, i)
			}
			owner[key] = i
		}
	}
}

// a8m/kinesis-producer#1: an aggregate with one partition key for all of it
// takes events to a shard where their own keys do not belong.
func TestAggregatesHoldOnlyEventsOfTheirShard(t *testing.T) {
	w := newWorld(t, 4, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{})
	var published []sent
	for i := range 2000 {
		published = append(published, w.enqueue(p, fmt.Sprint("user", i%500), i/500))
	}
	flush(t, p)
	if n := w.check(published); n != 0 {
		t.Errorf("%d duplicates", n)
	}
	shards := make(map[string]int)
	for _, f := range w.read() {
		if !f.inPlace() {
			t.Errorf("%q is in %s", f.data, f.shard.id)
		}
		shards[f.shard.id]++
	}
	if s := p.Stats(); len(shards) != 4 || s.Records >= s.Events/10 {
		t.Errorf("not aggregated over 4 shards: %v, %+v", shards, s)
	}
}

// awslabs/kinesis-aggregation#175: after a reshard, sub-records are in a shard
// that their keys do not belong to.
func TestEventsAreInTheirShardAfterAReshard(t *testing.T) {
	w := newWorld(t, 2, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{})
	var published []sent
	burst := func(round int) {
		for k := range 200 {
			published = append(published, w.enqueue(p, fmt.Sprint("user", k), round))
		}
		flush(t, p)
	}
	burst(0)
	w.split(w.open()[0])
	burst(1) // is cut by the old shards
	afterSplit := p.Stats()
	if afterSplit.Misplaced == 0 || afterSplit.Reshards != 1 || afterSplit.Shards != 3 {
		t.Errorf("after the split: %+v", afterSplit)
	}
	burst(2)
	w.merge(w.open()[1], w.open()[2])
	burst(3)
	burst(4)
	s := p.Stats()
	if s.Misplaced != afterSplit.Misplaced || s.Reshards != 2 || s.Shards != 2 {
		t.Errorf("after the merge: %+v", s)
	}
	duplicates := w.check(published) // every event is where it belongs, in order
	if int64(duplicates) != s.Misplaced {
		t.Errorf("%d duplicates, %d events sent again", duplicates, s.Misplaced)
	}
	stray := slices.DeleteFunc(w.read(), found.inPlace)
	if int64(len(stray)) != s.Misplaced {
		t.Errorf("%d events in the wrong shard, %d known of", len(stray), s.Misplaced)
	}
}

// The SDK would send a failed request three times on its own, unseen.
func TestTheSDKDoesNotRetry(t *testing.T) {
	injector, cfg := faulty(t, "kinesis.PutRecords internal=1", 1)
	var onTheWire atomic.Int64
	draw := cfg.Fault
	inner := newWorld(t, 1, withFault(cfg, func(operation string) {
		if operation == "PutRecords" && onTheWire.Add(1) == 4 {
			injector.Switch(false)
		}
	}, draw))
	p := inner.publisher(kinesis.Config{})
	published := []sent{inner.enqueue(p, "k", 0)}
	flush(t, p)
	if got, s := onTheWire.Load(), p.Stats(); got != s.Requests || got < 4 {
		t.Errorf("%d requests on the wire, %+v", got, s)
	}
	inner.check(published)
}
