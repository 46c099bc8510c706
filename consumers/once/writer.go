package once

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// Client is the part of the DynamoDB client that a Writer uses.
type Client interface {
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// The limits of a transaction, the second with a reserve for what is estimated.
const (
	maxKeys  = 100
	maxBytes = 3 << 20
)

// Defaults of [Config].
const (
	defaultWriters  = 4
	defaultAttempts = 12
	defaultTimeout  = 8 * time.Second
)

// Config configures a Writer. Client and Table are required.
type Config struct {
	Client   Client
	Table    string          // with the keys pk and sk, both texts
	Writers  int             // transactions in flight at the same time; 0: 4
	Attempts int             // at one transaction; 0: 12
	Timeout  time.Duration   // of all attempts together; 0: 8 s
	Delays   backoff.Backoff // between attempts; zero: 20 ms, doubled up to 1 s
}

// Writer carries out changes, those of different callers in shared transactions. Safe
// for concurrent use. Its backlog is bounded by its callers: each waits for its own
// changes.
type Writer struct {
	cfg Config

	mu      sync.Mutex
	backlog []*pending
	busy    map[Key]bool // in the transactions in flight
	writers int
}

// pending is a change that a caller waits for.
type pending struct {
	change      Change
	size        int
	transaction *transaction // once it is in flight
	dropped     bool         // its condition did not hold
	err         error
	done        chan struct{}
}

// NewWriter makes a writer.
func NewWriter(cfg Config) *Writer {
	cfg.Writers = cmp.Or(cfg.Writers, defaultWriters)
	cfg.Attempts = cmp.Or(cfg.Attempts, defaultAttempts)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if cfg.Delays.Min == 0 {
		cfg.Delays = backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second, Random: cfg.Delays.Random}
	}
	return &Writer{cfg: cfg, busy: map[Key]bool{}}
}

// Write carries out the changes and reports for each whether it took effect: false is
// one whose condition did not hold. The changes are independent of each other and in
// no order.
//
// After an error, see [Classify], any of them may have taken effect, also a little
// later when ctx ended first: a transaction in flight continues as long as a caller
// waits for a part of it, at most for Config.Timeout.
func (w *Writer) Write(ctx context.Context, changes ...Change) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, Classify(err)
	}
	all := make([]*pending, len(changes))
	for i, c := range changes {
		if n := len(c.Ops) + len(c.Adds); n == 0 || n > maxKeys {
			return nil, consumers.Permanent(fmt.Errorf("write to %s: a change has %d keys, must be 1 to %d", w.cfg.Table, n, maxKeys))
		}
		all[i] = &pending{change: c, size: c.size(), done: make(chan struct{})}
	}
	w.enqueue(ctx, all)
	applied, err := w.await(ctx, all)
	if err != nil {
		return nil, Classify(fmt.Errorf("write to %s: %w", w.cfg.Table, err))
	}
	return applied, nil
}

// Apply carries out the changes and returns [consumers.ErrStale] when the condition of
// the first one did not hold. What becomes of the others is not reported.
func (w *Writer) Apply(ctx context.Context, first Change, others ...Change) error {
	applied, err := w.Write(ctx, append([]Change{first}, others...)...)
	if err == nil && !applied[0] {
		return consumers.ErrStale
	}
	return err
}

// enqueue appends to the backlog and starts writers. A writer is a goroutine that ends
// when the backlog is empty; callers wait for what it writes.
func (w *Writer) enqueue(ctx context.Context, all []*pending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.backlog = append(w.backlog, all...)
	const share = maxKeys / 4 // of a transaction is worth another writer
	for n := (len(all) + share - 1) / share; n > 0 && w.writers < w.cfg.Writers; n-- {
		w.writers++
		go w.drainBacklog(context.WithoutCancel(ctx))
	}
}

func (w *Writer) await(ctx context.Context, all []*pending) ([]bool, error) {
	defer w.withdraw(all)
	applied := make([]bool, len(all))
	for i, p := range all {
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.err != nil {
			return nil, p.err
		}
		applied[i] = !p.dropped
	}
	return applied, nil
}

// withdraw removes what is not in flight yet from the backlog, and cancels
// transactions that no caller waits for any more.
func (w *Writer) withdraw(all []*pending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := map[*pending]bool{}
	for _, p := range all {
		if p.transaction == nil {
			waiting[p] = true
		} else if p.transaction.awaited--; p.transaction.awaited == 0 {
			p.transaction.cancel()
		}
	}
	if len(waiting) > 0 {
		w.backlog = slices.DeleteFunc(w.backlog, func(p *pending) bool { return waiting[p] })
	}
}

func (w *Writer) drainBacklog(ctx context.Context) {
	for t := w.dequeueTransaction(ctx, nil); t != nil; t = w.dequeueTransaction(ctx, t) {
		w.commit(t.ctx, t.changes)
		t.cancel()
	}
}

// dequeueTransaction removes changes from the backlog after the transaction ended, if
// any: the first, and those after it that fit and share no key with it. A change with
// a key that is in flight waits for that transaction's writer: two transactions with a
// key in common would only cancel each other. nil ends the writer.
func (w *Writer) dequeueTransaction(ctx context.Context, ended *transaction) *transaction {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.releaseLocked(ended)
	t := &transaction{ops: map[Key]bool{}, adds: map[Key]bool{}}
	rest := w.backlog[:0]
	for i, p := range w.backlog {
		if t.isFull() {
			rest = append(rest, w.backlog[i:]...)
			break
		}
		if w.isBusyLocked(p) || !t.add(p) {
			rest = append(rest, p)
		}
	}
	clear(w.backlog[len(rest):])
	w.backlog = rest
	if len(t.changes) == 0 {
		w.writers--
		return nil
	}
	t.begin(ctx, w.cfg.Timeout)
	maps.Copy(w.busy, t.ops)
	maps.Copy(w.busy, t.adds)
	return t
}

func (w *Writer) releaseLocked(t *transaction) {
	if t == nil {
		return
	}
	for k := range t.ops {
		delete(w.busy, k)
	}
	for k := range t.adds {
		delete(w.busy, k)
	}
}

func (w *Writer) isBusyLocked(p *pending) bool {
	return slices.ContainsFunc(p.change.Ops, func(o Op) bool { return w.busy[o.key] }) ||
		slices.ContainsFunc(p.change.Adds, func(a Add) bool { return w.busy[a.Key] })
}
