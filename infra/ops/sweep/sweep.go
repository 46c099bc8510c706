// Package sweep visits everything of one kind in an account, such as all log
// groups, in the invocations of a function that a schedule starts: paced, one
// invocation at a time, and each from where the last one stopped.
//
// A [Sweeper] paces the requests of an invocation and ends it before its deadline. A
// [Round] is the list of what is left to look at. Both are kept in memory: a new
// execution environment begins a new round, at a random place, so that nothing is
// starved by what takes long.
package sweep

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// Reasons why an invocation ended.
const (
	// Done: everything was looked at.
	Done = "done"
	// Throttled: AWS refused a request because of its rate.
	Throttled = "throttled"
	// Deadline: the time of the invocation is up.
	Deadline = "deadline"
	// Failed: too much went wrong.
	Failed = "failed"
)

var (
	// ErrDeadline ends an invocation whose time is up.
	ErrDeadline = errors.New("the time is up")
	// ErrTooManyFailures ends an invocation in which too much went wrong.
	ErrTooManyFailures = errors.New("too many failures in one invocation")
)

// Stops reports whether an error ends the invocation, and not only the work on one item.
func Stops(err error) bool {
	return errors.Is(err, ErrDeadline) || awserr.IsThrottle(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Reason is why an invocation ended with err.
func Reason(err error) string {
	switch {
	case err == nil:
		return Done
	case awserr.IsThrottle(err):
		return Throttled
	case Stops(err):
		return Deadline
	}
	return Failed
}

// Sweeper lets one invocation work at a time, at a bounded rate of requests. It is
// safe for concurrent use.
type Sweeper struct {
	pace    *rate.Limiter
	reserve time.Duration
	running chan struct{} // holds a value while an invocation works
}

// New makes a sweeper of so many requests a second (negative: as many as can be),
// which begins nothing more when only reserve is left before a deadline.
func New(perSecond float64, reserve time.Duration) *Sweeper {
	limit := rate.Limit(perSecond)
	if perSecond < 0 {
		limit = rate.Inf
	}
	return &Sweeper{pace: rate.NewLimiter(limit, 1), reserve: reserve, running: make(chan struct{}, 1)}
}

// Begin waits until no other invocation works. It fails with [ErrDeadline] where ctx
// ends before. [Run.End] has to be called.
func (s *Sweeper) Begin(ctx context.Context) (*Run, error) {
	select {
	case s.running <- struct{}{}:
	case <-ctx.Done():
		return nil, ErrDeadline
	}
	r := &Run{sweeper: s, requests: ctx, working: ctx, cancel: func() {}}
	if deadline, ok := ctx.Deadline(); ok {
		requests, endRequests := context.WithDeadline(ctx, deadline.Add(-s.reserve/5))
		working, endWorking := context.WithDeadline(requests, deadline.Add(-s.reserve))
		r.requests, r.working, r.cancel = requests, working, func() { endWorking(); endRequests() }
	}
	return r, nil
}

// Run is the work of one invocation.
type Run struct {
	sweeper           *Sweeper
	requests, working context.Context
	cancel            context.CancelFunc
}

// End lets the next invocation work.
func (r *Run) End() {
	r.cancel()
	<-r.sweeper.running
}

// Requests is the context of the requests. It ends when a fifth of the reserve is left,
// so that one without an answer ends the invocation, and Lambda does not: then the
// report and the place in the round would be lost.
func (r *Run) Requests() context.Context { return r.requests }

// Working is the context that ends when nothing more is to be begun.
func (r *Run) Working() context.Context { return r.working }

// AwaitRequest waits until the pace allows the next request. It fails with
// [ErrDeadline] where that would be too late.
func (r *Run) AwaitRequest() error {
	if err := r.sweeper.pace.Wait(r.working); err != nil {
		return ErrDeadline
	}
	return nil
}

// Round is what is left to look at. The zero value is a round that is over.
type Round[T any] struct {
	left  []T
	begun bool
}

// Remaining is how many items are left.
func (r *Round[T]) Remaining() int { return len(r.left) }

// Begin begins a round of items. The first one begins in the middle, at an index that
// intn picks.
func (r *Round[T]) Begin(items []T, intn func(n int) int) {
	r.left = items
	if n := len(items); !r.begun && n > 0 {
		at := intn(n)
		r.left = slices.Concat(items[at:], items[:at])
	}
	r.begun = true
}

// Each calls visit with each item that is left. An error of visit that [Stops] ends it,
// and the item is visited again; any other is passed to fail, which reports whether
// there were too many: then the item goes to the end of the round.
func (r *Round[T]) Each(visit func(item *T) error, fail func(item T, err error) (tooMany bool)) error {
	for len(r.left) > 0 {
		item := &r.left[0]
		err := visit(item)
		if Stops(err) {
			return err
		}
		if err != nil && fail(*item, err) {
			r.left = append(r.left[1:], *item)
			return ErrTooManyFailures
		}
		r.left = r.left[1:]
	}
	return nil
}
