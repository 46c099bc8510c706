package measure

import (
	"context"
	"crypto/md5" //nolint:gosec // Kinesis routes by MD5
	"encoding/binary"
	"fmt"
	"math/big"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// The sizes are those that the publisher has by default, so that what differs is
// the order alone.
const (
	aggregateBytes = 64 << 10
	requestBytes   = 1 << 20
	mostPending    = 10_000
)

// unordered is what the publisher would be without order: the same aggregates,
// in the right shard, a receipt for each event and a bound on what is pending,
// but no state of keys, no lanes, and as many requests in flight as are full.
// It is for measuring only: a refused record fails it for good.
type unordered struct {
	client  *awskinesis.Client
	stream  string
	load    *load
	running sync.WaitGroup // the requests

	mu      sync.Mutex // everything below
	room    sync.Cond
	pending int
	failed  error
	shards  []*unorderedShard // by their first hash key
	spare   []*shipment
}

type unorderedShard struct {
	first    uint64 // the upper half of its first hash key
	explicit string
	filling  *shipment
}

// shipment is the memory of one request: aggregates of one shard.
type shipment struct {
	request  putrecords.Request
	builders []*aggregate.Builder
	keys     []string // the partition key of each aggregate
	filling  int      // the index of the aggregate that is not full
	bytes    int      // of those that are
	events   int
	outcome  *outcome
}

// outcome is what the receipts of one request share.
type outcome struct {
	done      chan struct{}
	sequences []string // of the aggregates
	err       error
	receipts  []receipt
}

type receipt struct {
	of          *outcome
	record, sub int32
}

// Wait is as the publisher's.
func (r *receipt) Wait(ctx context.Context) (events.Position, error) {
	select {
	case <-r.of.done:
	case <-ctx.Done():
		return events.Position{}, ctx.Err()
	}
	if r.of.err != nil {
		return events.Position{}, r.of.err
	}
	return events.Position{Sequence: r.of.sequences[r.record], Sub: int(r.sub)}, nil
}

func newUnordered(ctx context.Context, client *awskinesis.Client, stream string, l *load) (*unordered, error) {
	out, err := client.ListShards(ctx, &awskinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		return nil, err
	}
	u := &unordered{client: client, stream: stream, load: l}
	u.room.L = &u.mu
	for _, s := range out.Shards {
		text := aws.ToString(s.HashKeyRange.StartingHashKey)
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, fmt.Errorf("%q is not a hash key", text)
		}
		u.shards = append(u.shards, &unorderedShard{first: n.Rsh(n, 64).Uint64(), explicit: text, filling: u.newShipment()})
	}
	return u, nil
}

func (u *unordered) newShipment() *shipment {
	if n := len(u.spare); n > 0 {
		s := u.spare[n-1]
		u.spare = u.spare[:n-1]
		return s
	}
	s := new(shipment)
	s.reset()
	return s
}

func (s *shipment) reset() {
	n := 64
	if s.outcome != nil {
		n = cap(s.outcome.receipts)
	}
	for _, b := range s.builders {
		b.Reset()
	}
	s.keys, s.filling, s.bytes, s.events = s.keys[:0], 0, 0, 0
	s.outcome = &outcome{done: make(chan struct{}), receipts: make([]receipt, 0, n)}
}

// builder is the aggregate that is not full.
func (s *shipment) builder() *aggregate.Builder {
	if s.filling == len(s.builders) {
		s.builders = append(s.builders, new(aggregate.Builder))
	}
	return s.builders[s.filling]
}

func (u *unordered) enqueue(ctx context.Context, key string, data []byte) (*receipt, error) {
	sum := md5.Sum([]byte(key)) //nolint:gosec // as above
	upper := binary.BigEndian.Uint64(sum[:8])
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.pending >= mostPending && u.failed == nil {
		u.dispatchAll(ctx)
		u.room.Wait()
	}
	if u.failed != nil {
		return nil, u.failed
	}
	u.pending++
	sh := u.shardOf(upper)
	return u.add(ctx, sh, aggregate.Record{PartitionKey: key, Data: data}), nil
}

func (u *unordered) shardOf(upper uint64) *unorderedShard {
	for i := len(u.shards) - 1; i > 0; i-- {
		if upper >= u.shards[i].first {
			return u.shards[i]
		}
	}
	return u.shards[0]
}

func (u *unordered) add(ctx context.Context, sh *unorderedShard, r aggregate.Record) *receipt {
	s := sh.filling
	if !s.builder().AddWithin(r, aggregateBytes) {
		s.bytes += s.builder().Size()
		s.filling++
		if s.bytes+aggregateBytes > requestBytes {
			u.dispatch(ctx, sh)
			s = sh.filling
		}
		s.builder().Add(r)
	}
	if s.filling == len(s.keys) {
		s.keys = append(s.keys, r.PartitionKey)
	}
	s.events++
	o := s.outcome
	o.receipts = append(o.receipts, receipt{o, int32(s.filling), int32(s.builder().Len() - 1)})
	return &o.receipts[len(o.receipts)-1]
}

func (u *unordered) dispatchAll(ctx context.Context) {
	for _, sh := range u.shards {
		if sh.filling.events > 0 {
			u.dispatch(ctx, sh)
		}
	}
}

// dispatch needs mu.
func (u *unordered) dispatch(ctx context.Context, sh *unorderedShard) {
	s := sh.filling
	sh.filling = u.newShipment()
	u.running.Go(func() { u.put(ctx, s, sh.explicit) })
}

func (u *unordered) put(ctx context.Context, s *shipment, explicit string) {
	s.request.Reset(u.stream)
	for i, key := range s.keys {
		s.request.AddAggregate(key, explicit, s.builders[i])
	}
	answers, err := s.request.Send(ctx, u.client)
	for _, a := range answers {
		if a.ErrorCode != "" {
			err = fmt.Errorf("a record was refused: %s: %s", a.ErrorCode, a.ErrorMessage)
		}
		s.outcome.sequences = append(s.outcome.sequences, a.SequenceNumber)
	}
	s.outcome.err = err
	close(s.outcome.done)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pending -= s.events
	if u.failed == nil {
		u.failed = err
	}
	s.reset()
	u.spare = append(u.spare, s)
	u.room.Broadcast()
}

func (u *unordered) send(ctx context.Context, n int) error {
	var last *receipt
	for i := range n {
		r, err := u.enqueue(ctx, *u.load.key(i), u.load.payload(i))
		if err != nil {
			return err
		}
		last = r
	}
	u.mu.Lock()
	u.dispatchAll(ctx)
	u.mu.Unlock()
	u.running.Wait()
	_, err := last.Wait(ctx)
	return err
}

func (u *unordered) close(context.Context) error {
	u.running.Wait()
	return u.failed
}
