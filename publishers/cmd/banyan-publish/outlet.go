package main

import (
	"context"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// outlet is where the events of a command go.
type outlet interface {
	publishers.Publisher
	// ready tells why callers would wait in vain, nil if they would not.
	ready() error
	metrics() outletMetrics
	// watch returns when ctx ends, or with what makes going on senseless.
	watch(ctx context.Context) error
	// close sends what is left until ctx ends, and accounts for what was not sent.
	close(ctx context.Context) error
}

// direct is the stream without a spool.
type direct struct {
	*kinesis.Publisher
	patience time.Duration // a shard whose events wait longer takes nothing
}

func (d *direct) ready() error {
	var stuck *kinesis.ShardStats
	s := d.Stats()
	for i := range s.PerShard {
		switch shard := &s.PerShard[i]; {
		case shard.OldestAge > d.patience:
			stuck = shard
		case shard.Pending > 0:
			return nil // another shard gets on
		}
	}
	if stuck == nil {
		return nil
	}
	return fmt.Errorf("the stream takes nothing: the oldest event has been waiting for %s; last failure: %s", stuck.OldestAge.Round(time.Millisecond), stuck.Failing)
}

func (d *direct) metrics() outletMetrics {
	return outletMetrics{Publisher: publisherMetricsOf(d.Stats())}
}

func (d *direct) watch(context.Context) error { return nil }

func (d *direct) close(ctx context.Context) error { return d.Close(ctx) }
