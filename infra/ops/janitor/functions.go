package janitor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// version is a published version of a function.
type version struct {
	number int
	size   int64
	// published is when it was; the zero time where that is not known.
	published time.Time
}

// function removes the versions of one function that nobody refers to.
func (w *work) function(ctx context.Context, i *item) error {
	versions, err := w.versions(ctx, i.name)
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(w.aged(versions), func(v version) bool { return int64(v.number) <= i.after })
	if len(old) == 0 {
		return nil
	}
	used, err := w.fixed(ctx, i.name)
	if err != nil {
		return err
	}
	for _, v := range old {
		if !used[strconv.Itoa(v.number)] {
			if err := w.remove(ctx, i.name, v); err != nil {
				return err
			}
		}
		i.after = int64(v.number)
	}
	return nil
}

// ignoreNotFound is err, or nil where the function or layer was deleted meanwhile.
func ignoreNotFound(err error) error {
	if awserr.Is(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}

func (w *work) versions(ctx context.Context, name string) ([]version, error) {
	var out []version
	in := &lambda.ListVersionsByFunctionInput{FunctionName: &name}
	for {
		if err := w.AwaitRequest(); err != nil {
			return nil, err
		}
		page, err := w.api.ListVersionsByFunction(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the versions: %w", err)
		}
		for _, f := range page.Versions {
			if number, err := strconv.Atoi(aws.ToString(f.Version)); err == nil { // not $LATEST
				out = append(out, version{number, f.CodeSize, moment(f.LastModified)})
			}
		}
		if page.NextMarker == nil {
			return out, nil
		}
		in.Marker = page.NextMarker
	}
}

// aged are the versions beyond the newest and the young, oldest first.
func (w *work) aged(versions []version) []version {
	slices.SortFunc(versions, func(a, b version) int { return a.number - b.number })
	var out []version
	for _, v := range versions[:max(0, len(versions)-w.cfg.Keep)] {
		if w.old(v.published) {
			out = append(out, v)
		}
	}
	return out
}

// old says whether the time of grace has passed; of an unknown age it has not.
func (w *work) old(published time.Time) bool {
	return !published.IsZero() && w.cfg.Now().Sub(published) >= w.cfg.Grace
}

// moment reads the API's times, with a fraction or without.
func moment(text *string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.000-0700", time.RFC3339} {
		if t, err := time.Parse(layout, aws.ToString(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// fixed are the versions that mappings and provisioned concurrency name.
func (w *work) fixed(ctx context.Context, name string) (map[string]bool, error) {
	used := map[string]bool{}
	in := &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: &name}
	for more := true; more; more = in.Marker != nil {
		if err := w.AwaitRequest(); err != nil {
			return nil, err
		}
		page, err := w.api.ListProvisionedConcurrencyConfigs(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the provisioned concurrency: %w", err)
		}
		for _, c := range page.ProvisionedConcurrencyConfigs {
			used[qualifier(c.FunctionArn)] = true
		}
		in.Marker = page.NextMarker
	}
	return used, w.mapped(ctx, name, used)
}

// mapped adds the versions that event source mappings name. All mappings are
// read: those of a function's versions are not among those of its name.
func (w *work) mapped(ctx context.Context, name string, used map[string]bool) error {
	in := &lambda.ListEventSourceMappingsInput{}
	for more := true; more; more = in.Marker != nil {
		if err := w.AwaitRequest(); err != nil {
			return err
		}
		page, err := w.api.ListEventSourceMappings(ctx, in)
		if err != nil {
			return fmt.Errorf("list the event source mappings: %w", err)
		}
		for _, m := range page.EventSourceMappings {
			if arn := aws.ToString(m.FunctionArn); strings.Contains(arn, ":function:"+name+":") {
				used[qualifier(&arn)] = true
			}
		}
		in.Marker = page.NextMarker
	}
	return nil
}

// qualifier is the part of a function's ARN after its name, or "".
func qualifier(arn *string) string {
	parts := strings.Split(aws.ToString(arn), ":")
	if len(parts) != 8 {
		return ""
	}
	return parts[7]
}

// remove deletes one version if at this moment no alias refers to it.
func (w *work) remove(ctx context.Context, name string, v version) error {
	aliased, err := w.aliased(ctx, name, strconv.Itoa(v.number))
	if err != nil || aliased {
		return err
	}
	if w.dryRun {
		w.report.freed(name, false, v.number, v.size)
		return nil
	}
	err = w.deleteVersion(ctx, name, v.number)
	switch {
	case err == nil:
		w.report.freed(name, false, v.number, v.size)
	case isRefusal(err):
		w.report.refuse(name, v.number, err)
	case ignoreNotFound(err) != nil:
		return fmt.Errorf("delete version %d: %w", v.number, err)
	}
	return nil
}

// aliased says whether an alias leads to a version, even in part.
func (w *work) aliased(ctx context.Context, name, version string) (bool, error) {
	in := &lambda.ListAliasesInput{FunctionName: &name}
	for {
		if err := w.AwaitRequest(); err != nil {
			return false, err
		}
		page, err := w.api.ListAliases(ctx, in)
		if err != nil {
			return false, fmt.Errorf("list the aliases: %w", err)
		}
		for _, a := range page.Aliases {
			if refers(a, version) {
				return true, nil
			}
		}
		if page.NextMarker == nil {
			return false, nil
		}
		in.Marker = page.NextMarker
	}
}

func refers(a types.AliasConfiguration, version string) bool {
	if aws.ToString(a.FunctionVersion) == version {
		return true
	}
	if a.RoutingConfig == nil {
		return false
	}
	_, routed := a.RoutingConfig.AdditionalVersionWeights[version]
	return routed
}

// deleteVersion is the only place where a function is deleted from. Without a
// qualifier the whole function would go: a number cannot be left out.
func (w *work) deleteVersion(ctx context.Context, name string, number int) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	_, err := w.api.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name, Qualifier: aws.String(strconv.Itoa(number))})
	return err
}
