package spool_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// TestConformance runs the suite of all publishers. What the spool has kept is on
// disk; held, it is not drained.
func TestConformance(t *testing.T) {
	publisherstest.Run(t, publisherstest.Harness{
		New:    newSubject,
		Closed: spool.ErrClosed,
		Full:   spool.ErrFull,
	})
}

// keeping returns when an event is kept, which a spool does while it cannot pass
// anything on.
type keeping struct{ *spool.Spool }

func (k keeping) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	r, err := k.Spool.EnqueueEncoded(ctx, key, data)
	if err == nil {
		select {
		case <-r.Done():
		case <-ctx.Done():
		}
	}
	return r, err
}

func newSubject(t *testing.T, o publisherstest.Options) publisherstest.Subject {
	cfg := spool.Config{Path: filepath.Join(memoryDirectory(t), "events.spool"), RefuseWhenFull: o.Refuse}
	if o.Small {
		cfg.MaxEvents = 20
	}
	s := open(t, cfg)
	to := &memory{}
	drained := make(chan struct{})
	release := func() {}
	if o.Held || o.Small {
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		released := false
		release = func() {
			if !released {
				released = true
				go func() { defer close(drained); _ = s.Drain(ctx, to) }()
				t.Cleanup(func() { cancel(); <-drained })
			}
		}
	}
	return publisherstest.Subject{
		Publisher: keeping{s},
		Release:   release,
		Close:     s.Close,
		Kept: func(ctx context.Context) (kept []publisherstest.Record, err error) {
			onDisk := make(map[uint64]publisherstest.Record)
			last := uint64(0)
			err = spool.Read(ctx, cfg.Path, func(e spool.Entry, data []byte) error {
				last = e.Number
				onDisk[last] = publisherstest.Record{PartitionKey: e.PartitionKey, Data: bytes.Clone(data)}
				return nil
			})
			kept = to.records() // what was forwarded meanwhile is in both
			for n := uint64(len(kept)) + 1; n <= last; n++ {
				kept = append(kept, onDisk[n])
			}
			return kept, err
		},
	}
}
