package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"golang.org/x/time/rate"
)

// Logs is what is asked of CloudWatch Logs. A *cloudwatchlogs.Client is one; give
// it [Options].
type Logs interface {
	DescribeLogGroups(context.Context, *cloudwatchlogs.DescribeLogGroupsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error)
	DescribeSubscriptionFilters(context.Context, *cloudwatchlogs.DescribeSubscriptionFiltersInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeSubscriptionFiltersOutput, error)
	PutSubscriptionFilter(context.Context, *cloudwatchlogs.PutSubscriptionFilterInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutSubscriptionFilterOutput, error)
	PutRetentionPolicy(context.Context, *cloudwatchlogs.PutRetentionPolicyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutRetentionPolicyOutput, error)
}

// Functions tells who reads the stream. A *lambda.Client is one.
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
	pace      *rate.Limiter
	mutex     chan struct{} // held by an invocation
	todo      []item        // what is left of this round
	rounds    int
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
	cfg.FilterName = cmp.Or(cfg.FilterName, DefaultFilterName)
	cfg.RetentionGrace = cmp.Or(cfg.RetentionGrace, defaultGrace)
	cfg.Rate = cmp.Or(cfg.Rate, defaultRate)
	cfg.Reserve = cmp.Or(cfg.Reserve, defaultReserve)
	cfg.MaxFailures = cmp.Or(cfg.MaxFailures, defaultMaxFailures)
	cfg.Conflicts = cmp.Or(cfg.Conflicts, defaultConflicts)
	cfg.Pause = cmp.Or(cfg.Pause, defaultPause)
	if cfg.Shippers == nil {
		cfg.Shippers = []string{DefaultShipper}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Intn == nil {
		cfg.Intn = rand.IntN
	}
	limit := rate.Limit(cfg.Rate)
	if cfg.Rate < 0 {
		limit = rate.Inf
	}
	return &Subscriber{
		cfg: cfg, logs: logs, functions: functions, pace: rate.NewLimiter(limit, 1), mutex: make(chan struct{}, 1),
	}, nil
}

// work is one invocation's.
type work struct {
	*Subscriber
	soft   context.Context // ends when nothing more is to be begun
	end    context.CancelFunc
	own    []string // groups that must not be subscribed
	report Report
}

// begin waits for other work to end. Call release after it.
func (s *Subscriber) begin(ctx context.Context) (*work, error) {
	select {
	case s.mutex <- struct{}{}:
	case <-ctx.Done():
		return nil, errDeadline
	}
	w := &work{Subscriber: s, soft: ctx, end: func() {}}
	w.report.DryRun = s.cfg.DryRun
	if deadline, ok := ctx.Deadline(); ok {
		w.soft, w.end = context.WithDeadline(ctx, deadline.Add(-s.cfg.Reserve))
	}
	return w, nil
}

func (w *work) release() {
	w.end()
	<-w.mutex
}

// turn waits for the next request's turn, and refuses it when time is up.
func (w *work) turn() error {
	if err := w.pace.Wait(w.soft); err != nil {
		return errDeadline // also where the turn would come too late
	}
	return nil
}

// One subscribes the group that an event tells of. The error is for Lambda, to
// deliver the event again later.
func (s *Subscriber) One(ctx context.Context, name string) (Report, error) {
	w, err := s.begin(ctx)
	if err != nil {
		return Report{Stopped: Deadline}, err
	}
	defer w.release()
	if err = w.findOwn(ctx); err == nil {
		err = w.group(ctx, item{name, true})
	}
	w.report.Stopped = reason(err)
	if err != nil {
		err = fmt.Errorf("log-subscriber: %s: %w", name, err)
		w.report.fail(err)
	}
	return w.report, err
}

// BackFill goes over all groups, from where the last one ended, until the round
// is through or it has to stop; Report.Stopped says why. What goes wrong is in
// the report: an error would only make the scheduler try again.
func (s *Subscriber) BackFill(ctx context.Context) Report {
	w, err := s.begin(ctx)
	if err != nil {
		return Report{Stopped: Deadline}
	}
	defer w.release()
	err = w.round(ctx)
	w.report.Stopped = reason(err)
	if w.report.Stopped == Failed {
		w.report.fail(err)
	}
	w.report.Remaining = len(w.todo)
	return w.report
}

func (w *work) round(ctx context.Context) error {
	if err := w.findOwn(ctx); err != nil {
		return err
	}
	if len(w.todo) == 0 {
		if err := w.list(ctx); err != nil {
			return fmt.Errorf("list the log groups: %w", err)
		}
	}
	for len(w.todo) > 0 {
		next := w.todo[0]
		if err := w.group(ctx, next); err != nil {
			if stops(err) {
				return err
			}
			w.report.fail(fmt.Errorf("%s: %w", next.name, err))
			if w.report.Failures >= w.cfg.MaxFailures {
				w.todo = append(w.todo[1:], next)
				return errTooMany
			}
		}
		w.todo = w.todo[1:]
	}
	return nil
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
		if err := w.turn(); err != nil {
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
	w.todo = l.items
	w.listing = listing{}
	if n := len(w.todo); w.rounds == 0 && n > 0 {
		at := w.cfg.Intn(n)
		w.todo = slices.Concat(w.todo[at:], w.todo[:at])
	}
	w.rounds++
	return nil
}

// group does all that one group needs. One that is gone needs nothing.
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
	if err := w.turn(); err != nil {
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

var (
	errDeadline = errors.New("the time is up")
	errTooMany  = errors.New("too many failures in one invocation")
)
