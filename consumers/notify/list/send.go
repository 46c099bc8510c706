package list

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// Defaults of Config, and MaxRecipients of a list.
const (
	DefaultConcurrency = 256
	DefaultBatch       = 100
	DefaultAttempts    = 8
	MaxRecipients      = 20_000_000
	sendTimeout        = 15 * time.Second
)

// Config configures Send. Path and Campaign are required.
type Config struct {
	Campaign
	// Path is the list's. Progress is the progress file's, default Path.progress, and
	// Failures that of what could not be sent, default Path.failed.
	Path, Progress, Failures string
	// Concurrency is how many messages are under way, and Batch how many recipients
	// progress is kept of together.
	Concurrency, Batch int
	// Rate bounds messages a second. 0 does not.
	Rate float64
	// Attempts at a recipient whom the provider refuses.
	Attempts int
	// DryRun reads and renders everything, and sends and writes nothing.
	DryRun bool
	// Backoff is between attempts.
	Backoff backoff.Backoff
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Progress, c.Failures = cmp.Or(c.Progress, c.Path+".progress"), cmp.Or(c.Failures, c.Path+".failed")
	c.Concurrency, c.Batch, c.Attempts = cmp.Or(c.Concurrency, DefaultConcurrency), cmp.Or(c.Batch, DefaultBatch), cmp.Or(c.Attempts, DefaultAttempts)
	c.Backoff.Min, c.Backoff.Max = cmp.Or(c.Backoff.Min, 200*time.Millisecond), cmp.Or(c.Backoff.Max, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Send sends a list, or goes on with it. When ctx ends it finishes what it began and
// returns the cause. The progress is true in any case. An error says why it stopped: the
// list or the progress file cannot be used, or the provider denies us everything.
func Send(ctx context.Context, cfg Config) (Progress, error) {
	cfg = cfg.withDefaults()
	if cfg.Template == nil || cfg.Name == "" {
		return Progress{}, errors.New("send list: a template and the campaign's name are required")
	}
	f, err := open(ctx, cfg.Path)
	if err != nil {
		return Progress{}, err
	}
	defer f.Close()
	fresh := Progress{
		List: f.identity, Template: cfg.Template.Name, Delivery: string(cfg.Template.Delivery),
		Batch: cfg.Batch, Started: cfg.Now().UTC().Truncate(time.Millisecond), Results: map[string]int64{},
	}
	if cfg.DryRun {
		return dryRun(ctx, cfg, f, fresh)
	}
	l, err := openLedger(cfg.Progress, fresh)
	if err != nil {
		return Progress{}, err
	}
	s := &sending{cfg: cfg, ledger: l, started: l.view().Started, limiter: rate.NewLimiter(rate.Inf, 0)}
	if cfg.Rate > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(cfg.Rate), max(int(cfg.Rate/10), 1))
	}
	err = errors.Join(s.run(ctx, f), l.close())
	return l.view(), err
}

// sending is one run of Send.
type sending struct {
	cfg     Config
	ledger  *ledger
	started time.Time
	limiter *rate.Limiter
	paused  atomic.Int64 // until when the provider wants nothing, in Unix nanoseconds

	failures sync.Mutex // of the file of failures
}

// batch is a part of the list that is done together.
type batch struct {
	Span
	rows    []Row
	results map[string]int64
	failed  []failure
	mu      sync.Mutex
	left    int
}

// failure is a line of the file of failures.
type failure struct {
	Line    int64  `json:"line"`
	Result  string `json:"result"`
	Address string `json:"address,omitempty"` // as in logs, without the token
	Why     string `json:"why,omitempty"`
}

type task struct {
	*batch
	row Row
}

