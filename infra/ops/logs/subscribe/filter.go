package subscribe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// groupPrefix is where functions log to by default.
const groupPrefix = "/aws/lambda/"

// findOwn looks up the log groups of the functions that read the stream.
func (w *work) findOwn(ctx context.Context) error {
	for _, name := range w.cfg.Shippers {
		w.own = append(w.own, groupPrefix+name)
	}
	in := &lambda.ListEventSourceMappingsInput{EventSourceArn: &w.cfg.StreamARN}
	for more := true; more; {
		if err := w.AwaitRequest(); err != nil {
			return err
		}
		page, err := w.functions.ListEventSourceMappings(ctx, in)
		if err != nil {
			return fmt.Errorf("look up the functions that read the stream: failed, so nothing is subscribed: %w", err)
		}
		for _, m := range page.EventSourceMappings {
			if err := w.addOwn(ctx, aws.ToString(m.FunctionArn)); err != nil {
				return err
			}
		}
		in.Marker = page.NextMarker
		more = page.NextMarker != nil
	}
	return nil
}

func (w *work) addOwn(ctx context.Context, arn string) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	w.own = append(w.own, groupPrefix+functionName(arn))
	f, err := w.functions.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &arn})
	switch {
	case isNotFound(err):
		return nil // a mapping without its function reads nothing
	case err != nil:
		return fmt.Errorf("look up the log group of %s: failed, so nothing is subscribed: %w", arn, err)
	case f.LoggingConfig != nil && f.LoggingConfig.LogGroup != nil:
		w.own = append(w.own, *f.LoggingConfig.LogGroup)
	}
	return nil
}

// functionName is that in an ARN, which may end with a version or an alias.
func functionName(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) < 7 {
		return arn
	}
	return parts[6]
}

// subscribe makes sure that a group is subscribed, if it is to be.
func (w *work) subscribe(ctx context.Context, name string) error {
	if slices.Contains(w.own, name) || !w.cfg.wanted(name) {
		return nil
	}
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	has, err := w.logs.DescribeSubscriptionFilters(ctx, &cloudwatchlogs.DescribeSubscriptionFiltersInput{LogGroupName: &name})
	if err != nil {
		return fmt.Errorf("read its subscription filters: %w", err)
	}
	if slices.ContainsFunc(has.SubscriptionFilters, w.serves) {
		return nil
	}
	if ok, err := w.acceptsFilters(ctx, name); err != nil || !ok {
		return err
	}
	return w.put(ctx, name)
}

// serves reports whether a filter does what is wanted. One of another name that
// sends everything to our stream serves as well: two would send it twice.
func (w *work) serves(f types.SubscriptionFilter) bool {
	named := aws.ToString(f.FilterName) == w.cfg.FilterName
	return aws.ToString(f.DestinationArn) == w.cfg.StreamARN && aws.ToString(f.FilterPattern) == "" &&
		f.Distribution != types.DistributionRandom && (!named || aws.ToString(f.RoleArn) == w.cfg.RoleARN)
}

// acceptsFilters is not so for groups of other classes than the standard one.
func (w *work) acceptsFilters(ctx context.Context, name string) (bool, error) {
	g, err := w.describe(ctx, name)
	if err != nil || g == nil {
		return false, err
	}
	return g.LogGroupClass == "" || g.LogGroupClass == types.LogGroupClassStandard, nil
}

// put tries. How many filters a group may have is asked of nobody: documents give 2,
// accounts have been seen with 5, and the answer to the attempt is right about both.
func (w *work) put(ctx context.Context, name string) error {
	if w.cfg.DryRun {
		w.report.Subscribed++
		return nil
	}
	everything := ""
	err := w.retryConflicts(ctx, func() error {
		_, err := w.logs.PutSubscriptionFilter(ctx, &cloudwatchlogs.PutSubscriptionFilterInput{
			LogGroupName: &name, FilterName: &w.cfg.FilterName, FilterPattern: &everything,
			DestinationArn: &w.cfg.StreamARN, RoleArn: &w.cfg.RoleARN, Distribution: types.DistributionByLogStream,
		})
		return err
	})
	if _, full := errors.AsType[*types.LimitExceededException](err); full {
		w.report.full(name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("subscribe it: %w", err)
	}
	w.report.Subscribed++
	return nil
}

// retryConflicts tries a change again that conflicted with another one of the group.
func (w *work) retryConflicts(ctx context.Context, change func() error) error {
	delays := backoff.Backoff{Min: w.cfg.Pause, Max: w.cfg.Pause << w.cfg.Conflicts}
	for attempt := 0; ; attempt++ {
		if err := w.AwaitRequest(); err != nil {
			return err
		}
		err := change()
		if !isConflict(err) || attempt == w.cfg.Conflicts-1 {
			return err
		}
		if delays.Wait(w.Working(), attempt) != nil {
			return sweep.ErrDeadline
		}
	}
}

// retain sets a retention where there is none.
func (w *work) retain(ctx context.Context, name string) error {
	if w.cfg.RetentionDays == 0 || anyMatches(w.cfg.KeepForever, name) {
		return nil
	}
	g, err := w.describe(ctx, name)
	if err != nil || !w.lacksRetention(g) {
		return err
	}
	if !w.cfg.DryRun {
		err = w.retryConflicts(ctx, func() error {
			_, err := w.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &name, RetentionInDays: &w.cfg.RetentionDays})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("set its retention: %w", err)
	}
	w.report.Retained++
	return nil
}

func (w *work) lacksRetention(g *types.LogGroup) bool {
	if g == nil || g.RetentionInDays != nil || g.LogGroupClass == types.LogGroupClassDelivery {
		return false
	}
	return w.cfg.Now().Sub(time.UnixMilli(aws.ToInt64(g.CreationTime))) >= w.cfg.RetentionGrace
}
