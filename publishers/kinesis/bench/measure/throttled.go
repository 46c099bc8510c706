package measure

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"crypto/md5" //nolint:gosec // Kinesis routes by MD5

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// throttled compares what keys of other shards get through while the first of
// four shards is throttled half the time, with what they get through while none
// is.
//
// Saturating, each shard's keys have a caller of their own, which publishes as fast
// as the publisher admits. Paced, one caller publishes for all keys in turn, at a
// steady rate.
func (r *run) throttled(ctx context.Context, name string, paced bool) error {
	var values []float64
	for range r.Rounds {
		calm, err := r.othersRate(ctx, streamFour, paced)
		if err != nil {
			return err
		}
		throttled, err := r.othersRate(ctx, streamThrottled, paced)
		if err != nil {
			return err
		}
		values = append(values, throttled/calm)
	}
	r.report(figures.Median(r.name(name), metricOthers, values).Within(figures.AtLeast, 0.9))
	return nil
}

// othersRate is events a second of the keys that are not in the first shard.
func (r *run) othersRate(ctx context.Context, stream string, paced bool) (float64, error) {
	// In CBOR, which costs the counting server little: the shard should be what limits.
	p, err := kinesis.New(ctx, kinesis.Config{Client: newClient(r.Endpoint), Stream: stream, Protocol: kinesis.CBOR})
	if err != nil {
		return 0, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(ctx, closeWithin)
		defer cancel()
		_ = p.Close(ctx) // the flush before has returned what went wrong
	}()
	callers := &callers{p: p, load: r.load, byShard: r.keysByShard()}
	start := time.Now()
	if paced {
		err = callers.paced(ctx, r.Pace, start.Add(r.ThrottleRun))
	} else {
		err = callers.saturate(ctx, start.Add(r.ThrottleRun))
	}
	took := time.Since(start)
	if err := errors.Join(err, p.Flush(ctx)); err != nil {
		return 0, err
	}
	others := 0
	for _, n := range callers.taken[1:] {
		others += n
	}
	if others == 0 {
		return 0, fmt.Errorf("no event of another shard got through in %v", took)
	}
	return float64(others) / took.Seconds(), nil
}

// keysByShard sorts the keys by which quarter of the hash keys they are in.
func (r *run) keysByShard() [manyShards][]string {
	var by [manyShards][]string
	for _, key := range r.load.keys {
		sum := md5.Sum([]byte(key)) //nolint:gosec // as above
		i := int(sum[0]) * manyShards / 256
		by[i] = append(by[i], key)
	}
	return by
}

// callers publish and count what was taken in for each shard.
type callers struct {
	p       *kinesis.Publisher
	load    *load
	byShard [manyShards][]string
	taken   [manyShards]int
}

func (c *callers) saturate(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var errs [manyShards]error
	var wg sync.WaitGroup
	for shard := range c.byShard {
		wg.Go(func() { errs[shard] = c.publish(ctx, shard) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// publish enqueues events until ctx ends.
func (c *callers) publish(ctx context.Context, shard int) error {
	keys := c.byShard[shard]
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := c.p.EnqueueEncoded(ctx, keys[i%len(keys)], c.load.payload(i)); err != nil {
			if ctx.Err() != nil {
				break // it waited for a place
			}
			return err
		}
		c.taken[shard]++
	}
	return nil
}

// tick is how often the steady caller publishes.
const tick = 2 * time.Millisecond

func (c *callers) paced(ctx context.Context, perSecond int, until time.Time) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start := time.Now()
	for sent := 0; time.Now().Before(until); {
		due := int(time.Since(start).Seconds() * float64(perSecond))
		for ; sent < due && time.Now().Before(until); sent++ {
			shard := sent % manyShards
			keys := c.byShard[shard]
			if _, err := c.p.EnqueueEncoded(ctx, keys[sent/manyShards%len(keys)], c.load.payload(sent)); err != nil {
				return err
			}
			c.taken[shard]++
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
