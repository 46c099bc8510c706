package cloudwatch_test

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, url string) *cloudwatch.Client {
	return cloudwatch.NewFromConfig(sandboxtest.Config(t, url), func(o *cloudwatch.Options) { o.RetryMaxAttempts = 1 })
}

func serve(t *testing.T, cfg sandbox.Config) *cloudwatch.Client {
	t.Helper()
	return client(t, listen(t, cfg))
}

func listen(t *testing.T, cfg sandbox.Config) string {
	t.Helper()
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sandboxtest.Serve(t, s)
}

func put(t *testing.T, c *cloudwatch.Client, name string) {
	t.Helper()
	_, err := c.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, MetricName: aws.String("Errors"), Namespace: aws.String("AWS/Lambda"), Statistic: types.StatisticSum,
		Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorGreaterThanOrEqualToThreshold,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// conform are the answers that the deployment relies on, of the sandbox and of an
// independent CloudWatch.
func conform(t *testing.T, c *cloudwatch.Client, prefix string) {
	for i := range 3 {
		put(t, c, fmt.Sprintf("%s-%d", prefix, i))
	}
	put(t, c, "x"+prefix)
	set := func(name string, state types.StateValue) error {
		_, err := c.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: &name, StateValue: state, StateReason: aws.String("because")})
		return err
	}
	if err := set(prefix+"-1", types.StateValueAlarm); err != nil {
		t.Fatal(err)
	}
	var states []string
	in := &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(prefix + "-"),
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}}
	for {
		out, err := c.DescribeAlarms(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.MetricAlarms {
			states = append(states, *a.AlarmName+" "+string(a.StateValue))
			if a.StateUpdatedTimestamp == nil || a.StateUpdatedTimestamp.IsZero() {
				t.Errorf("%s has no time of its state", *a.AlarmName)
			}
			if a.StateValue == types.StateValueAlarm && *a.StateReason != "because" {
				t.Errorf("the reason is %q", *a.StateReason)
			}
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	if len(states) != 3 || states[1] != prefix+"-1 ALARM" {
		t.Errorf("states are %q", states)
	}
	if err := set(prefix+"-none", types.StateValueOk); err == nil {
		t.Error("an alarm that is not there was set")
	}
	out, err := c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{prefix + "-2", prefix + "-none"}})
	if err != nil || len(out.MetricAlarms) != 1 {
		t.Errorf("by name: %d alarms, %v", len(out.MetricAlarms), err)
	}
	if _, err := c.DeleteAlarms(t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{prefix + "-0"}}); err != nil {
		t.Error(err)
	}
	if out, err = c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{prefix + "-0"}}); err != nil || len(out.MetricAlarms) != 0 {
		t.Errorf("after the deletion: %d alarms, %v", len(out.MetricAlarms), err)
	}
}

func TestAlarms(t *testing.T) { conform(t, serve(t, sandbox.Config{}), "fn") }

func TestPeerAlarms(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_CLOUDWATCH")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_CLOUDWATCH is not set")
	}
	conform(t, jsonClient(t, url), "conformance")
}

func TestPagesAndTypes(t *testing.T) {
	c := serve(t, sandbox.Config{})
	for i := range 7 {
		put(t, c, fmt.Sprintf("a-%d", i))
	}
	if _, err := c.PutCompositeAlarm(t.Context(), &cloudwatch.PutCompositeAlarmInput{AlarmName: aws.String("a-all"),
		AlarmRule: aws.String("ALARM(a-1)")}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		types []types.AlarmType
		want  int
	}{{nil, 7}, {[]types.AlarmType{types.AlarmTypeCompositeAlarm}, 1}, {[]types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}, 8}} {
		pager := cloudwatch.NewDescribeAlarmsPaginator(c, &cloudwatch.DescribeAlarmsInput{AlarmTypes: test.types, MaxRecords: aws.Int32(3)})
		n := 0
		for pager.HasMorePages() {
			page, err := pager.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(page.MetricAlarms)+len(page.CompositeAlarms) > 3 {
				t.Error("a page is larger than asked for")
			}
			n += len(page.MetricAlarms) + len(page.CompositeAlarms)
		}
		if n != test.want {
			t.Errorf("types %v: %d alarms, want %d", test.types, n, test.want)
		}
	}
}

