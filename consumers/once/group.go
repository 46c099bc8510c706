package once

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Client is the part of the DynamoDB client that a Group uses.
type Client interface {
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// The limits of a transaction, the second with a reserve for what is estimated.
const (
	maxItems = 100
	maxBytes = 3 << 20
)

// Defaults of [Config].
const (
	DefaultWriters  = 4
	DefaultAttempts = 12
	DefaultTimeout  = 8 * time.Second
)

// Config says how a Group writes. Client and Table are required.
type Config struct {
	Client   Client
	Table    string
	Writers  int                      // transactions at the same time; 0: 4
	Attempts int                      // at one transaction; 0: 12
	Timeout  time.Duration            // of all attempts together; 0: 8 s
	Base     time.Duration            // longest first pause between attempts, doubled each time up to 1 s; 0: 20 ms
	Random   func(n int64) int64      // jitter in [0,n); nil: math/rand/v2
	Requests func(items, callers int) // told of each request, for tests; may be nil
}

// Group shares transactions between callers. Safe for concurrent use. What
// waits is bounded by what the callers hold: each waits for its own steps.
type Group struct {
	cfg Config

	mu      sync.Mutex
	queue   []*job
	busy    map[Key]bool // in the transactions on their way
	writers int
}

// job is a step on its way.
type job struct {
	step    Step
	size    int
	in      *transaction // once it is on its way
	dropped bool
	err     error
	done    chan struct{}
}

// NewGroup makes a group.
func NewGroup(cfg Config) *Group {
	if cfg.Writers == 0 {
		cfg.Writers = DefaultWriters
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = DefaultAttempts
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Base == 0 {
		cfg.Base = 20 * time.Millisecond
	}
	if cfg.Random == nil {
		cfg.Random = rand.Int64N
	}
	return &Group{cfg: cfg, busy: map[Key]bool{}}
}

// Do carries out the steps and tells for each whether it took effect; false is
// a step whose condition did not hold. After an error any of them may have
// taken effect, also a little later when ctx ended first: a transaction on its
// way goes on as long as a caller waits for a part of it, at most for the group's
// own Timeout.
func (g *Group) Do(ctx context.Context, steps ...Step) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	jobs := make([]*job, len(steps))
	for i, s := range steps {
		if n := len(s.Items) + len(s.Adds); n == 0 || n > maxItems {
			return nil, fmt.Errorf("commit to %s: a step of %d items, 1 to %d can be", g.cfg.Table, n, maxItems)
		}
		jobs[i] = &job{step: s, size: s.size(), done: make(chan struct{})}
	}
	g.enqueue(ctx, jobs)
	return g.await(ctx, jobs)
}

// enqueue puts jobs in line and sees to it that somebody writes. A writer is a
// goroutine that lives as long as there is something to write, and somebody
// waits for it.
func (g *Group) enqueue(ctx context.Context, jobs []*job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, jobs...)
	for spawn := (len(jobs) + maxItems/4 - 1) / (maxItems / 4); spawn > 0 && g.writers < g.cfg.Writers; spawn-- {
		g.writers++
		go g.write(context.WithoutCancel(ctx))
	}
}

func (g *Group) await(ctx context.Context, jobs []*job) ([]bool, error) {
	defer g.leave(jobs)
	applied := make([]bool, len(jobs))
	for i, j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("commit to %s: %w", g.cfg.Table, ctx.Err())
		}
		if j.err != nil {
			return nil, fmt.Errorf("commit to %s: %w", g.cfg.Table, j.err)
		}
		applied[i] = !j.dropped
	}
	return applied, nil
}

// leave is the end of a caller's waiting: jobs that nobody has begun leave the
// line, and a transaction that nobody waits for any more ends.
func (g *Group) leave(jobs []*job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	inLine := map[*job]bool{}
	for _, j := range jobs {
		if j.in == nil {
			inLine[j] = true
		} else if j.in.awaited--; j.in.awaited == 0 {
			j.in.cancel()
		}
	}
	if len(inLine) > 0 {
		g.queue = slices.DeleteFunc(g.queue, func(j *job) bool { return inLine[j] })
	}
}

func (g *Group) write(ctx context.Context) {
	for t := g.next(ctx, nil); t != nil; t = g.next(ctx, t) {
		g.commit(t.ctx, t.jobs)
		t.cancel()
	}
}

// next takes the jobs of one transaction out of the line, after the one before
// it, if any, has ended: the first, and those after it that fit and share no key
// with it. What another writer has in hand waits for that one, which will come
// by here: two transactions with one key between them would only cancel each
// other. nil ends the writer.
func (g *Group) next(ctx context.Context, ended *transaction) *transaction {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release(ended)
	t := &transaction{owned: map[Key]bool{}, counts: map[Key]bool{}}
	kept := g.queue[:0]
	for i, j := range g.queue {
		if t.full() {
			kept = append(kept, g.queue[i:]...)
			break
		}
		if g.inHand(j) || !t.take(j) {
			kept = append(kept, j)
		}
	}
	clear(g.queue[len(kept):])
	g.queue = kept
	if len(t.jobs) == 0 {
		g.writers--
		return nil
	}
	t.begin(ctx, g.cfg.Timeout)
	maps.Copy(g.busy, t.owned)
	maps.Copy(g.busy, t.counts)
	return t
}

func (g *Group) release(t *transaction) {
	if t == nil {
		return
	}
	for k := range t.owned {
		delete(g.busy, k)
	}
	for k := range t.counts {
		delete(g.busy, k)
	}
}

func (g *Group) inHand(j *job) bool {
	for _, i := range j.step.Items {
		if g.busy[i.key] {
			return true
		}
	}
	for _, a := range j.step.Adds {
		if g.busy[a.Key] {
			return true
		}
	}
	return false
}
