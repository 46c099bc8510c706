package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

func TestOneInvocationAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sweep.New(1, 5*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		first, err := s.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Begin(ctx); !errors.Is(err, sweep.ErrDeadline) {
			t.Errorf("the second began beside the first: %v", err)
		}
		first.End()
		ctx, cancel = context.WithTimeout(t.Context(), 8500*time.Millisecond)
		defer cancel()
		second, err := s.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer second.End()
		requests := 0
		for second.AwaitRequest() == nil {
			requests++
		}
		if requests != 4 { // at 0, 1, 2 and 3 s: 5 s are kept in reserve
			t.Errorf("%d requests", requests)
		}
		<-second.Requests().Done() // as for a request without an answer
		if ends, _ := ctx.Deadline(); time.Until(ends) != time.Second || sweep.Reason(second.Requests().Err()) != sweep.Deadline {
			t.Errorf("a request may take until %v before the end of the invocation: %v", time.Until(ends), second.Requests().Err())
		}
	})
}

func TestARoundResumes(t *testing.T) {
	var r sweep.Round[string]
	r.Begin([]string{"a", "b", "c", "d"}, func(int) int { return 2 })
	var seen []string
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}
	visit := func(outcomes map[string]error) error {
		return r.Each(func(item *string) error {
			seen = append(seen, *item)
			return outcomes[*item]
		}, func(item string, _ error) bool { return item == "b" })
	}
	if err := visit(map[string]error{"d": throttled}); sweep.Reason(err) != sweep.Throttled || r.Remaining() != 3 {
		t.Errorf("%v, %d left", err, r.Remaining())
	}
	if err := visit(map[string]error{"d": errors.New("tolerated"), "b": errors.New("too much")}); !errors.Is(err, sweep.ErrTooManyFailures) ||
		r.Remaining() != 1 {
		t.Errorf("%v, %d left", err, r.Remaining())
	}
	if err := visit(nil); sweep.Reason(err) != sweep.Done || r.Remaining() != 0 {
		t.Errorf("%v, %d left", err, r.Remaining())
	}
	if want := []string{"c", "d", "d", "a", "b", "b"}; !slices.Equal(seen, want) {
		t.Errorf("visited %v, want %v", seen, want)
	}
	r.Begin([]string{"a", "b"}, func(int) int { panic("only the first round begins at random") })
	if r.Remaining() != 2 {
		t.Errorf("%d left", r.Remaining())
	}
}

func TestReason(t *testing.T) {
	for want, err := range map[string]error{
		sweep.Done: nil, sweep.Deadline: fmt.Errorf("list: %w", sweep.ErrDeadline), sweep.Failed: errors.New("no"),
	} {
		if got := sweep.Reason(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
