package spool_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

const stream = "facts"

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t testing.TB, cfg spool.Config) *spool.Spool {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = silent
	}
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 10*time.Millisecond
	s, err := spool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(ended()) })
	return s
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// memory is a publisher that keeps everything, at once.
type memory struct {
	mu    sync.Mutex
	kept  []publisherstest.Record
	after int    // when it has so many
	then  func() // it does that, once
}

func (m *memory) Enqueue(ctx context.Context, e events.Event) (publishers.Receipt, error) {
	data, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	return m.EnqueueEncoded(ctx, e.PartitionKey, data)
}

func (m *memory) EnqueueEncoded(_ context.Context, key string, data []byte) (publishers.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, publisherstest.Record{PartitionKey: key, Data: data})
	if m.then != nil && len(m.kept) >= m.after {
		m.then()
		m.then = nil
	}
	return settled{}, nil
}

func (m *memory) records() []publisherstest.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]publisherstest.Record(nil), m.kept...)
}

type settled struct{ err error }

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (r settled) Wait(context.Context) (events.Position, error) { return events.Position{}, r.err }
func (r settled) Done() <-chan struct{}                         { return closedChannel }
