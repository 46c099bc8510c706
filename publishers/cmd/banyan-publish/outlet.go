package main

import (
	"context"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// outlet is the destination of a command: the stream, or the spool before it.
type outlet interface {
	publishers.Publisher
	// ready returns why events are not accepted, nil if they are.
	ready() error
	metrics() outletMetrics
	// watch returns when ctx ends, or with an error after which no event can be published.
	watch(ctx context.Context) error
	// close sends pending events until ctx ends. Its error says what was not sent.
	close(ctx context.Context) error
}

// direct is the stream without a spool.
type direct struct {
	*kinesis.Publisher
	patience time.Duration // a shard with events that wait longer counts as stuck
}

func (d *direct) ready() error {
	var stuck *kinesis.ShardStats
	s := d.Stats()
	for i := range s.PerShard {
		switch shard := &s.PerShard[i]; {
		case shard.OldestAge > d.patience:
			stuck = shard
		case shard.Pending > 0:
			return nil // another shard accepts events
		}
	}
	if stuck == nil {
		return nil
	}
	return fmt.Errorf("the stream accepts nothing: the oldest event has been waiting for %s; last failure: %s",
		stuck.OldestAge.Round(time.Millisecond), stuck.Failing)
}

func (d *direct) metrics() outletMetrics {
	return outletMetrics{Publisher: publisherMetricsOf(d.Stats())}
}

func (d *direct) watch(context.Context) error { return nil }

func (d *direct) close(ctx context.Context) error { return d.Close(ctx) }
