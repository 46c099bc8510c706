package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// spoolFlags say where and how a command keeps events until they are on the stream.
type spoolFlags struct {
	Spool          string `help:"File, on a local disk, that keeps events until they are on the stream." env:"BANYAN_PUBLISH_SPOOL" placeholder:"FILE"`
	SpoolMaxBytes  int64  `help:"Most bytes of events in the spool." default:"1073741824" env:"BANYAN_PUBLISH_SPOOL_MAX_BYTES"`
	SpoolMaxEvents int64  `help:"Most events in the spool; 0 for no such limit." default:"0" env:"BANYAN_PUBLISH_SPOOL_MAX_EVENTS"`
	SpoolWhenFull  string `help:"When full, callers wait or are refused." enum:"wait,refuse" default:"wait" env:"BANYAN_PUBLISH_SPOOL_WHEN_FULL"`
}

func (f *spoolFlags) config(stream *streamFlags, log *slog.Logger) spool.Config {
	return spool.Config{
		Path: f.Spool, MaxBytes: f.SpoolMaxBytes, MaxEvents: f.SpoolMaxEvents, RefuseWhenFull: f.SpoolWhenFull == "refuse",
		MaxEventBytes: stream.MaxRecordBytes, Permanent: permanent, AckTimeout: time.Second, Log: log,
	}
}

// openSpool opens a spool. An invalid configuration is a usage error.
func openSpool(ctx context.Context, cfg spool.Config) (*spool.Spool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return spool.Open(ctx, cfg)
}

// spooled is the stream behind a spool, which accepts events whether the stream can be
// reached or not.
type spooled struct {
	*spool.Spool
	cfg kinesis.Config
	log *slog.Logger

	cancel context.CancelFunc // ends forward
	done   chan struct{}      // closed when forward has ended
	err    error              // of forward, once it has

	mu        sync.Mutex
	publisher *kinesis.Publisher // nil until connected to the stream
	missing   error              // why it is not connected
}

func openSpooled(ctx context.Context, stream *streamFlags, f *spoolFlags, log *slog.Logger) (*spooled, error) {
	cfg, err := stream.prepare(ctx)
	if err != nil {
		return nil, err
	}
	cfg.RetryRefused = true
	kept, err := openSpool(ctx, f.config(stream, log))
	if err != nil {
		return nil, err
	}
	s := &spooled{Spool: kept, cfg: cfg, log: log, done: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(s.done)
		s.err = s.forward(ctx)
	}()
	return s, nil
}

// reconnect is the pauses between attempts to reach the stream.
var reconnect = backoff.Backoff{Min: time.Second, Max: 10 * time.Second}

// forward connects to the stream, as long as that takes, and drains the spool into it.
func (s *spooled) forward(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; failures++ {
		p, err := connect(ctx, s.cfg)
		s.setPublisher(p, err)
		if err == nil {
			return s.Drain(ctx, p)
		}
		if failures == 0 && ctx.Err() == nil {
			s.log.WarnContext(ctx, "the stream cannot be reached; events stay in the spool until it can", "error", err)
		}
		_ = reconnect.Wait(ctx, failures) // an end of ctx ends the loop
	}
	return nil
}

func (s *spooled) setPublisher(p *kinesis.Publisher, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publisher, s.missing = p, err
}

func (s *spooled) stream() *kinesis.Publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.publisher
}

// nearlyFull is the share of a limit above which the spool is not ready, so that callers
// with an alternative use it before they have to wait.
const nearlyFull = 0.9

func (s *spooled) ready() error {
	st := s.Status()
	switch {
	case st.Broken != "":
		return fmt.Errorf("the spool is broken: %s", st.Broken)
	case float64(st.Bytes) >= nearlyFull*float64(st.MaxBytes), st.MaxEvents > 0 && float64(st.Events) >= nearlyFull*float64(st.MaxEvents):
		return fmt.Errorf("the spool is nearly full: %d events with %d bytes%s", st.Events, st.Bytes, s.lastError(st))
	case st.Waiting > 0:
		return fmt.Errorf("the spool is full: %d callers wait%s", st.Waiting, s.lastError(st))
	}
	return nil
}

// lastFailure begins the end of a message.
const lastFailure = "; last failure: "

// lastError says why nothing is forwarded, as the end of a message.
func (s *spooled) lastError(st spool.Status) string {
	s.mu.Lock()
	p, missing := s.publisher, s.missing
	s.mu.Unlock()
	if missing != nil {
		return lastFailure + missing.Error()
	}
	return lastError(st, p)
}

func lastError(st spool.Status, p *kinesis.Publisher) string {
	switch {
	case st.Failing:
		return lastFailure + st.LastError
	case p != nil:
		return failing(p)
	}
	return ""
}

// watchEvery is the interval of checking whether a spool is broken.
const watchEvery = time.Second

func (s *spooled) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.done:
			return s.err
		case <-tick.C:
			if text := s.Status().Broken; text != "" {
				return errors.New(text)
			}
		}
	}
}

// close sends the events in the spool until ctx ends. The rest stays there, and is in
// the error.
func (s *spooled) close(ctx context.Context) error {
	s.awaitEmpty(ctx)
	why := s.lastError(s.Status())
	s.cancel()
	<-s.done
	if p := s.stream(); p != nil {
		closeNow(p)
	}
	st := s.Status()
	err := closeIn(s.Close)
	if st.Events > 0 {
		err = errors.Join(fmt.Errorf("%s with %d bytes stay in the spool %s, to be sent after the next start or by banyan-publish spool drain%s",
			count(st.Events), st.Bytes, st.Path, why), err)
	}
	return err
}

// awaitEmpty returns when the spool is empty, when ctx ends, or when nothing drains it any
// more.
func (s *spooled) awaitEmpty(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if st := s.Status(); st.Events == 0 && st.Pending == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.done:
			return
		case <-tick.C:
		}
	}
}

// spoolMetrics are those of a spool.
type spoolMetrics struct {
	Events    uint64  `json:"events"`
	Bytes     uint64  `json:"bytes"`
	MaxBytes  int64   `json:"max_bytes"`
	FileBytes int64   `json:"file_bytes"`
	OldestMS  float64 `json:"oldest_ms"`
	Pending   int     `json:"pending"`
	Waiting   int     `json:"waiting"`
	InFlight  int     `json:"in_flight"`
	Refused   uint64  `json:"refused"`
	Enqueued  uint64  `json:"enqueued"`
	Forwarded uint64  `json:"forwarded"`
	Failing   bool    `json:"failing"`
	LastError string  `json:"last_error,omitempty"`
	Salvages  int     `json:"salvages"`
}

func (s *spooled) metrics() outletMetrics {
	var all outletMetrics
	if p := s.stream(); p != nil {
		all.Publisher = publisherMetricsOf(p.Stats())
	}
	st := s.Status()
	why := strings.TrimPrefix(s.lastError(st), lastFailure)
	all.Spool = &spoolMetrics{
		Events: st.Events, Bytes: st.Bytes, MaxBytes: st.MaxBytes, FileBytes: st.FileBytes, OldestMS: milliseconds(st.OldestAge),
		Pending: st.Pending, Waiting: st.Waiting, InFlight: st.InFlight, Refused: st.Refused, Enqueued: st.Enqueued,
		Forwarded: st.Forwarded, Failing: why != "", LastError: why, Salvages: len(st.Salvages),
	}
	return all
}
