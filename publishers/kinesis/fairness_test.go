package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
)

// stuck is a stream of several shards, the first of which answers nothing until
// it is released.
type stuck struct {
	*world
	shard   *shard
	release func()
	client  kinesis.API
}

func newStuck(t *testing.T, shards int32) *stuck {
	w := newWorld(t, shards, sandbox.Config{Unlimited: true})
	s := &stuck{world: w, shard: w.open()[0]}
	s.client, s.release = blockedIf(w, func(in *awskinesis.PutRecordsInput) bool {
		return s.shard.contains(*in.Records[0].PartitionKey)
	})
	return s
}

// keys are so many of the stuck shard, or of the others.
func (s *stuck) keys(n int, stuck bool) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprint("key", i); s.shard.contains(key) == stuck {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestAStuckShardLeavesCapacityToTheOthers fills the publisher with events of a
// shard that takes nothing, and publishes many times what the publisher may have
// pending to the others.
func TestAStuckShardLeavesCapacityToTheOthers(t *testing.T) {
	for name, cfg := range map[string]kinesis.Config{
		"events": {MaxPending: 100},
		"bytes":  {MaxPendingBytes: 2048, MaxRecordBytes: 1024, AggregateBytes: 1024},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStuck(t, 3)
			cfg.Client = s.client
			p := s.publisher(cfg)
			var published []sent
			var waiting sync.WaitGroup
			slow := s.keys(300, true)
			late := make([]sent, len(slow))
			for i, key := range slow { // each has a caller of its own, most of whom wait
				waiting.Go(func() { late[i] = s.enqueue(p, key, 0) })
			}
			s.awaitStats(p, func(st kinesis.Stats) bool { return st.Pending+st.Waiting == len(slow) })
			held := p.Stats()
			if held.Waiting == 0 || held.Pending < 50 || held.PerShard[0].Pending != held.Pending || held.PerShard[0].Waiting != held.Waiting {
				t.Errorf("the stuck shard has %+v", held.PerShard[0])
			}

			fast := s.keys(20, false)
			for round := range 50 {
				for _, key := range fast {
					published = append(published, s.enqueue(p, key, round))
				}
			}
			for _, e := range published {
				if _, err := e.result.Wait(s.ctx); err != nil {
					t.Fatalf("an event of another shard: %v\n%+v", err, p.Stats())
				}
			}
			if now := p.Stats(); now.Pending != held.Pending || now.Waiting != held.Waiting {
				t.Errorf("the stuck shard moved: %+v, then %+v", held, now)
			}
			s.release()
			s.join(&waiting)
			flush(t, p)
			if n := s.check(append(published, late...)); n != 0 {
				t.Errorf("%d duplicates", n)
			}
		})
	}
}

