package migrate

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/process"
	"github.com/banyan-fig/banyan/migrate/internal/state"
)

// workerRow is one process that takes part in a migration. Its beat grows with each
// renewal; a process whose beat did not grow for a whole lease counts as dead. So no
// two machines' clocks are ever compared.
type workerRow struct {
	state.Row
	ID   string    `dynamodbav:"id"`
	Beat int64     `dynamodbav:"beat"`
	At   time.Time `dynamodbav:"at"` // for people only
	Host string    `dynamodbav:"host"`
	PID  int       `dynamodbav:"pid"`
	// Process identifies the process for others on the same machine, which need not
	// wait for the lease of one that has ended.
	Process string `dynamodbav:"process"`
	// Lease is this worker's own: the silence after which it is dead.
	Lease time.Duration `dynamodbav:"lease"`
}

const workerPrefix = "worker#"

// heartbeat renews the lease of this process. The process uses the lease for two thirds
// of its time, counted from before the renewal was sent; others wait for all of it.
type heartbeat struct {
	e     *Engine
	mu    sync.Mutex
	until time.Time
	row   workerRow
}

// startHeartbeat registers this process; lost is closed when its lease has run out, and
// stop ends the heartbeat and removes the registration.
func (e *Engine) startHeartbeat(ctx context.Context) (p *heartbeat, lost <-chan struct{}, stop func(), err error) {
	host, _ := os.Hostname() // for people only
	p = &heartbeat{e: e}
	if _, err := e.state.Load(ctx, workerPrefix+e.worker, &p.row); err != nil {
		return nil, nil, nil, err
	}
	p.row.ID, p.row.Host, p.row.PID, p.row.Process, p.row.Lease = e.worker, host, os.Getpid(), process.Self(), e.Lease
	if err := p.renew(ctx); err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		p.keepRenewing(ctx, ended)
	}()
	return p, ended, func() {
		cancel()
		<-done
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if !e.crashed.Load() {
			_ = e.state.Delete(out, workerPrefix+e.worker) // otherwise the lease runs out
		}
	}, nil
}

func (p *heartbeat) renew(ctx context.Context) error {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.e.Lease)
	defer cancel()
	p.row.Beat++
	p.row.At = sent.UTC()
	if err := p.e.state.Save(ctx, &p.row); err != nil {
		return fmt.Errorf("renew the lease of worker %s: %w", p.e.worker, err)
	}
	p.mu.Lock()
	p.until = sent.Add(p.e.Lease * 2 / 3)
	p.mu.Unlock()
	return nil
}

func (p *heartbeat) keepRenewing(ctx context.Context, lost chan<- struct{}) {
	for backoff.Sleep(ctx, p.e.Lease/6) == nil {
		if err := p.renew(ctx); err != nil && ctx.Err() == nil && !p.holdsLease() {
			close(lost)
			return
		}
	}
}

// holdsLease reports whether this process may still write.
func (p *heartbeat) holdsLease() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.until)
}

// liveness observes the heartbeats of the other workers.
type liveness struct {
	e    *Engine
	mu   sync.Mutex
	seen map[string]sighting
	read time.Time
}

type sighting struct {
	beat    int64
	since   time.Time
	lease   time.Duration
	process string
}

func (e *Engine) newLiveness() *liveness { return &liveness{e: e, seen: map[string]sighting{}} }

// isDead reports whether a worker has ended: its row is gone, its lease has run out, or
// its process on this machine has ended.
func (v *liveness) isDead(ctx context.Context, worker string) (bool, error) {
	if worker == "" {
		return true, nil
	}
	if worker == v.e.worker {
		return false, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.refreshLocked(ctx); err != nil {
		return false, err
	}
	s, known := v.seen[worker]
	return !known || time.Since(s.since) > s.lease || process.Ended(s.process) && time.Since(s.since) > process.Grace, nil
}

// refreshLocked reads the list of workers at most five times a second.
func (v *liveness) refreshLocked(ctx context.Context) error {
	if time.Since(v.read) < 200*time.Millisecond {
		return nil
	}
	rows, err := state.List[workerRow](ctx, v.e.state, workerPrefix)
	if err != nil {
		return err
	}
	v.read = time.Now()
	now := map[string]sighting{}
	for _, r := range rows {
		s, known := v.seen[r.ID]
		if !known || s.beat != r.Beat {
			s = sighting{beat: r.Beat, since: v.read, lease: r.Lease, process: r.Process}
		}
		now[r.ID] = s
	}
	v.seen = now
	return nil
}
