package sqsloop

import (
	"context"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// lease is a claimed turn. It sends heartbeats from startLease to stopHeartbeats.
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

// startLease begins with the claim, which is the first heartbeat and was sent at sent.
func (e *execution) startLease(ctx context.Context, turn Turn, claim string, sent time.Time) *lease {
	l := &lease{e: e, turn: turn, claim: claim, until: sent.Add(e.queue.lease())}
	ctx, l.stop = context.WithCancel(ctx)
	l.done.Go(func() { l.sendHeartbeats(ctx) })
	return l
}

// stopHeartbeats stops the heartbeats. The error is the condition that failed, if one did.
func (l *lease) stopHeartbeats() error {
	l.stop()
	l.done.Wait()
	return l.lostError()
}

func (l *lease) sendHeartbeats(ctx context.Context) {
	for backoff.Sleep(ctx, l.e.queue.heartbeat()) == nil {
		if err := l.sendHeartbeat(ctx); endsLoop(err) {
			return
		} else if ctx.Err() == nil {
			l.e.recordProblem(err) // the next one may succeed
		}
	}
}

// sendHeartbeat sends one heartbeat. The lease counts from before it was sent.
func (l *lease) sendHeartbeat(ctx context.Context) error {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(ctx, max(l.e.queue.heartbeat(), time.Second))
	defer cancel()
	err := l.e.Tokens.sendHeartbeat(ctx, l.turn, l.claim, sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case endsLoop(err):
		l.lost = err
	case err == nil && sent.Add(l.e.queue.lease()).After(l.until):
		l.until = sent.Add(l.e.queue.lease())
	}
	return err
}

func (l *lease) lostError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// ensureHeld returns nil if the token is still this loop's, by the last heartbeat or by
// one that it sends now.
func (l *lease) ensureHeld(ctx context.Context) error {
	if err := l.lostError(); err != nil {
		return err
	}
	l.mu.Lock()
	held := time.Now().Before(l.until)
	l.mu.Unlock()
	if held {
		return nil
	}
	return l.e.Tokens.retry(ctx, l.sendHeartbeat)
}
