package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers/notify/store"
)

// Of a sweep: pointers read at a time, and notifications sent at a time.
const (
	sweepPage        = 100
	sweepConcurrency = 32
)

// Report counts what a sweep did, by the state that a notification then had.
type Report map[store.State]int

// Sweep sends what is due, until nothing is or ctx ends, which is no error: the next sweep
// goes on. Sweeps at the same time are harmless. An error says what could not be done, the
// first of each shard; everything else was.
func (e *Engine) Sweep(ctx context.Context) (Report, error) {
	s := sweep{engine: e, report: Report{}}
	s.work.SetLimit(sweepConcurrency)
	var errs []error
	for shard := range store.Shards {
		if err := s.shard(ctx, shard); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.work.Wait(), s.failure)
	if ctx.Err() != nil {
		return s.report, nil
	}
	return s.report, errors.Join(errs...)
}

type sweep struct {
	engine *Engine
	work   errgroup.Group

	mu      sync.Mutex
	report  Report
	failure error // the first
}

func (s *sweep) shard(ctx context.Context, shard int) error {
	now := s.engine.cfg.Now()
	for after := (store.Pointer{}); ctx.Err() == nil; {
		page, err := s.engine.cfg.Store.Due(ctx, shard, after, sweepPage, now)
		if err != nil {
			return err
		}
		for _, p := range page {
			s.work.Go(func() error {
				s.count(s.engine.sendDue(ctx, p))
				return nil
			})
		}
		if len(page) < sweepPage {
			return nil
		}
		after = page[len(page)-1]
	}
	return nil
}

func (s *sweep) count(r store.Record, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, ErrClaimed): // whoever has it finishes it, or a later sweep does
	case err != nil && s.failure == nil:
		s.failure = err
	case err == nil && done:
		s.report[r.State]++
	}
}

// sendDue sends what a pointer points to.
func (e *Engine) sendDue(ctx context.Context, p store.Pointer) (store.Record, bool, error) {
	if ctx.Err() != nil {
		return store.Record{}, false, nil
	}
	r, found, err := e.cfg.Store.Follow(ctx, p)
	if err != nil || !found {
		return r, false, err
	}
	var j job
	if err := json.Unmarshal(r.Job, &j); err != nil {
		return r, false, fmt.Errorf("decode the deferred notification %s of event %q: %w", r.Template, r.Event, err)
	}
	user, err := e.cfg.Store.User(ctx, r.User)
	if err != nil {
		return r, false, err
	}
	return e.resume(ctx, r, j, user)
}
