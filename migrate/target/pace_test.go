package target

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// mustAdmit acquires n times, and fails unless the next would have to wait.
func (p *pacer) mustAdmit(t *testing.T, n int) (acquired []int) {
	t.Helper()
	ended, end := context.WithCancel(t.Context())
	end()
	for i := range n {
		a, err := p.acquire(ended)
		if err != nil {
			t.Fatalf("admitted %d requests, want %d", i, n)
		}
		acquired = append(acquired, a)
	}
	if _, err := p.acquire(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("admitted more than %d requests: %v", n, err)
	}
	return acquired
}

// TestAThrottledTableHasFewerRequestsInFlight: half, once for all that were on their way, and
// one more for each window that goes through, until nothing is bounded any more.
func TestAThrottledTableHasFewerRequestsInFlight(t *testing.T) {
	var p pacer
	var all []int
	for range 16 { // nothing is bounded
		a, err := p.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	for _, a := range all {
		p.release(a, true)
	}
	for _, a := range p.mustAdmit(t, 8) {
		p.release(a, false)
	}
	again := p.mustAdmit(t, 8)
	p.release(again[0], false)
	p.release(p.mustAdmit(t, 2)[0], false)
	p = pacer{window: 1}
	p.release(p.mustAdmit(t, 1)[0], true)
	p.release(p.mustAdmit(t, 1)[0], false) // one is always let through
	for range widest * widest {
		a, err := p.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.release(a, false)
	}
	if p.window != 0 {
		t.Errorf("a window of %v after %d requests that went through", p.window, widest*widest)
	}
}

// TestARequestIsAdmittedWhenAnotherEnds.
func TestARequestIsAdmittedWhenAnotherEnds(t *testing.T) {
	p := pacer{window: 1}
	first, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admitted := make(chan error)
	for range 3 {
		go func() {
			a, err := p.acquire(t.Context())
			if err == nil {
				p.release(a, false)
			}
			admitted <- err
		}()
	}
	p.release(first, false)
	for range 3 {
		if err := <-admitted; err != nil {
			t.Error(err)
		}
	}
}

// TestThrottlingIsToldByItsReason: only what concerns the whole table slows down its copy.
func TestThrottlingIsToldByItsReason(t *testing.T) {
	because := func(reasons ...string) (all []types.ThrottlingReason) {
		for _, r := range reasons {
			all = append(all, types.ThrottlingReason{Reason: aws.String(r)})
		}
		return all
	}
	cancelled := func(code string) error {
		return &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("None")}, {Code: &code}}}
	}
	for name, c := range map[string]struct {
		err             error
		throttled, wide bool
	}{
		"nothing":       {nil, false, false},
		"other":         {&types.ConditionalCheckFailedException{}, false, false},
		"no reason":     {&types.ProvisionedThroughputExceededException{}, true, true},
		"table":         {&types.ProvisionedThroughputExceededException{ThrottlingReasons: because("TableWriteProvisionedThroughputExceeded")}, true, true},
		"on demand":     {&types.ThrottlingException{ThrottlingReasons: because("TableWriteMaxOnDemandThroughputExceeded")}, true, true},
		"partition":     {&types.ThrottlingException{ThrottlingReasons: because("TableWriteKeyRangeThroughputExceeded")}, true, false},
		"account":       {&types.RequestLimitExceeded{}, true, true},
		"a transaction": {cancelled("ThrottlingError"), true, true},
		"of conditions": {cancelled("ConditionalCheckFailed"), false, false},
	} {
		throttled, is := errors.AsType[*throttledError](throttledOf(c.err))
		if is != c.throttled || is && throttled.wide != c.wide {
			t.Errorf("%s: %+v", name, throttled)
		}
	}
}
