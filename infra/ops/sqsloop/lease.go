package sqsloop

import (
	"context"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// lease is a claimed turn. It sends heartbeats from hold to end.
type lease struct {
	e     *execution
	turn  Turn
	claim string
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu    sync.Mutex
	until time.Time // polls begin before it
	lost  error     // the condition that failed
}

// hold begins with the claim, which is the first heartbeat and was sent at a
// known time.
func (e *execution) hold(ctx context.Context, turn Turn, claim string, sent time.Time) *lease {
	l := &lease{e: e, turn: turn, claim: claim, until: sent.Add(e.queue.lease())}
	ctx, l.stop = context.WithCancel(ctx)
	l.done.Go(func() { l.keep(ctx) })
	return l
}

// end ends the heartbeats. The error is the condition that failed, if one did.
func (l *lease) end() error {
	l.stop()
	l.done.Wait()
	return l.over()
}

func (l *lease) keep(ctx context.Context) {
	for backoff.Sleep(ctx, l.e.queue.heartbeat()) == nil {
		if err := l.beat(ctx); isOver(err) {
			return
		} else if ctx.Err() == nil {
			l.e.problem(err) // the next one may get through
		}
	}
}

// beat sends one heartbeat. The lease counts from before it was sent.
func (l *lease) beat(ctx context.Context) error {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(ctx, max(l.e.queue.heartbeat(), time.Second))
	defer cancel()
	err := l.e.Tokens.beat(ctx, l.turn, l.claim, sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case isOver(err):
		l.lost = err
	case err == nil && sent.Add(l.e.queue.lease()).After(l.until):
		l.until = sent.Add(l.e.queue.lease())
	}
	return err
}

func (l *lease) over() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// renew makes sure that the token is still this loop's: by the last heartbeat,
// or by one that is sent now.
func (l *lease) renew(ctx context.Context) error {
	if err := l.over(); err != nil {
		return err
	}
	l.mu.Lock()
	held := time.Now().Before(l.until)
	l.mu.Unlock()
	if held {
		return nil
	}
	return l.e.Tokens.retry(ctx, l.beat)
}
