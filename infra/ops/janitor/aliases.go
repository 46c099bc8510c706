package janitor

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Traffic is what tells which aliases were invoked. A *cloudwatch.Client is one.
type Traffic interface {
	GetMetricData(context.Context, *cloudwatch.GetMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// alias is one that is old enough to go. Lambda notes no times of aliases: their age
// is that of the version that they point to.
type alias struct {
	name, revision string
	version        int
}

// sweepAliases removes the aliases of one function that are many and old, that nothing
// refers to and nobody invoked. used has the qualifiers that mappings and provisioned
// concurrency name.
func (w *work) sweepAliases(ctx context.Context, name string, versions []version, used map[string]bool) error {
	old, err := w.oldAliases(ctx, name, versions)
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(a alias) bool { return used[a.name] })
	for part := range slices.Chunk(old, maxQueries) {
		invoked, err := w.invokedAliases(ctx, name, part)
		if err != nil {
			return err
		}
		for i, a := range part {
			if invoked[i] {
				continue
			}
			if err := w.removeAlias(ctx, name, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// oldAliases are the aliases behind the newest AliasKeep whose version is older than
// AliasAge. One with weights may be in the middle of a deployment, and one at $LATEST
// has no age: they stay.
func (w *work) oldAliases(ctx context.Context, name string, versions []version) ([]alias, error) {
	published := map[int]time.Time{}
	for _, v := range versions {
		published[v.number] = v.published
	}
	var all []alias
	err := w.eachAlias(ctx, name, func(a types.AliasConfiguration) bool {
		number, err := strconv.Atoi(aws.ToString(a.FunctionVersion))
		if err == nil && !w.cfg.keepsAlias(aws.ToString(a.Name)) && !isWeighted(a.RoutingConfig) {
			all = append(all, alias{aws.ToString(a.Name), aws.ToString(a.RevisionId), number})
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b alias) int { return cmp.Or(b.version-a.version, cmp.Compare(b.name, a.name)) })
	all = all[min(w.cfg.AliasKeep, len(all)):]
	return slices.DeleteFunc(all, func(a alias) bool {
		at := published[a.version]
		return at.IsZero() || w.cfg.Now().Sub(at) < w.cfg.AliasAge
	}), nil
}

// keepsAlias reports whether an alias is one of those that stay by their name.
func (c Config) keepsAlias(name string) bool {
	return slices.ContainsFunc(c.AliasExcept, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// isWeighted reports whether a second version gets invocations.
func isWeighted(r *types.AliasRoutingConfiguration) bool {
	if r == nil {
		return false
	}
	for _, weight := range r.AdditionalVersionWeights {
		if weight > 0 {
			return true
		}
	}
	return false
}

const maxQueries = 500 // of one GetMetricData

// invokedAliases reports which of the aliases were invoked within AliasAge.
func (w *work) invokedAliases(ctx context.Context, name string, aliases []alias) ([]bool, error) {
	end := w.cfg.Now().Truncate(time.Hour).Add(time.Hour)
	in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(end.Add(-w.cfg.AliasAge - time.Hour)), EndTime: &end}
	for i, a := range aliases {
		in.MetricDataQueries = append(in.MetricDataQueries, cloudwatchtypes.MetricDataQuery{
			Id: aws.String("q" + strconv.Itoa(i)),
			MetricStat: &cloudwatchtypes.MetricStat{
				Period: aws.Int32(int32(24 * time.Hour / time.Second)), Stat: aws.String("Sum"),
				Metric: &cloudwatchtypes.Metric{Namespace: aws.String("AWS/Lambda"), MetricName: aws.String("Invocations"), Dimensions: []cloudwatchtypes.Dimension{
					{Name: aws.String("FunctionName"), Value: &name}, {Name: aws.String("Resource"), Value: aws.String(name + ":" + a.name)},
				}},
			},
		})
	}
	invoked := make([]bool, len(aliases))
	for more := true; more; more = in.NextToken != nil {
		if err := w.AwaitRequest(); err != nil {
			return nil, err
		}
		page, err := w.cfg.Traffic.GetMetricData(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("read the invocations of aliases: %w", err)
		}
		for _, r := range page.MetricDataResults {
			i, err := strconv.Atoi(aws.ToString(r.Id)[1:])
			if err != nil || i >= len(invoked) || r.StatusCode == cloudwatchtypes.StatusCodeInternalError || r.StatusCode == cloudwatchtypes.StatusCodeForbidden {
				return nil, fmt.Errorf("read the invocations of aliases: CloudWatch answered %s for %s", r.StatusCode, aws.ToString(r.Id))
			}
			invoked[i] = invoked[i] || len(r.Values) > 0
		}
		in.NextToken = page.NextToken
	}
	return invoked, nil
}

// removeAlias deletes one alias if at this moment it is as it was when it was read.
func (w *work) removeAlias(ctx context.Context, name string, a alias) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	now, err := w.api.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &name, Name: &a.name})
	switch {
	case err != nil:
		return ignoreNotFound(err)
	case aws.ToString(now.RevisionId) != a.revision:
		return nil
	case w.dryRun:
		w.report.addAlias(name, a.name)
		return nil
	}
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	if _, err := w.api.DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: &name, Name: &a.name}); err != nil {
		return fmt.Errorf("delete the alias %s: %w", a.name, err)
	}
	w.report.addAlias(name, a.name)
	return nil
}
