package target

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// widest is the window from which on a pacer bounds nothing any more: more requests than a
// process has in flight.
const widest = 256

// pacer bounds how many requests of a copy are in flight to one table. It does so only once
// the table throttles: then it halves what is in flight, at most once for all requests that
// were on their way by then, and lets one more follow for each window that went through. The
// changes do not ask it, and so have what the copy gives up.
type pacer struct {
	mu        sync.Mutex
	window    float64 // requests; 0 bounds nothing
	inFlight  int
	narrowed  int // how often
	admission []chan struct{}
}

// acquire waits until a request may be sent. Its result is for release.
func (p *pacer) acquire(ctx context.Context) (narrowed int, err error) {
	p.mu.Lock()
	for p.window > 0 && p.inFlight >= int(p.window) {
		admitted := make(chan struct{})
		p.admission = append(p.admission, admitted)
		p.mu.Unlock()
		select {
		case <-admitted:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	p.inFlight++
	return p.narrowed, nil
}

// release says how a request ended: acquired is what acquire returned for it.
func (p *pacer) release(acquired int, throttled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case throttled && acquired == p.narrowed:
		p.window = max(1, float64(p.inFlight)/2)
		p.narrowed++
	case !throttled && p.window > 0:
		if p.window += 1 / p.window; p.window > widest {
			p.window = 0
		}
	}
	p.inFlight--
	for _, admitted := range p.admission { // all look again: one that has given up must not hold up the rest
		close(admitted)
	}
	p.admission = nil
}

// throttledError is the refusal of a request that a table, or an account, has no capacity
// for now.
type throttledError struct {
	error
	// wide is false where only one partition of the table has too much to do: that
	// passes by the service's own splitting, and slowing down the others would not help.
	wide bool
}

func (e *throttledError) Unwrap() error { return e.error }

// Permanent ends the attempts of [retry.Do], which are few: paced makes its own.
func (e *throttledError) Permanent() bool { return true }

// throttledOf returns err as a *throttledError if that is what it is about.
func throttledOf(err error) error {
	codes := []string{"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
	if slices.ContainsFunc(dynamo.CancellationReasons(err), func(r types.CancellationReason) bool {
		return slices.Contains(codes, aws.ToString(r.Code))
	}) {
		return &throttledError{err, true}
	}
	if err == nil || !awserr.IsThrottle(err) {
		return err
	}
	var reasons []types.ThrottlingReason
	if e, ok := errors.AsType[*types.ProvisionedThroughputExceededException](err); ok {
		reasons = e.ThrottlingReasons
	} else if e, ok := errors.AsType[*types.ThrottlingException](err); ok {
		reasons = e.ThrottlingReasons
	}
	isKeyRange := func(r types.ThrottlingReason) bool { return strings.Contains(aws.ToString(r.Reason), "KeyRange") }
	return &throttledError{err, len(reasons) == 0 || !slices.ContainsFunc(reasons, isKeyRange)}
}

// longestPause bounds the delay before what was throttled is sent again, as an attempt of
// [retry.Wait].
const longestPause = 6

// paced sends one request of a copy when the table can bear it, and again for as long as it
// is throttled and ctx lasts: a table with little capacity makes a copy slow and does not
// end it.
func (t *Tables) paced(ctx context.Context, what string, send func(context.Context) error) error {
	p := &t.flow().pacer
	for i := 0; ; i++ {
		acquired, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		err = retry.Do(ctx, what, func(ctx context.Context) error { return throttledOf(send(ctx)) })
		throttled, is := errors.AsType[*throttledError](err)
		p.release(acquired, is && throttled.wide)
		if !is {
			return err
		}
		if err := retry.Wait(ctx, min(i, longestPause)); err != nil {
			return errors.Join(err, throttled)
		}
	}
}
