package lambda

import (
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/sources"
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
	accepted, settings := time.Now(), h.eventSettings(c.ref)
	for failures, refusals, last := 0, 0, (answer{}); ; {
		a, err := h.invoke(h.ctx, c)
		pause := h.cfg.AsyncRetry
		switch {
		case h.ctx.Err() != nil || (err == nil && a.FunctionError == ""):
			return
		case err == nil:
			last = a
			failures++
			pause *= time.Duration(failures)
		case !isThrottle(err) && !isService(err): // the function is gone
			return
		default:
			pause = min(throttlePause<<min(refusals, 9), throttlePauseMax, pause)
			refusals++
		}
		if why := settings.condition(failures, time.Since(accepted)); why != "" {
			h.discard(c, last, sources.DiscardedEvent{Condition: why, Invocations: failures}, settings.onFailure)
			return
		}
		_ = backoff.Sleep(h.ctx, pause)
	}
}

// discard gives up on an event and tells the on-failure destination, if there is
// one. The last answer is empty where there was none.
func (h *Host) discard(c call, last answer, e sources.DiscardedEvent, queue string) {
	h.note(c.ref, "event %s was discarded after %d attempts: %s", last.requestID, e.Invocations, e.Condition)
	if queue == "" {
		return
	}
	qualifier := c.ref.qualifier
	if qualifier == "" {
		qualifier = latest
	}
	e.FunctionARN, e.Request, e.At = h.arn(c.ref.name, qualifier), c.payload, time.Now()
	e.RequestID, e.Version, e.FunctionError, e.Response = last.requestID, last.version, last.FunctionError, last.Payload
	if err := h.queue(queue).SendEvent(h.ctx, e); err != nil {
		h.note(c.ref, "the on-failure destination was not told of event %s: %v", last.requestID, err)
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
