package consumers

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

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

var (
	errDeaf   = errors.New("the handler ignored the end of its context, and was abandoned")
	errGoexit = errors.New("the handler ended its goroutine (runtime.Goexit)")
)

// batch runs tasks: those of one key in order, and of all that are ready the earliest
// first, so that few messages of an interrupted batch are handled twice. A handler that
// does not return, or ends its goroutine, costs its task alone.
type batch struct {
	work      context.Context // in which tasks begin and run
	late      context.Context // in which handlers are waited for
	handle    func(context.Context, *task) error
	settle    func(*task, error) outcome // of what handle returned; may write a dead letter
	share     time.Duration              // of a task, when its context ends
	grace     time.Duration              // behind it, when its handler is abandoned
	abandoned *abandoned

	mu       sync.Mutex
	wake     sync.Cond
	ready    ready              // the next task of each key that is not running
	waiting  map[string][]*task // the others, by key
	handling int                // tasks whose handler runs
	settling int                // tasks whose handler returned, or was abandoned
	halted   map[string]int     // by lane, the lowest index that is redelivered
	ended    bool               // no task begins any more
	cut      bool               // no handler is waited for any more
}

// line puts the tasks that are still to be handled in line.
func (b *batch) line(tasks []*task) {
	b.waiting, b.halted = map[string][]*task{}, map[string]int{}
	b.wake.L = &b.mu
	seen := map[string]bool{}
	for _, t := range tasks {
		if !t.done.isRedelivered() {
			continue
		}
		if seen[t.Key] {
			b.waiting[t.Key] = append(b.waiting[t.Key], t)
			continue
		}
		seen[t.Key] = true
		b.ready = append(b.ready, t) // sorted, which is a heap
	}
}

// run returns when every task is settled, or is redelivered anyway. When work ends, no
// further task begins; when late ends, what has not returned is left behind.
func (b *batch) run(workers int) {
	defer context.AfterFunc(b.work, func() { b.stop(&b.ended) })()
	defer context.AfterFunc(b.late, func() { b.stop(&b.cut) })()
	b.mu.Lock()
	defer b.mu.Unlock()
	for range min(workers, len(b.ready)) {
		go b.runTasks()
	}
	for !b.isOverLocked() {
		b.wake.Wait()
	}
	b.ended, b.cut = true, true
	b.wake.Broadcast() // workers that wait
	b.abandoned.add(b.handling)
}

func (b *batch) isOverLocked() bool {
	idle := b.handling == 0 && (b.ended || len(b.ready) == 0)
	return b.settling == 0 && (idle || b.cut)
}

func (b *batch) stop(what *bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*what = true
	b.wake.Broadcast()
}

func (b *batch) runTasks() {
	w := b.newWatch()
	defer func() { w.end() }()
	for t := b.dequeue(); t != nil; t = b.dequeue() {
		if w.isOver() {
			w.end()
			w = b.newWatch()
		}
		if !b.runTask(w, t) {
			return
		}
	}
}

// runTask reports whether the worker may go on: another one has the place of a worker
// whose task was abandoned.
func (b *batch) runTask(w *watch, t *task) (owned bool) {
	err := errGoexit
	defer func() { // also when the goroutine ends
		w.stop()
		if owned = b.claim(t); !owned {
			b.abandoned.add(-1)
			return
		}
		b.complete(t, b.settle(t, err))
		if err == errGoexit {
			go b.runTasks()
		}
	}()
	w.start(t)
	err = b.handle(w.ctx, t)
	return
}

// abandon settles a task whose handler does not return.
func (b *batch) abandon(t *task) {
	if b.claim(t) {
		b.abandoned.add(1)
		go b.runTasks()
		b.complete(t, b.settle(t, errDeaf))
	}
}

// watch is the time of one task after the other, with one context and one timer until the
// first that takes too long: they cost as much as the rest.
type watch struct {
	ctx   context.Context
	end   context.CancelFunc
	batch *batch
	timer *time.Timer
	late  *time.Timer // runs once ctx has ended
	fired bool

	mu   sync.Mutex
	task *task
}

func (b *batch) newWatch() *watch {
	w := &watch{batch: b}
	w.ctx, w.end = context.WithCancel(b.work)
	return w
}

func (w *watch) start(t *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.task = t
	if w.timer == nil {
		w.timer = time.AfterFunc(w.batch.share, w.endShare)
	} else {
		w.timer.Reset(w.batch.share)
	}
}

func (w *watch) endShare() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fired = true; w.task == nil {
		return // it was done just now
	}
	t := w.task
	w.end()
	w.late = time.AfterFunc(w.batch.grace, func() { w.batch.abandon(t) })
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fired = !w.timer.Stop() || w.fired
	w.task = nil
	if w.late != nil {
		w.late.Stop()
	}
}

// isOver reports whether the watch is of no use for another task.
func (w *watch) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fired
}

// claim reports whether the caller is the one to settle t.
func (b *batch) claim(t *task) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.claimed || b.cut {
		return false
	}
	t.claimed = true
	b.handling--
	b.settling++
	return true
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
			b.handling++
			return t
		}
		if b.handling+b.settling == 0 {
			break
		}
		b.wake.Wait()
	}
	b.wake.Broadcast()
	return nil
}

// isHaltedLocked reports whether t is redelivered because a task before it in its lane
// failed. Running it now would be wasted, and for the same key out of order.
func (b *batch) isHaltedLocked(t *task) bool {
	lowest, ok := b.halted[t.Lane]
	return ok && t.index > lowest
}

func (b *batch) complete(t *task, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settling--
	t.done = o
	if o.isRedelivered() {
		b.haltLaneLocked(t)
	} else if next := b.waiting[t.Key]; len(next) > 0 {
		b.waiting[t.Key] = next[1:]
		heap.Push(&b.ready, next[0])
	}
	b.wake.Broadcast()
}

func (b *batch) haltLaneLocked(t *task) {
	if lowest, ok := b.halted[t.Lane]; t.Lane != "" && (!ok || t.index < lowest) {
		b.halted[t.Lane] = t.index
	}
}

// firstRedelivered returns the first task of each lane that is redelivered.
func firstRedelivered(tasks []*task) (first []*task) {
	reported := map[string]bool{}
	for _, t := range tasks {
		if t.done.isRedelivered() && !reported[t.Lane] {
			reported[t.Lane] = t.Lane != ""
			first = append(first, t)
		}
	}
	return first
}

func response(tasks []*task) awsevents.KinesisEventResponse {
	response := awsevents.KinesisEventResponse{BatchItemFailures: []awsevents.KinesisBatchItemFailure{}}
	for _, t := range firstRedelivered(tasks) {
		response.BatchItemFailures = append(response.BatchItemFailures,
			awsevents.KinesisBatchItemFailure{ItemIdentifier: t.ID})
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
