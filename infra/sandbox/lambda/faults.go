package lambda

import (
	"context"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// maxKillDelay is how far into an invocation an injected SIGKILL falls at most.
const maxKillDelay = 50 * time.Millisecond

// before injects what happens to a call before it has an effect.
func (h *Host) before(ctx context.Context, f fault.Fault) error {
	switch f.Kind {
	case fault.Throttle:
		return throttled("injected by the fault plan")
	case fault.Denied:
		return &apiError{status: http.StatusForbidden, code: "AccessDeniedException", message: "not authorized, says the fault plan"}
	case fault.TimeoutBefore, fault.Internal:
		return unavailable("the call was lost before it had an effect: injected by the fault plan")
	case fault.Late:
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-h.ctx.Done():
		}
	}
	return nil
}

// after injects the loss of an answer.
func after(f fault.Fault) error {
	if f.Kind == fault.TimeoutAfter {
		return unavailable("the function's answer was lost: injected by the fault plan")
	}
	return nil
}

// killAfter says when the process is killed in the middle of an invocation.
func killAfter(f fault.Fault) time.Duration {
	if f.Kind != fault.Partial {
		return 0
	}
	return 1 + time.Duration(f.Rand().Int64N(int64(maxKillDelay)))
}

// duplicate says how a batch that succeeded is delivered again.
func duplicate(f fault.Fault) streams.Again {
	if f.Kind != fault.Duplicate {
		return streams.Again{}
	}
	r := f.Rand()
	again := streams.Again{Deliver: true, Later: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		again.From = r.Float64()
	}
	return again
}
