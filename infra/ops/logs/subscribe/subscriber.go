package subscribe

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// Logs is what is asked of CloudWatch Logs. A *cloudwatchlogs.Client is one; give
// it [Options].
type Logs interface {
	DescribeLogGroups(context.Context, *cloudwatchlogs.DescribeLogGroupsInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error)
	DescribeSubscriptionFilters(context.Context, *cloudwatchlogs.DescribeSubscriptionFiltersInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeSubscriptionFiltersOutput, error)
	PutSubscriptionFilter(context.Context, *cloudwatchlogs.PutSubscriptionFilterInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutSubscriptionFilterOutput, error)
	PutRetentionPolicy(context.Context, *cloudwatchlogs.PutRetentionPolicyInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutRetentionPolicyOutput, error)
}

// Functions looks up the functions that read the stream. A *lambda.Client is one.
type Functions interface {
	ListEventSourceMappings(context.Context, *lambda.ListEventSourceMappingsInput, ...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error)
	GetFunctionConfiguration(context.Context, *lambda.GetFunctionConfigurationInput, ...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error)
}

// Subscriber keeps its place between back-fills. It is safe for concurrent use,
// one invocation at a time.
type Subscriber struct {
	cfg       Config
	logs      Logs
	functions Functions
	sweeper   *sweep.Sweeper
	round     sweep.Round[item]
	listing   listing // of the next round
}

// item is a group to look at.
type item struct {
	name string
	bare bool // it had no retention when it was listed
}

// New makes a subscriber. The error is Config.Validate's.
func New(logs Logs, functions Functions, cfg Config) (*Subscriber, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Function = cmp.Or(cfg.Function, defaultFunction)
	cfg.FilterName = cmp.Or(cfg.FilterName, defaultFilterName)
	cfg.RetentionGrace = cmp.Or(cfg.RetentionGrace, defaultGrace)
	cfg.Rate = cmp.Or(cfg.Rate, defaultRate)
	cfg.Reserve = cmp.Or(cfg.Reserve, defaultReserve)
	cfg.MaxFailures = cmp.Or(cfg.MaxFailures, defaultMaxFailures)
	cfg.Conflicts = cmp.Or(cfg.Conflicts, defaultConflicts)
	cfg.Pause = cmp.Or(cfg.Pause, defaultPause)
	if cfg.Shippers == nil {
		cfg.Shippers = []string{defaultShipper}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Intn == nil {
		cfg.Intn = rand.IntN
	}
	return &Subscriber{cfg: cfg, logs: logs, functions: functions, sweeper: sweep.New(cfg.Rate, cfg.Reserve)}, nil
}

// work is that of one invocation.
type work struct {
	*Subscriber
	*sweep.Run
	own    []string // groups that must not be subscribed
	report Report
}

// begin waits until no other invocation works. Call End after it.
func (s *Subscriber) begin(ctx context.Context) (*work, error) {
	run, err := s.sweeper.Begin(ctx)
	if err != nil {
		return nil, err
	}
	w := &work{Subscriber: s, Run: run}
	w.report.DryRun = s.cfg.DryRun
	return w, nil
}

// One subscribes the group that an event is about. The error is for Lambda, to
// deliver the event again later.
func (s *Subscriber) One(ctx context.Context, name string) (Report, error) {
	w, err := s.begin(ctx)
	if err != nil {
		return Report{Stopped: sweep.Deadline}, err
	}
	defer w.End()
	ctx = w.Requests()
	if err = w.findOwn(ctx); err == nil {
		err = w.group(ctx, item{name, true})
	}
	w.report.Stopped = sweep.Reason(err)
	if err != nil {
		err = fmt.Errorf("log-subscriber: %s: %w", name, err)
		w.report.fail(err)
	}
	return w.report, err
}

// BackFill sweeps all groups, from where the last one ended, until the round is complete
// or it has to stop; Report.Stopped has the reason. Failures are in the report: an error
// would only make the scheduler retry.
func (s *Subscriber) BackFill(ctx context.Context) Report {
	w, err := s.begin(ctx)
	if err != nil {
		return Report{Stopped: sweep.Deadline}
	}
	defer w.End()
	err = w.backFill(w.Requests())
	w.report.Stopped = sweep.Reason(err)
	if w.report.Stopped == sweep.Failed {
		w.report.fail(err)
	}
	w.report.Remaining = w.round.Remaining()
	return w.report
}

func (w *work) backFill(ctx context.Context) error {
	if err := w.findOwn(ctx); err != nil {
		return err
	}
	if w.round.Remaining() == 0 {
		if err := w.list(ctx); err != nil {
			return fmt.Errorf("list the log groups: %w", err)
		}
	}
	return w.round.Each(func(i *item) error { return w.group(ctx, *i) }, func(i item, err error) (tooMany bool) {
		w.report.fail(fmt.Errorf("%s: %w", i.name, err))
		return w.report.Failures >= w.cfg.MaxFailures
	})
}

// listing is the list of the next round as far as it is known.
type listing struct {
	items []item
	next  *string
}

// list reads the names of all groups. A listing that is cut short goes on the
// next time, or begins again when its token is too old.
func (w *work) list(ctx context.Context) error {
	l := &w.listing
	for more := true; more; {
		if err := w.AwaitRequest(); err != nil {
			return err
		}
		page, err := w.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{NextToken: l.next})
		if err != nil {
			if l.next != nil && isInvalid(err) {
				*l = listing{}
			}
			return err
		}
		for _, g := range page.LogGroups {
			l.items = append(l.items, item{*g.LogGroupName, w.lacksRetention(&g)})
		}
		l.next = page.NextToken
		more = page.NextToken != nil
	}
	w.round.Begin(l.items, w.cfg.Intn)
	w.listing = listing{}
	return nil
}

// group does all that one group needs. One that was deleted needs nothing.
func (w *work) group(ctx context.Context, i item) error {
	w.report.Seen++
	err := w.subscribe(ctx, i.name)
	if err == nil && i.bare {
		err = w.retain(ctx, i.name)
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// describe reads one group, nil where there is none of that very name.
func (w *work) describe(ctx context.Context, name string) (*types.LogGroup, error) {
	if err := w.AwaitRequest(); err != nil {
		return nil, err
	}
	page, err := w.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &name})
	if err != nil {
		return nil, err
	}
	for i, g := range page.LogGroups { // sorted, so the group itself comes first
		if *g.LogGroupName == name {
			return &page.LogGroups[i], nil
		}
	}
	return nil, nil
}