// TestAlarmsKeepTheirMetrics: whose an alarm is, its dimensions tell, also those
// of metric math.
func TestAlarmsKeepTheirMetrics(t *testing.T) {
	c := serve(t, sandbox.Config{})
	dimensions := []types.Dimension{{Name: aws.String("FunctionName"), Value: aws.String("f")}}
	one := &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("one"), MetricName: aws.String("Errors"), Namespace: aws.String("AWS/Lambda"), Dimensions: dimensions, Statistic: types.StatisticSum,
		Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
	}
	math := &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("sum"), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
		Metrics: []types.MetricDataQuery{
			{Id: aws.String("all"), Expression: aws.String("SUM([m0])"), ReturnData: aws.Bool(true)},
			{Id: aws.String("m0"), MetricStat: &types.MetricStat{Metric: &types.Metric{Namespace: aws.String("AWS/Lambda"),
				MetricName: aws.String("Errors"), Dimensions: dimensions}, Period: aws.Int32(60), Stat: aws.String("Sum")}},
		},
	}
	for _, in := range []*cloudwatch.PutMetricAlarmInput{one, math} {
		if _, err := c.PutMetricAlarm(t.Context(), in); err != nil {
			t.Fatalf("%s: %v", *in.AlarmName, err)
		}
	}
	both := *one
	both.Metrics = math.Metrics
	if _, err := c.PutMetricAlarm(t.Context(), &both); err == nil {
		t.Errorf("an alarm of a metric and of an expression was taken")
	}
	out, err := c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
	if err != nil || len(out.MetricAlarms) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if got := out.MetricAlarms[0].Dimensions; len(got) != 1 || *got[0].Name != "FunctionName" || *got[0].Value != "f" {
		t.Errorf("the dimensions are %+v", got)
	}
	got := out.MetricAlarms[1].Metrics
	if len(got) != 2 || got[0].MetricStat != nil || *got[0].Expression != "SUM([m0])" || *got[1].MetricStat.Metric.Dimensions[0].Value != "f" {
		t.Errorf("the metrics are %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	var kind atomic.Uint32
	c := serve(t, sandbox.Config{Fault: func(string, string) fault.Fault {
		return fault.Fault{Kind: fault.Kind(kind.Load()), Delay: time.Millisecond}
	}})
	code := func(err error) string {
		var api smithy.APIError
		if !errors.As(err, &api) {
			return fmt.Sprint(err)
		}
		return api.ErrorCode()
	}
	_, err := c.ListDashboards(t.Context(), &cloudwatch.ListDashboardsInput{})
	if got := code(err); got != "UnknownOperationException" {
		t.Errorf("an operation that there is not: %s", got)
	}
	_, err = c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"a"}, AlarmNamePrefix: aws.String("b")})
	if got := code(err); got != "ValidationError" {
		t.Errorf("names and a prefix: %s", got)
	}
	for k, want := range map[fault.Kind]string{fault.Throttle: "ThrottlingException", fault.Internal: "InternalFailure",
		fault.Denied: "AccessDenied", fault.Late: "<nil>"} {
		kind.Store(uint32(k))
		if _, err = c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{}); code(err) != want {
			t.Errorf("a call under %v: %s, want %s", k, code(err), want)
		}
	}
}

// TestLostAnswers: what was lost before a call has no effect, what was lost after
// it has.
func TestLostAnswers(t *testing.T) {
	var kind atomic.Uint32
	c := serve(t, sandbox.Config{Fault: func(string, string) fault.Fault {
		return fault.Fault{Kind: fault.Kind(kind.Load()), Delay: time.Millisecond}
	}})
	put(t, c, "a")
	for _, want := range []struct {
		kind  fault.Kind
		state types.StateValue
	}{{fault.TimeoutBefore, types.StateValueInsufficientData}, {fault.TimeoutAfter, types.StateValueAlarm}} {
		kind.Store(uint32(want.kind))
		_, err := c.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("a"), StateValue: types.StateValueAlarm,
			StateReason: aws.String("because")})
		if err == nil {
			t.Errorf("%v: answered", want.kind)
		}
		kind.Store(uint32(fault.None))
		out, err := c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
		if err != nil || out.MetricAlarms[0].StateValue != want.state {
			t.Errorf("%v: %+v, %v", want.kind, out, err)
		}
	}
}
