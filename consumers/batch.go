package consumers

import (
	"container/heap"
	"context"
	"sync"

	awsevents "github.com/aws/aws-lambda-go/events"
)

type outcomeKind int

const (
	unhandled outcomeKind = iota // not begun, or interrupted: delivered again
	applied
	stale
	deadLetter
	failed // delivered again
)

type outcome struct {
	kind outcomeKind
	err  error
}

// isRedelivered reports whether the record is delivered again.
func (o outcome) isRedelivered() bool { return o.kind == unhandled || o.kind == failed }

// batch runs tasks: those of one key in order, and of all that are ready the earliest
// first, so that few messages of an interrupted batch are handled twice.
type batch struct {
	tasks []*task

	mu      sync.Mutex
	wake    sync.Cond
	ready   ready              // the next task of each key that is not running
	waiting map[string][]*task // the others, by key
	running int
	halted  map[string]int // by shard, the lowest index that is redelivered
	ended   bool           // the time of the batch is over
}

func newBatch(tasks []*task) *batch {
	b := &batch{tasks: tasks, waiting: map[string][]*task{}, halted: map[string]int{}}
	b.wake.L = &b.mu
	seen := map[string]bool{}
	for _, t := range tasks {
		if seen[t.key] {
			b.waiting[t.key] = append(b.waiting[t.key], t)
			continue
		}
		seen[t.key] = true
		b.ready = append(b.ready, t) // sorted, which is a heap
	}
	return b
}

// run returns when every task is completed, or is redelivered anyway. When ctx ends, no
// further task begins, and run waits for those that are in flight.
func (b *batch) run(ctx context.Context, workers int, process func(*task) outcome) {
	defer context.AfterFunc(ctx, b.stop)()
	var wg sync.WaitGroup
	for range min(workers, len(b.ready)) {
		wg.Go(func() {
			for t := b.dequeue(); t != nil; t = b.dequeue() {
				b.complete(t, process(t))
			}
		})
	}
	wg.Wait()
}

func (b *batch) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake.Broadcast()
}

// dequeue waits for a task that may run; nil when there will be none.
func (b *batch) dequeue() *task {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ended {
		if len(b.ready) > 0 {
			t := heap.Pop(&b.ready).(*task)
			if b.isHaltedLocked(t) {
				continue // as are all later tasks of its key
			}
			b.running++
			return t
		}
		if b.running == 0 {
			return nil
		}
		b.wake.Wait()
	}
	return nil
}

// isHaltedLocked reports whether t is redelivered because a task before it on its shard
// failed. Running it now would be wasted, and for the same key out of order.
func (b *batch) isHaltedLocked(t *task) bool {
	lowest, ok := b.halted[t.message.Shard]
	return ok && t.index > lowest
}

func (b *batch) complete(t *task, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	t.done = o
	if o.isRedelivered() {
		b.haltShardLocked(t)
	} else if next := b.waiting[t.key]; len(next) > 0 {
		b.waiting[t.key] = next[1:]
		heap.Push(&b.ready, next[0])
	}
	b.wake.Broadcast()
}

func (b *batch) haltShardLocked(t *task) {
	shard := t.message.Shard
	if lowest, ok := b.halted[shard]; !ok || t.index < lowest {
		b.halted[shard] = t.index
	}
}

// response names the first task of each shard that is redelivered.
func (b *batch) response() awsevents.KinesisEventResponse {
	response := awsevents.KinesisEventResponse{BatchItemFailures: []awsevents.KinesisBatchItemFailure{}}
	reported := map[string]bool{}
	for _, t := range b.tasks {
		if !t.done.isRedelivered() || reported[t.message.Shard] {
			continue
		}
		reported[t.message.Shard] = true
		response.BatchItemFailures = append(response.BatchItemFailures,
			awsevents.KinesisBatchItemFailure{ItemIdentifier: t.record})
	}
	return response
}

// ready is a heap of tasks by index.
type ready []*task

func (r ready) Len() int           { return len(r) }
func (r ready) Less(i, j int) bool { return r[i].index < r[j].index }
func (r ready) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ready) Push(x any)        { *r = append(*r, x.(*task)) }
func (r *ready) Pop() any {
	old := *r
	last := old[len(old)-1]
	*r = old[:len(old)-1]
	return last
}
