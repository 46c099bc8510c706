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

// sweepFunction removes the versions of one function that nothing refers to.
func (w *work) sweepFunction(ctx context.Context, i *item) error {
	versions, err := w.listVersions(ctx, i.name)
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(w.oldVersions(versions), func(v version) bool { return int64(v.number) <= i.after })
	if len(old) == 0 && w.cfg.AliasAge == 0 {
		return nil
	}
	used, err := w.pinnedVersions(ctx, i.name)
	if err != nil {
		return err
	}
	if w.cfg.AliasAge > 0 {
		if err := w.sweepAliases(ctx, i.name, versions, used); err != nil {
			return err
		}
	}
	for _, v := range old {
		if !used[strconv.Itoa(v.number)] {
			if err := w.removeVersion(ctx, i.name, v); err != nil {
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

func (w *work) listVersions(ctx context.Context, name string) ([]version, error) {
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
				out = append(out, version{number, f.CodeSize, parseTime(f.LastModified)})
			}
		}
		if page.NextMarker == nil {
			return out, nil
		}
		in.Marker = page.NextMarker
	}
}

// oldVersions are the versions that are neither among the newest nor younger than Grace,
// oldest first.
func (w *work) oldVersions(versions []version) []version {
	slices.SortFunc(versions, func(a, b version) int { return a.number - b.number })
	var out []version
	for _, v := range versions[:max(0, len(versions)-w.cfg.Keep)] {
		if w.isOld(v.published) {
			out = append(out, v)
		}
	}
	return out
}

// isOld reports whether Grace has passed; false for an unknown age.
func (w *work) isOld(published time.Time) bool {
	return !published.IsZero() && w.cfg.Now().Sub(published) >= w.cfg.Grace
}

// parseTime reads the API's times, with a fraction or without.
func parseTime(text *string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.000-0700", time.RFC3339} {
		if t, err := time.Parse(layout, aws.ToString(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// pinnedVersions are the versions and aliases that mappings and provisioned
// concurrency name.
func (w *work) pinnedVersions(ctx context.Context, name string) (map[string]bool, error) {
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
	return used, w.addMapped(ctx, name, used)
}

// addMapped adds the versions that event source mappings name. All mappings are
// read: those of a function's versions are not among those of its name.
func (w *work) addMapped(ctx context.Context, name string, used map[string]bool) error {
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

// removeVersion deletes one version if at this moment no alias refers to it.
func (w *work) removeVersion(ctx context.Context, name string, v version) error {
	aliased, err := w.hasAlias(ctx, name, strconv.Itoa(v.number))
	if err != nil || aliased {
		return err
	}
	if w.dryRun {
		w.report.addDeleted(name, false, v.number, v.size)
		return nil
	}
	err = w.deleteVersion(ctx, name, v.number)
	switch {
	case err == nil:
		w.report.addDeleted(name, false, v.number, v.size)
	case isRefusal(err):
		w.report.addRefused(name, v.number, err)
	case ignoreNotFound(err) != nil:
		return fmt.Errorf("delete version %d: %w", v.number, err)
	}
	return nil
}

// hasAlias reports whether an alias refers to a version, even in part.
func (w *work) hasAlias(ctx context.Context, name, version string) (found bool, err error) {
	err = w.eachAlias(ctx, name, func(a types.AliasConfiguration) bool {
		found = refersTo(a, version)
		return !found
	})
	return found, err
}

// eachAlias goes through the aliases of a function while do asks for more.
func (w *work) eachAlias(ctx context.Context, name string, do func(types.AliasConfiguration) (more bool)) error {
	in := &lambda.ListAliasesInput{FunctionName: &name}
	for {
		if err := w.AwaitRequest(); err != nil {
			return err
		}
		page, err := w.api.ListAliases(ctx, in)
		if err != nil {
			return fmt.Errorf("list the aliases: %w", err)
		}
		for _, a := range page.Aliases {
			if !do(a) {
				return nil
			}
		}
		if page.NextMarker == nil {
			return nil
		}
		in.Marker = page.NextMarker
	}
}

func refersTo(a types.AliasConfiguration, version string) bool {
	if aws.ToString(a.FunctionVersion) == version {
		return true
	}
	if a.RoutingConfig == nil {
		return false
	}
	_, routed := a.RoutingConfig.AdditionalVersionWeights[version]
	return routed
}

// deleteVersion is the only place that calls DeleteFunction. Without a qualifier that
// deletes the whole function, so the parameter is a number.
func (w *work) deleteVersion(ctx context.Context, name string, number int) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	_, err := w.api.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name, Qualifier: aws.String(strconv.Itoa(number))})
	return err
}
