// Package worker is a process that takes part in a migration: the heartbeat that renews
// its lease in the control table, and what it sees of the heartbeats of others.
//
// Whoever writes on the strength of something that it holds in the control table asks
// [Worker.HoldsLease] immediately before; whoever wants what another holds asks
// [Worker.IsDead] of the other. The process uses its lease for two thirds of its time,
// counted from before the renewal was sent; others wait for all of it. A process that is
// paused between the question and the write is not stopped by that: only the write's own
// condition does, and that of its signature ([CheckLease]).
package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
)

// ErrLeaseLost says that this process was silent for too long and may no longer write.
var ErrLeaseLost = errors.New("this process lost its lease because it could not reach the control table in time; run it again")

// Config says under which conditions a process is a worker.
type Config struct {
	Control *control.Store
	Lease   time.Duration // a worker without a heartbeat for this long counts as dead
}

// Worker is this process, from [Start] to [Worker.Stop]. It is safe for concurrent use.
type Worker struct {
	ID string // in the control table; no two workers ever have the same

	cfg    Config
	others *liveness
	lost   chan struct{} // closed when the lease has run out
	cancel context.CancelFunc
	done   chan struct{} // closed when the heartbeat has ended

	mu    sync.Mutex
	until time.Time // of the lease
	row   *control.Worker
}

// Start registers this process as a worker with an id of its own, and renews its lease
// until [Worker.Stop] or the end of ctx.
func Start(ctx context.Context, cfg Config) (*Worker, error) {
	w := &Worker{ID: uuid.NewString(), cfg: cfg, others: newLiveness(cfg.Control), lost: make(chan struct{}), done: make(chan struct{})}
	var err error
	if w.row, err = cfg.Control.Worker(ctx, w.ID); err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // for people only
	w.row.Host, w.row.PID, w.row.Process, w.row.Lease = host, os.Getpid(), ThisProcess(), cfg.Lease
	if err := w.renew(ctx); err != nil {
		return nil, err
	}
	ctx, w.cancel = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		w.keepRenewing(ctx)
	}()
	return w, nil
}

// Stop ends the heartbeat and removes the registration; it waits for 2 s at most.
func (w *Worker) Stop() {
	w.cancel()
	<-w.done
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = w.cfg.Control.DeleteWorker(ctx, w.ID) // otherwise the lease runs out
}

func (w *Worker) renew(ctx context.Context) error {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Lease)
	defer cancel()
	w.row.Beat++
	w.row.At = sent.UTC()
	if err := w.cfg.Control.Save(ctx, w.row); err != nil {
		return fmt.Errorf("renew the lease of worker %s: %w", w.ID, err)
	}
	w.mu.Lock()
	w.until = sent.Add(w.cfg.Lease * 2 / 3)
	w.mu.Unlock()
	return nil
}

func (w *Worker) keepRenewing(ctx context.Context) {
	for backoff.Sleep(ctx, w.cfg.Lease/6) == nil {
		if err := w.renew(ctx); err != nil && ctx.Err() == nil && !w.HoldsLease() {
			close(w.lost)
			return
		}
	}
}

// HoldsLease reports whether this process may still write.
func (w *Worker) HoldsLease() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	// The monotonic clock stands still while a machine is suspended, the wall clock may be set back.
	return now.Before(w.until) && now.Round(0).Before(w.until.Round(0))
}

type boundTo struct{}

// Bind returns a context for what this worker does, see [CheckLease].
func (w *Worker) Bind(ctx context.Context) context.Context {
	return context.WithValue(ctx, boundTo{}, w)
}

// Of is the worker to which a context is bound, nil for none.
func Of(ctx context.Context) *Worker {
	w, _ := ctx.Value(boundTo{}).(*Worker)
	return w
}

// CheckLease fails with [ErrLeaseLost] where ctx is bound to a worker that has lost its
// lease. It is what the writes of a migration check behind their signature.
func CheckLease(ctx context.Context) error {
	if w := Of(ctx); w != nil && !w.HoldsLease() {
		return ErrLeaseLost
	}
	return nil
}

// AwaitLoss returns [ErrLeaseLost] once the lease has run out, or the error of ctx.
func (w *Worker) AwaitLoss(ctx context.Context) error {
	select {
	case <-w.lost:
		return ErrLeaseLost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// IsDead reports whether another worker has ended: its row is gone, its lease has run
// out, or its process on this machine has ended. "" is dead, and this worker is not.
func (w *Worker) IsDead(ctx context.Context, id string) (bool, error) {
	switch id {
	case "":
		return true, nil
	case w.ID:
		return false, nil
	}
	return w.others.isDead(ctx, id)
}
