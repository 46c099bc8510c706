package autoscale_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// metrics are CloudWatch's, in whose calls a test has a hand.
type metrics struct {
	*cloudwatch.Client
	call func(context.Context, *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error)
}

func (m metrics) GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	return m.call(ctx, in)
}

// streams are Kinesis', whose lists of shards begin with an empty page.
type streams struct{ *kinesis.Client }

func (s streams) ListShards(ctx context.Context, in *kinesis.ListShardsInput, _ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	if in.NextToken == nil {
		return &kinesis.ListShardsOutput{NextToken: in.StreamName}, nil
	}
	return s.Client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: in.NextToken, ShardFilter: filter})
}

func (w *world) scalerWith(s autoscale.Streams, m autoscale.Metrics) *autoscale.Autoscaler {
	w.t.Helper()
	a, err := autoscale.New(s, m, w.table, autoscale.Config{Now: w.clock, Policies: []autoscale.Policy{{Stream: "events", Max: 16}}})
	w.must(err)
	return a
}

// TestEmptyPages: both services may answer one and have more.
func TestEmptyPages(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	paged := func(ctx context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
		if in.NextToken == nil {
			return &cloudwatch.GetMetricDataOutput{NextToken: aws.String("second")}, nil
		}
		again := *in
		again.NextToken = nil
		return w.metrics.GetMetricData(ctx, &again)
	}
	w.expect(w.scalerWith(streams{w.kinesis}, metrics{call: paged}), autoscale.Up, true, 6)
}

// TestIncompleteAnswers: figures that CloudWatch calls incomplete, that were
// not asked for, or that have no end are none.
func TestIncompleteAnswers(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 8)
	w.load("events", 40, all(0.1))
	for want, change := range map[string]func(*cloudwatch.GetMetricDataOutput){
		"InternalError": func(out *cloudwatch.GetMetricDataOutput) {
			out.MetricDataResults[1].StatusCode = cloudwatchtypes.StatusCodeInternalError
		},
		"Forbidden": func(out *cloudwatch.GetMetricDataOutput) {
			out.MetricDataResults[0].StatusCode = cloudwatchtypes.StatusCodeForbidden
		},
		"unexpected result": func(out *cloudwatch.GetMetricDataOutput) { out.MetricDataResults[0].Id = aws.String("q9999") },
		"there is no end":   func(out *cloudwatch.GetMetricDataOutput) { out.NextToken = aws.String("more") },
	} {
		call := func(ctx context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
			again := *in
			again.NextToken = nil
			out, err := w.metrics.GetMetricData(ctx, &again)
			if err == nil {
				change(out)
			}
			return out, err
		}
		out := w.run(w.scalerWith(w.kinesis, metrics{call: call}))
		if out.Err == nil || !strings.Contains(out.Err.Error(), want) || out.Done {
			t.Errorf("%s: %+v", want, out)
		}
	}
}

// TestConflictWhileObserving: another run acts between the first look at the state
// and the last at the figures, which are of before.
func TestConflictWhileObserving(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	other := w.scaler()
	looked := false
	call := func(ctx context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
		if !looked {
			looked = true
			w.expect(other, autoscale.Up, true, 6)
		}
		return w.metrics.GetMetricData(ctx, in)
	}
	out := w.run(w.scalerWith(w.kinesis, metrics{call: call}))
	if out.Action != autoscale.Up || out.Done || out.Err != nil || !strings.Contains(out.Reason, "another run changed the state first") ||
		w.called("UpdateShardCount") != 1 {
		t.Errorf("%+v", out)
	}
}

// TestAnswerIsLost: the call is made again, and finds its own work: the state as
// its own, the stream as being resharded.
func TestAnswerIsLost(t *testing.T) {
	for lost, done := range map[string]bool{"PutItem": true, "UpdateShardCount": false} {
		w := newWorld(t)
		w.stream("events", 4)
		w.load("events", 3, all(0.85))
		n := 0
		w.faults(func(operation string) fault.Kind {
			if operation == lost {
				if n++; n == 1 {
					return fault.TimeoutAfter
				}
			}
			return fault.None
		})
		a := w.scaler()
		out := w.expect(a, autoscale.Up, done, 6)
		if strings.Contains(out.Reason, "being resharded already") == done || n < 2 {
			t.Errorf("%s: %+v after %d calls", lost, out, n)
		}
		if out := w.expect(a, autoscale.Confirm, true, 6); out.Left != 9 {
			t.Errorf("%s: %+v", lost, out)
		}
	}
}
