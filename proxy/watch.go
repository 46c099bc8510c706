package proxy

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/observation"
)

// failure is why an exchange with a side did not end as asked.
type failure struct {
	cause observation.Cause
	err   error
}

// Error implements error.
func (f *failure) Error() string {
	if f.err == nil {
		return f.cause.String()
	}
	return fmt.Sprintf("%s: %v", f.cause, f.err)
}

// Unwrap returns what happened.
func (f *failure) Unwrap() error { return f.err }

// watchdog ends an exchange that nothing moves in: it is told what is awaited, and for how
// long. It cancels the context, with a failure as the cause.
type watchdog struct {
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	awaited atomic.Pointer[failure]
}

func watch(parent context.Context) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &watchdog{cancel: cancel}
	return ctx, w
}

// Causes that a watchdog ends an exchange with.
var (
	awaitsAnswer = &failure{observation.FirstByteTimeout, nil}
	awaitsBody   = &failure{observation.IdleTimeout, nil}
	awaitsEnd    = &failure{observation.TotalTimeout, nil}
)

// expect says what is awaited from now on.
func (w *watchdog) expect(what *failure, within time.Duration) {
	w.awaited.Store(what)
	if w.timer == nil {
		w.timer = time.AfterFunc(within, func() { w.cancel(w.awaited.Load()) })
		return
	}
	w.timer.Reset(within)
}

// rest says that somebody else bounds what is awaited.
func (w *watchdog) rest() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// stop ends the watch, and what still goes on under its context.
func (w *watchdog) stop() {
	w.rest()
	w.cancel(context.Canceled)
}
