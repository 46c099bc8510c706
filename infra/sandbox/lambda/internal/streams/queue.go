package streams

import (
	"context"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Queue is a queue of messages. Its methods are called by many goroutines.
type Queue interface {
	// Receive waits for messages, at most for the time given, and returns up to
	// limit of them: fewer where the queue hands out fewer, none where none came.
	// From then on they are hidden for the queue's visibility timeout.
	Receive(ctx context.Context, limit int, wait time.Duration) ([]Record, error)
	// Delete removes messages that were received.
	Delete(ctx context.Context, messages []Record) error
}

// longPoll is how long Lambda asks a queue for messages (developer guide,
// "Using Lambda with Amazon SQS", "Polling and batching behavior").
const longPoll = 20 * time.Second

// ReadQueue delivers a queue's messages until the context ends, and returns when
// no invocation is under way any more. It never gives up: what goes wrong is in
// the status, and is tried again. Of the configuration it uses the Invoker, Pace
// and Status.
func ReadQueue(ctx context.Context, q Queue, cfg Config, s Settings) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range s.Pollers {
		p := &poller{queue: q, cfg: cfg, settings: s}
		wg.Go(func() { p.run(ctx) })
	}
	cfg.Status.begin()
}

// poller delivers one batch after the other.
type poller struct {
	queue    Queue
	cfg      Config
	settings Settings
	held     []Record // received, not yet tried
	since    time.Time
}

func (p *poller) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		if err := p.gather(ctx); err != nil {
			p.cfg.Status.problem(err.Error())
			_ = backoff.Sleep(ctx, p.cfg.Pace.pause(failures))
			failures++
			continue
		}
		failures = 0
		if n := fits(p.held, p.settings.BatchSize); n > 0 {
			batch := p.held[:n]
			p.held = p.held[n:]
			p.deliver(ctx, batch)
		}
	}
}

// gather receives until a batch is full by number or size, or the window since
// its first message has passed, or half of the time for which that is hidden;
// without a window, what one receive returns is a batch.
func (p *poller) gather(ctx context.Context) error {
	for {
		if p.expired() {
			p.held = nil // visible again, so somebody else's
		}
		left := p.settings.BatchSize - len(p.held)
		wait := longPoll
		if len(p.held) > 0 {
			wait = min(longPoll, time.Until(p.since.Add(min(p.settings.Window, p.settings.Visibility/2))))
		}
		if left <= 0 || wait <= 0 || fits(p.held, len(p.held)) < len(p.held) {
			return nil
		}
		messages, err := p.queue.Receive(ctx, left, wait)
		if err != nil {
			return err
		}
		kept, err := p.filter(ctx, messages)
		if len(p.held) == 0 {
			p.since = time.Now()
		}
		p.held = append(p.held, kept...)
		if err != nil {
			return err
		}
	}
}

// expired reports whether the oldest message held may have become visible again.
func (p *poller) expired() bool {
	return len(p.held) > 0 && time.Since(p.since) >= p.settings.Visibility
}

// filter deletes the messages that are not for the function ("Using event
// filtering with an Amazon SQS event source").
func (p *poller) filter(ctx context.Context, messages []Record) (kept []Record, err error) {
	var rest []Record
	for _, m := range messages {
		if p.settings.Filter.Keeps(m.Event) {
			kept = append(kept, m)
		} else {
			rest = append(rest, m)
		}
	}
	return kept, p.delete(ctx, rest)
}

func (p *poller) delete(ctx context.Context, messages []Record) error {
	if len(messages) == 0 {
		return nil
	}
	return p.queue.Delete(ctx, messages)
}

// deliver invokes the function once. An invocation that was throttled is tried
// again for as long as the messages are hidden; one that failed is not ("Handling
// errors for an SQS event source in Lambda", "Backoff strategy").
func (p *poller) deliver(ctx context.Context, batch []Record) {
	body := payload(batch)
	for n := 0; time.Since(p.since) < p.settings.Visibility; n++ {
		out := p.cfg.Invoker.Invoke(ctx, body)
		if !out.Undelivered {
			p.settle(ctx, batch, out)
			return
		}
		p.cfg.Status.problem(out.Reason)
		if backoff.Sleep(ctx, p.cfg.Pace.pause(n)) != nil {
			return
		}
	}
	p.held = nil
}

// settle deletes what succeeded.
func (p *poller) settle(ctx context.Context, batch []Record, out Outcome) {
	failed := failures(out, batch, p.settings.ReportFailures)
	var done []Record
	for i, next := 0, failed; i < len(batch); i++ {
		if len(next) > 0 && next[0] == i {
			next = next[1:]
			continue
		}
		done = append(done, batch[i])
	}
	if len(failed) > 0 {
		p.cfg.Status.problem(callFailed)
		p.held = nil // they may be of the same group, and must not overtake
	} else {
		p.cfg.Status.ok()
	}
	if len(failed) == 0 && out.Again.Deliver {
		p.cfg.Invoker.Invoke(ctx, payload(out.Again.part(batch)))
	}
	if err := p.delete(ctx, done); err != nil { // they are received again
		p.cfg.Status.problem(err.Error())
	}
}