func (s *sending) run(ctx context.Context, f *file) error {
	if s.cfg.Template.Delivery == template.AtMostOnce {
		s.ledger.update((*Progress).giveUp)
	}
	// The end of ctx stops the reading; what was begun is finished. An error stops both.
	group, work := errgroup.WithContext(context.WithoutCancel(ctx))
	tasks, complete := make(chan task), false
	for range s.cfg.Concurrency {
		group.Go(func() error {
			for t := range tasks {
				if err := s.do(work, t); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(tasks)
		done := s.ledger.view() // when the run began
		err := readBatches(f, done.Batch, done.done, func(b *batch) error { return s.begin(ctx, work, b, tasks) })
		switch {
		case errors.Is(err, errStopped):
			return nil // so that the workers finish
		case err != nil:
			return err
		}
		complete = true
		return f.unchanged()
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if !complete {
		return context.Cause(ctx)
	}
	s.ledger.update(func(p *Progress) { p.Complete = true })
	return nil
}

// errStopped ends the reading of a list whose context ended.
var errStopped = errors.New("stopped")

// begin hands the rows of a batch to the workers.
func (s *sending) begin(ctx, work context.Context, b *batch, tasks chan<- task) error {
	if ctx.Err() != nil {
		return errStopped
	}
	if b.left = len(b.rows); b.left == 0 {
		return s.end(b)
	}
	begun := s.ledger.update(func(p *Progress) { p.Begun = max(p.Begun, b.To) })
	if s.cfg.Template.Delivery == template.AtMostOnce {
		if err := s.ledger.wait(begun); err != nil {
			return err
		}
	}
	for _, row := range b.rows {
		select {
		case tasks <- task{b, row}:
		case <-work.Done():
			return context.Cause(work)
		}
	}
	return nil
}

// do sends to one recipient, and ends the batch with the last.
func (s *sending) do(ctx context.Context, t task) error {
	result, why, err := s.attempts(ctx, t.row)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.results[result]++
	switch result {
	case string(store.Sent), string(store.Suppressed), string(store.Deferred):
	default:
		t.failed = append(t.failed, failureOf(t.row, result, why))
	}
	t.left--
	last := t.left == 0
	t.mu.Unlock()
	if last {
		return s.end(t.batch)
	}
	return nil
}

func failureOf(r Row, result, why string) failure {
	f := failure{Line: r.Line, Result: result, Why: why}
	if r.Token != "" {
		f.Address = r.Address.ID()
	}
	return f
}

// end makes a batch done, its failures first.
func (s *sending) end(b *batch) error {
	if err := s.writeFailures(b.failed); err != nil {
		return err
	}
	s.ledger.update(func(p *Progress) {
		for result, n := range b.results {
			p.Results[result] += n
		}
		p.finish(b.Span)
	})
	return nil
}

func (s *sending) writeFailures(failed []failure) error {
	if len(failed) == 0 {
		return nil
	}
	var text []byte
	for _, f := range failed {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	s.failures.Lock()
	defer s.failures.Unlock()
	file, err := os.OpenFile(s.cfg.Failures, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write down what could not be sent: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// attempts tries until there is a result. An error stops the list: nobody can be sent to.
func (s *sending) attempts(ctx context.Context, r Row) (result, why string, err error) {
	for attempt := 0; ; attempt++ {
		if err := s.admit(ctx); err != nil {
			return "", "", err
		}
		result, failed := s.attempt(ctx, r)
		switch {
		case failed == nil:
			return result, "", nil
		case failed.Verdict == channel.Denied:
			return "", "", fmt.Errorf("send to line %d: %w; correct that and run the same command again", r.Line, failed)
		case failed.Verdict == channel.Unknown && s.cfg.Template.Delivery == template.AtMostOnce:
			return string(store.Uncertain), failed.Error(), nil
		case attempt+1 >= s.cfg.Attempts:
			return failed.Verdict.String(), failed.Error(), nil
		}
		if failed.After > 0 {
			s.pause(s.cfg.Now().Add(failed.After))
		}
		if err := s.cfg.Backoff.Wait(ctx, attempt); err != nil {
			return "", "", err
		}
	}
}

func (s *sending) attempt(ctx context.Context, r Row) (string, *channel.Error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.cfg.deliver(ctx, r, s.started)
}

// pause holds all messages back until a time that the provider named.
func (s *sending) pause(until time.Time) {
	for {
		old := s.paused.Load()
		if old >= until.UnixNano() || s.paused.CompareAndSwap(old, until.UnixNano()) {
			return
		}
	}
}

// admit waits for the pause and the rate.
func (s *sending) admit(ctx context.Context) error {
	for {
		until := s.paused.Load()
		left := time.Duration(until - s.cfg.Now().UnixNano())
		if until == 0 || left <= 0 {
			return s.limiter.Wait(ctx)
		}
		if err := backoff.Sleep(ctx, left); err != nil {
			return err
		}
	}
}