// TestAStuckShardIsRefusedAndTheOthersAreNot is the same for who wants to be
// refused.
func TestAStuckShardIsRefusedAndTheOthersAreNot(t *testing.T) {
	s := newStuck(t, 2)
	p := s.publisher(kinesis.Config{Client: s.client, MaxPending: 50, RefuseWhenFull: true})
	taken := 0
	for _, key := range s.keys(50, true) {
		_, err := p.EnqueueEncoded(s.ctx, key, publisherstest.Body(key, 0))
		if err == nil {
			taken++
		} else if !errors.Is(err, kinesis.ErrFull) {
			t.Fatal(err)
		}
	}
	if taken < 20 || taken > 30 {
		t.Errorf("%d of 50 places are of one shard of two", taken)
	}
	for _, key := range s.keys(200, false) {
		r, err := p.EnqueueEncoded(s.ctx, key, publisherstest.Body(key, 0))
		if err == nil {
			_, err = r.Wait(s.ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestALargeEventIsNotStarved has a large event wait for places, which small ones
// of other shards must not take before it.
func TestALargeEventIsNotStarved(t *testing.T) {
	s := newStuck(t, 3)
	p := s.publisher(kinesis.Config{Client: s.client, MaxRecordBytes: 4096, MaxPendingBytes: 4096, AggregateBytes: 1024})
	if _, err := p.EnqueueEncoded(s.ctx, s.keys(1, true)[0], make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	others := s.keys(20, false)
	large := make(chan error, 1)
	go func() {
		_, err := p.EnqueueEncoded(s.ctx, others[0], make([]byte, 3000))
		large <- err
	}()
	s.awaitStats(p, func(st kinesis.Stats) bool { return st.Waiting == 1 })
	for _, key := range others {
		if _, err := p.EnqueueEncoded(canceled(), key, make([]byte, 100)); !errors.Is(err, context.Canceled) {
			t.Fatalf("a small event passed the large one: %v", err)
		}
	}
	s.release()
	if err := <-large; err != nil {
		t.Error(err)
	}
	flush(t, p)
}

// TestWaitingEventsFollowTheirKeyToTheNewShard splits the stuck shard while callers
// wait for places.
func TestWaitingEventsFollowTheirKeyToTheNewShard(t *testing.T) {
	s := newStuck(t, 2)
	p := s.publisher(kinesis.Config{Client: s.client, MaxPending: 20})
	var waiting sync.WaitGroup
	slow := s.keys(60, true)
	events := make([]sent, len(slow))
	for i, key := range slow {
		waiting.Go(func() { events[i] = s.enqueue(p, key, 0) })
	}
	s.awaitStats(p, func(st kinesis.Stats) bool { return st.Pending+st.Waiting == len(slow) })
	s.split(s.shard)
	s.release()
	s.join(&waiting)
	flush(t, p)
	s.check(events)
	if st := p.Stats(); st.Reshards != 1 || st.Pending != 0 || st.PendingBytes != 0 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
	for _, sh := range p.Stats().PerShard {
		if sh.Pending != 0 || sh.PendingBytes != 0 {
			t.Errorf("%+v", sh)
		}
	}
}

// awaitStats waits until what is true of the numbers.
func (w *world) awaitStats(p *kinesis.Publisher, what func(kinesis.Stats) bool) {
	w.t.Helper()
	for !what(p.Stats()) {
		if w.ctx.Err() != nil {
			w.t.Fatalf("never so: %+v", p.Stats())
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTheRateOfAThrottledShardIsInTheStats throttles one of two shards for more
// than a second, and then no more.
func TestTheRateOfAThrottledShardIsInTheStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, sandbox.Config{Unlimited: true})
	slow := w.open()[0]
	var mu sync.Mutex
	throttling, n := true, 0
	m := &meddler{API: w.client}
	m.put = func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error) {
		mu.Lock()
		n++
		refuse := throttling && n%3 == 0 && slow.contains(*in.Records[0].PartitionKey)
		mu.Unlock()
		if refuse {
			return nil, &types.ProvisionedThroughputExceededException{}
		}
		return send(in)
	}
	p := w.publisher(kinesis.Config{Client: m, RateIncrease: 50})
	rates := func() (of, others float64) {
		for i, s := range p.Stats().PerShard {
			if s.Shard == slow.id {
				of = s.Rate
			} else {
				others = max(others, p.Stats().PerShard[i].Rate)
			}
		}
		return of, others
	}
	number := make(map[string]int)
	var published []sent
	more := func() {
		for i := range 20 {
			key := fmt.Sprint("k", i)
			published = append(published, w.enqueue(p, key, number[key]))
			number[key]++
		}
		time.Sleep(2 * time.Millisecond) // a load, no flood
	}
	limited := false
	for !limited && w.ctx.Err() == nil {
		more()
		of, others := rates()
		limited = of > 0
		if others != 0 {
			t.Fatalf("a shard that never throttled has a rate of %v", others)
		}
	}
	mu.Lock()
	throttling = false
	mu.Unlock()
	for limited && w.ctx.Err() == nil {
		more()
		of, _ := rates()
		limited = of > 0
	}
	if limited {
		t.Errorf("the rate does not recover: %+v", p.Stats())
	}
	flush(t, p)
	w.check(published)
}

// TestNoLingeringWhileCallersWait has a linger of an hour, which a full
// publisher must not sit out.
func TestNoLingeringWhileCallersWait(t *testing.T) {
	w := newWorld(t, 3, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{MaxPending: 7, Linger: time.Hour})
	number := make(map[string]int)
	var published []sent
	for i := range 200 {
		key := fmt.Sprint("k", i%9)
		published = append(published, w.enqueue(p, key, number[key]))
		number[key]++
	}
	flush(t, p)
	w.check(published)
}

// TestAKeyThatIsInUseIsNotForgotten sends more keys than are remembered between
// two events of one key that wait for the same request.
func TestAKeyThatIsInUseIsNotForgotten(t *testing.T) {
	t.Parallel()
	s := newStuck(t, 2)
	m := &meddler{API: s.client}
	m.put = func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error) {
		keysAreApart(t, in)
		return send(in)
	}
	p := s.publisher(kinesis.Config{Client: m, NoAggregation: true, MaxPending: 1000})
	slow := s.keys(2, true)
	published := []sent{s.enqueue(p, slow[0], 0)}
	s.awaitStats(p, func(st kinesis.Stats) bool { return st.Requests == 1 })
	published = append(published, s.enqueue(p, slow[1], 0))
	for _, key := range s.keys(10_000, false) {
		if _, err := p.EnqueueEncoded(s.ctx, key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	published = append(published, s.enqueue(p, slow[1], 1))
	s.release()
	flush(t, p)
	for i, e := range published {
		if _, err := e.result.Wait(s.ctx); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
}
