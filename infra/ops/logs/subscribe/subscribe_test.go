package subscribe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/ops/logs/subscribe"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	streamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/logs"
	roleARN   = "arn:aws:iam::000000000000:role/logs"
)

// fakeReaders tells who reads the stream: the sandbox's functions have no log group
// of their own.
type fakeReaders struct {
	arn, group string
	err        error
}

func (r *fakeReaders) ListEventSourceMappings(context.Context, *lambda.ListEventSourceMappingsInput,
	...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error) {
	return &lambda.ListEventSourceMappingsOutput{EventSourceMappings: []lambdatypes.EventSourceMappingConfiguration{{FunctionArn: &r.arn}}}, r.err
}

func (r *fakeReaders) GetFunctionConfiguration(context.Context, *lambda.GetFunctionConfigurationInput,
	...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error) {
	return &lambda.GetFunctionConfigurationOutput{LoggingConfig: &lambdatypes.LoggingConfig{LogGroup: &r.group}}, nil
}

// account is a sandbox.
type account struct {
	t      *testing.T
	box    *sandbox.Sandbox
	logs   *cloudwatchlogs.Client
	lambda *lambda.Client
}

func newAccount(t *testing.T, plan string, seed uint64) *account {
	t.Helper()
	t.Parallel() // most of the time nothing happens
	faults, err := fault.Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Faults: faults, Seed: seed, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	box.Faults().Switch(false)
	a := &account{t: t, box: box}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: transport}, Credentials: credentials.NewStaticCredentialsProvider("l", "l", "")}
	for _, kv := range box.Env() {
		if url, ok := strings.CutPrefix(kv, "AWS_ENDPOINT_URL="); ok {
			cfg.BaseEndpoint = &url
		}
	}
	a.logs, a.lambda = cloudwatchlogs.NewFromConfig(cfg, subscribe.Options), lambda.NewFromConfig(cfg)
	for _, stream := range []string{"logs", "other"} {
		if err := box.CreateStream(t.Context(), stream, 1); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *account) create(names ...string) {
	a.t.Helper()
	for _, name := range names {
		if _, err := a.logs.CreateLogGroup(a.t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *account) filter(group, name, stream string) {
	a.t.Helper()
	_, err := a.logs.PutSubscriptionFilter(a.t.Context(), &cloudwatchlogs.PutSubscriptionFilterInput{
		LogGroupName: &group, FilterName: &name, FilterPattern: aws.String(""), RoleArn: aws.String(roleARN),
		DestinationArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/" + stream),
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// filters are "name>stream" of a group, sorted.
func (a *account) filters(group string) (all []string) {
	a.t.Helper()
	out, err := a.logs.DescribeSubscriptionFilters(a.t.Context(), &cloudwatchlogs.DescribeSubscriptionFiltersInput{LogGroupName: &group})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, f := range out.SubscriptionFilters {
		all = append(all, *f.FilterName+">"+(*f.DestinationArn)[strings.LastIndex(*f.DestinationArn, "/")+1:])
	}
	return all
}

func (a *account) retention(group string) int32 {
	a.t.Helper()
	out, err := a.logs.DescribeLogGroups(a.t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
	if err != nil {
		a.t.Fatal(err)
	}
	return aws.ToInt32(out.LogGroups[0].RetentionInDays)
}

func (a *account) subscriber(change ...func(*subscribe.Config)) *subscribe.Subscriber {
	a.t.Helper()
	cfg := subscribe.Config{StreamARN: streamARN, RoleARN: roleARN, Rate: -1, Pause: time.Millisecond, Intn: func(int) int { return 0 }}
	for _, c := range change {
		c(&cfg)
	}
	s, err := subscribe.New(a.logs, a.lambda, cfg)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

const ours = "banyan-log-shipper>logs"

func TestBackFill(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/aws/lambda/a", "/aws/lambda/log-shipper", "/aws/OpenSearchService/domains/d/audit-logs", "/ecs/full", "/ecs/half",
		"/ecs/moved", "/ecs/theirs", "/vpc/flow")
	for range 60 { // more than a page
		a.create(fmt.Sprintf("/zzz/%d", time.Now().UnixNano()))
	}
	a.filter("/ecs/full", "x", "other")
	a.filter("/ecs/full", "y", "other")
	a.filter("/ecs/half", "x", "other")
	a.filter("/ecs/moved", "banyan-log-shipper", "other")
	a.filter("/ecs/theirs", "by-hand", "logs")
	s := a.subscriber(func(c *subscribe.Config) { c.Exclude = []string{"/vpc/*", "/zzz/*"} })
	r := s.BackFill(t.Context())
	if r.Stopped != sweep.Done || r.Seen != 68 || r.Subscribed != 3 || !slices.Equal(r.Full, []string{"/ecs/full"}) || r.Failures > 0 {
		t.Errorf("%+v", r)
	}
	for group, want := range map[string][]string{
		"/aws/lambda/a": {ours}, "/aws/lambda/log-shipper": nil, "/aws/OpenSearchService/domains/d/audit-logs": nil, "/vpc/flow": nil,
		"/ecs/full": {"x>other", "y>other"}, "/ecs/half": {ours, "x>other"}, "/ecs/moved": {ours}, "/ecs/theirs": {"by-hand>logs"},
	} {
		if got := a.filters(group); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", group, got, want)
		}
	}
	if again := s.BackFill(t.Context()); again.Subscribed != 0 || again.Seen != 68 {
		t.Errorf("again: %+v", again)
	}
}

// TestReadersOfTheStreamAreNotSubscribed whatever its name is; and while that cannot be
// known, nothing is subscribed.
func TestReadersOfTheStreamAreNotSubscribed(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/aws/lambda/a", "/aws/lambda/somebody", "/custom/group")
	r := &fakeReaders{err: &types.ServiceUnavailableException{}}
	s, err := subscribe.New(a.logs, r, subscribe.Config{StreamARN: streamARN, RoleARN: roleARN, Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.BackFill(t.Context()); got.Stopped != sweep.Failed || got.Subscribed > 0 {
		t.Errorf("%+v", got)
	}
	r.err = nil
	r.arn, r.group = "arn:aws:lambda:us-east-1:000000000000:function:somebody:live", "/custom/group"
	if got := s.BackFill(t.Context()); got.Stopped != sweep.Done || got.Subscribed != 1 {
		t.Errorf("%+v", got)
	}
	if a.filters("/aws/lambda/a") == nil || a.filters("/aws/lambda/somebody") != nil || a.filters("/custom/group") != nil {
		t.Error("a group of the function that reads the stream was subscribed")
	}
}

// TestThrottled: the back-fill ends quietly, goes on at its place, and is through
// in the end; conflicts are tried again.
func TestThrottled(t *testing.T) {
	const seed = 1
	a := newAccount(t, "logs.* throttle=0.12 partial=0.2 internal=0.01", seed)
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("/g/%02d", i))
	}
	a.create(names...)
	a.box.Faults().Switch(true)
	s := a.subscriber(func(c *subscribe.Config) {
		c.RetentionDays, c.Now = 30, func() time.Time { return time.Now().Add(2 * time.Hour) }
	})
	stops, total, sum := 0, 0, 0
	for sum < 12 && total < 400 {
		r := s.BackFill(t.Context())
		sum += r.Subscribed
		total++
		if r.Stopped == sweep.Throttled {
			stops++
		}
	}
	a.box.Faults().Switch(false)
	s.BackFill(t.Context())
	s.BackFill(t.Context())
	for _, name := range names {
		if got := a.filters(name); !slices.Equal(got, []string{ours}) || a.retention(name) != 30 {
			t.Errorf("seed %d: %s has %v and %d days", seed, name, got, a.retention(name))
		}
	}
	if stops == 0 || total > 200 {
		t.Errorf("seed %d: %d throttles, %d back-fills", seed, stops, total)
	}
}

// TestTwoAtOnce do what one does.
func TestTwoAtOnce(t *testing.T) {
	a := newAccount(t, "", 1)
	for i := range 10 {
		a.create(fmt.Sprint("/g/", i))
	}
	var g errgroup.Group
	for range 2 {
		s := a.subscriber()
		g.Go(func() error {
			if r := s.BackFill(t.Context()); r.Failures > 0 || r.Stopped != sweep.Done {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if got := a.filters("/g/3"); !slices.Equal(got, []string{ours}) {
		t.Errorf("%v", got)
	}
}

func TestRetention(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/g/none", "/g/short", "/g/long", "/g/forever")
	for group, days := range map[string]int32{"/g/short": 1, "/g/long": 3653} {
		if _, err := a.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: &days}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	s := a.subscriber(func(c *subscribe.Config) {
		c.RetentionDays, c.KeepForever, c.Now = 30, []string{"/g/for*"}, func() time.Time { return now }
	})
	if r := s.BackFill(t.Context()); r.Retained != 0 {
		t.Errorf("young groups: %+v", r)
	}
	now = now.Add(2 * time.Hour)
	if r := s.BackFill(t.Context()); r.Retained != 1 {
		t.Errorf("%+v", r)
	}
	for group, want := range map[string]int32{"/g/none": 30, "/g/short": 1, "/g/long": 3653, "/g/forever": 0} {
		if got := a.retention(group); got != want {
			t.Errorf("%s keeps %d days, want %d", group, got, want)
		}
	}
}

func TestHandler(t *testing.T) {
	a := newAccount(t, "logs.PutSubscriptionFilter throttle=1", 1)
	a.create("/g/new", "/g/other")
	var out bytes.Buffer
	handle := subscribe.Handler(a.subscriber(func(c *subscribe.Config) { c.Function = "own" }), slog.New(slog.DiscardHandler), emf.New(&out, "N"))
	event := func(detail string) json.RawMessage {
		return json.RawMessage(`{"source":"aws.logs","detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"CreateLogGroup",` + detail + `}}`)
	}
	created := event(`"requestParameters":{"logGroupName":"/g/new"}`)
	a.box.Faults().Switch(true)
	if _, err := handle(t.Context(), created); err == nil {
		t.Error("a throttled event must be delivered again")
	}
	if r, err := handle(t.Context(), json.RawMessage(`{"detail-type":"Scheduled Event"}`)); err != nil || r.Stopped != sweep.Throttled || r.Remaining != 2 {
		t.Errorf("a throttled back-fill must be no failure: %+v, %v", r, err)
	}
	a.box.Faults().Switch(false)
	for range 2 {
		if r, err := handle(t.Context(), created); err != nil || r.Seen != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if a.filters("/g/new") == nil || a.filters("/g/other") != nil {
		t.Error("not that group, or not that alone")
	}
	for _, e := range []json.RawMessage{event(`"errorCode":"ResourceAlreadyExistsException"`),
		event(`"requestParameters":{}`), event(`"requestParameters":{"logGroupName":"/g/gone"}`)} {
		if _, err := handle(t.Context(), e); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	if _, err := handle(t.Context(), json.RawMessage(`{}`)); err != nil || a.filters("/g/other") == nil {
		t.Errorf("any other event is a back-fill: %v", err)
	}
	if !strings.Contains(out.String(), `"LogGroupsSubscribed":1`) || !strings.Contains(out.String(), `"Function":"own"`) {
		t.Errorf("metrics %s", &out)
	}
}

// contested is CloudWatch Logs while others change the same groups: their filters
// are not seen yet, or their changes are under way.
type contested struct {
	*cloudwatchlogs.Client
	unseen    bool
	others    int // filters of others that the real one does not have
	conflicts int
	put       error // what is answered to changes
	listings  []error
	anew      []bool   // which listings began at the beginning
	asked     []string // groups, in order
}

func (c *contested) DescribeLogGroups(ctx context.Context, in *cloudwatchlogs.DescribeLogGroupsInput,
	o ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
	if len(c.listings) > 0 && in.LogGroupNamePrefix == nil {
		c.anew = append(c.anew, in.NextToken == nil)
		err := c.listings[0]
		if c.listings = c.listings[1:]; err != nil {
			return nil, err
		}
		in.Limit = aws.Int32(1)
	}
	return c.Client.DescribeLogGroups(ctx, in, o...)
}

func (c *contested) DescribeSubscriptionFilters(ctx context.Context, in *cloudwatchlogs.DescribeSubscriptionFiltersInput,
	o ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeSubscriptionFiltersOutput, error) {
	c.asked = append(c.asked, *in.LogGroupName)
	if c.unseen {
		return &cloudwatchlogs.DescribeSubscriptionFiltersOutput{}, nil
	}
	out, err := c.Client.DescribeSubscriptionFilters(ctx, in, o...)
	for i := range c.others {
		if err == nil {
			name := fmt.Sprint("other-", i)
			out.SubscriptionFilters = append(out.SubscriptionFilters, types.SubscriptionFilter{FilterName: &name})
		}
	}
	return out, err
}

func (c *contested) PutSubscriptionFilter(ctx context.Context, in *cloudwatchlogs.PutSubscriptionFilterInput,
	o ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutSubscriptionFilterOutput, error) {
	if c.put != nil {
		return nil, c.put
	}
	if c.conflicts > 0 {
		c.conflicts--
		return nil, &types.OperationAbortedException{}
	}
	return c.Client.PutSubscriptionFilter(ctx, in, o...)
}

// TestOthersAreQuicker: whoever comes too late reports the group as full, and waits
// while somebody else changes it; neither is a failure.
func TestOthersAreQuicker(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/g/busy", "/g/full")
	a.filter("/g/full", "x", "other")
	a.filter("/g/full", "y", "other")
	r := a.contested(&contested{unseen: true, conflicts: 3}, 0).BackFill(t.Context())
	if r.Stopped != sweep.Done || r.Failures > 0 || r.Subscribed != 1 || !slices.Equal(r.Full, []string{"/g/full"}) {
		t.Errorf("%+v", r)
	}
	if got := a.filters("/g/full"); !slices.Equal(got, []string{"x>other", "y>other"}) || !slices.Equal(a.filters("/g/busy"), []string{ours}) {
		t.Errorf("%v", got)
	}
}

// TestTheQuotaIsTheServersToTell: where a group may have more than the two filters of the
// documents, the third is put like the first.
func TestTheQuotaIsTheServersToTell(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/g/a")
	if r := a.contested(&contested{others: 4}, 0).BackFill(t.Context()); r.Subscribed != 1 || len(r.Full) > 0 || r.Failures > 0 {
		t.Errorf("%+v", r)
	}
	if got := a.filters("/g/a"); !slices.Equal(got, []string{ours}) {
		t.Errorf("%v", got)
	}
}

// contested is a subscriber that begins with group first.
func (a *account) contested(logs *contested, first int) *subscribe.Subscriber {
	a.t.Helper()
	logs.Client = a.logs
	s, err := subscribe.New(logs, a.lambda,
		subscribe.Config{StreamARN: streamARN, RoleARN: roleARN, Rate: -1, Pause: time.Millisecond, Intn: func(int) int { return first }})
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

// TestTooManyFailures end a back-fill that begins anywhere, and the next one goes on
// behind them; groups that take no filters are none.
func TestTooManyFailures(t *testing.T) {
	a := newAccount(t, "", 1)
	for i := range 9 {
		a.create(fmt.Sprint("/g/", i))
	}
	infrequent := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/g/9"), LogGroupClass: types.LogGroupClassInfrequentAccess}
	if _, err := a.logs.CreateLogGroup(t.Context(), infrequent); err != nil {
		t.Fatal(err)
	}
	logs := &contested{put: &types.InvalidParameterException{}}
	s := a.contested(logs, 7)
	for _, want := range [][]string{{"/g/7", "/g/8", "/g/9", "/g/0", "/g/1", "/g/2"}, {"/g/3", "/g/4", "/g/5", "/g/6", "/g/2"}} {
		logs.asked = nil
		if r := s.BackFill(t.Context()); r.Stopped != sweep.Failed || !slices.Equal(logs.asked, want) || r.Remaining == 0 {
			t.Errorf("asked about %v, want %v: %+v", logs.asked, want, r)
		}
	}
}

// TestAListingThatIsCutShort goes on the next time, and begins again when it was too
// long ago for that.
func TestAListingThatIsCutShort(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/g/a", "/g/b", "/g/c")
	slow := &types.ThrottlingException{}
	logs := &contested{listings: []error{nil, slow, nil, slow, &types.InvalidParameterException{}, nil, nil, nil}}
	s := a.contested(logs, 0)
	for i, want := range []string{sweep.Throttled, sweep.Throttled, sweep.Failed, sweep.Done} {
		if r := s.BackFill(t.Context()); r.Stopped != want {
			t.Errorf("back-fill %d: %+v, want %s", i, r, want)
		}
	}
	if !slices.Equal(logs.asked, []string{"/g/a", "/g/b", "/g/c"}) || !slices.Equal(logs.anew, []bool{true, false, false, false, false, true, false, false}) {
		t.Errorf("asked about %v, began anew %v", logs.asked, logs.anew)
	}
}

func TestDryRun(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/g/a")
	r := a.subscriber(func(c *subscribe.Config) {
		c.DryRun, c.RetentionDays, c.Now = true, 30, func() time.Time { return time.Now().Add(2 * time.Hour) }
	}).BackFill(t.Context())
	if r.Subscribed != 1 || r.Retained != 1 || a.filters("/g/a") != nil || a.retention("/g/a") != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDeadline(t *testing.T) {
	a := newAccount(t, "", 1)
	a.create("/g/a", "/g/b")
	s := a.subscriber(func(c *subscribe.Config) { c.Rate, c.Reserve = 2, time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 2600*time.Millisecond) // 6 of 8 requests
	defer cancel()
	if r := s.BackFill(ctx); r.Stopped != sweep.Deadline || r.Remaining == 0 {
		t.Errorf("%+v", r)
	}
	if r := s.BackFill(t.Context()); r.Stopped != sweep.Done || r.Seen == 2 {
		t.Errorf("it did not go on at its place: %+v", r)
	}
}

func TestParseConfig(t *testing.T) {
	env := map[string]string{
		"LOG_STREAM_ARN":           streamARN,
		"LOG_ROLE_ARN":             roleARN,
		"LOG_EXCLUDE":              " /a/*, /b ",
		"LOG_RETENTION_DAYS":       "0",
		"AWS_LAMBDA_FUNCTION_NAME": "own",
	}
	c, err := subscribe.ParseConfig(func(name string) string { return env[name] })
	if err != nil || c.RetentionDays != 0 || c.Function != "own" || !slices.Equal(c.Exclude, []string{"/a/*", "/b"}) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := subscribe.ParseConfig(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "LOG_STREAM_ARN") ||
		!strings.Contains(err.Error(), "LOG_ROLE_ARN") {
		t.Errorf("not all that is missing is named: %v", err)
	}
	for name, value := range map[string]string{"LOG_STREAM_ARN": "x", "LOG_ROLE_ARN": "", "LOG_RETENTION_DAYS": "31",
		"LOG_RATE": "x", "LOG_DRY_RUN": "maybe", "LOG_RETENTION_GRACE": "-1h"} {
		_, err := subscribe.ParseConfig(func(n string) string {
			if n == name {
				return value
			}
			return env[n]
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, value, err)
		}
	}
}
