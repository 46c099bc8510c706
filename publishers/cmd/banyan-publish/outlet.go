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
	patience time.Duration // an event that waits longer means that the stream cannot be reached
}

func (d *direct) ready() error {
	if age := d.Stats().OldestAge; age > d.patience {
		return fmt.Errorf("the stream takes nothing: the oldest event has been waiting for %s", age.Round(time.Millisecond))
	}
	return nil
}

func (d *direct) metrics() outletMetrics {
	return outletMetrics{Publisher: publisherMetricsOf(d.Stats())}
}

func (d *direct) watch(context.Context) error { return nil }

func (d *direct) close(ctx context.Context) error { return d.Close(ctx) }
