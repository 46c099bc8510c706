package kinesis_test

import (
	"context"
	"testing"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
)

// TestPort holds the publisher to what all publishers promise.
func TestPort(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]kinesis.Config{
		"aggregated": {},
		"plain":      {NoAggregation: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publisherstest.Run(t, publisherstest.Harness{
				New:    func(t *testing.T, o publisherstest.Options) publisherstest.Subject { return subject(t, cfg, o) },
				Closed: kinesis.ErrClosed,
				Full:   kinesis.ErrFull,
			})
		})
	}
}

func subject(t *testing.T, cfg kinesis.Config, o publisherstest.Options) publisherstest.Subject {
	w := newWorld(t, 2, sandbox.Config{Unlimited: true})
	held, release := blocked(w)
	if !o.Held {
		release()
	}
	cfg.Client, cfg.RefuseWhenFull = held, o.Refuse
	if o.Small {
		cfg.MaxPending = 20
	}
	p := w.publisher(cfg)
	return publisherstest.Subject{Publisher: p, Release: release, Close: p.Close,
		Kept: func(context.Context) ([]publisherstest.Record, error) { return w.kept(), nil }}
}

// kept are the events where their keys belong.
func (w *world) kept() (all []publisherstest.Record) {
	for _, f := range w.read() {
		all = append(all, f.record())
	}
	return all
}
