package lambda

import (
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// asyncRetries is how often Lambda tries an event again that a function failed
// on (developer guide, "How Lambda handles errors and retries with
// asynchronous invocation": twice, with a minute before the first retry and two
// before the second; throttles and service errors for up to six hours, with
// pauses from one second to five minutes).
const asyncRetries = 2

const (
	throttlePause    = time.Second
	throttlePauseMax = 5 * time.Minute
)

// enqueue accepts an event; the function runs later. The queue is bounded:
// beyond it the caller is throttled.
func (h *Host) enqueue(c call) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.queued >= h.cfg.AsyncQueue {
		return throttled("CallerRateLimitExceeded")
	}
	if err := h.beginLocked(); err != nil {
		return unavailable(err.Error())
	}
	h.queued++
	go func() {
		defer h.wg.Done()
		h.work(c)
		h.mu.Lock()
		h.queued--
		h.mu.Unlock()
	}()
	return nil
}

// work runs an event until the function succeeded or it was tried enough.
func (h *Host) work(c call) {
	accepted := time.Now()
	for failures, refusals := 0, 0; ; {
		a, err := h.invoke(h.ctx, c)
		switch {
		case h.ctx.Err() != nil || (err == nil && a.FunctionError == ""):
			return
		case err == nil && failures == asyncRetries:
			h.note(c.ref, "event %s was discarded after %d attempts", a.requestID, asyncRetries+1)
			return
		case err == nil:
			failures++
			_ = backoff.Sleep(h.ctx, h.cfg.AsyncRetry*time.Duration(failures))
		case time.Since(accepted) > maxAsyncAge:
			h.note(c.ref, "an event was discarded after %s: %v", maxAsyncAge, err)
			return
		case !isThrottle(err) && !isService(err): // the function is gone
			return
		default:
			_ = backoff.Sleep(h.ctx, min(throttlePause<<min(refusals, 9), throttlePauseMax, h.cfg.AsyncRetry))
			refusals++
		}
	}
}

// note writes what nobody else would be told into a function's log.
func (h *Host) note(ref reference, format string, args ...any) {
	h.mu.Lock()
	f := h.functions[ref.name]
	h.mu.Unlock()
	if f != nil {
		f.log.append([]byte(fmt.Sprintf("SANDBOX "+format+"\n", args...)))
	}
}
