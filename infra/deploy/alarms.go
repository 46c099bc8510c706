package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// alarm is one with its state.
type alarm struct {
	name, state, reason string
	functions           []string // that its metrics name as their dimension
	changed             time.Time
}

// otherAlarm is an alarm that begins like those of a function, but is another's.
type otherAlarm struct{ alarm, function string }

func listAlarms(all []otherAlarm) string {
	var parts []string
	for _, f := range all {
		parts = append(parts, fmt.Sprintf("%s (of %s)", f.alarm, f.function))
	}
	return strings.Join(parts, ", ")
}

const maxNames = 100 // of one DescribeAlarms

// readWatched returns the alarms that are watched, and those that are left to other
// functions.
func (l *alarmWatcher) readWatched(ctx context.Context) (watched []alarm, left []otherAlarm, err error) {
	w := l.cfg.Watch
	if watched, err = l.readNamed(ctx, w.Names); err != nil {
		return nil, nil, err
	}
	own := w.Prefix == "" && len(w.Names) == 0
	if own {
		w.Prefix = l.t.Function + "-"
	}
	if w.Prefix != "" {
		found, err := l.describeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: &w.Prefix})
		if err != nil {
			return nil, nil, err
		}
		watched = append(watched, found...)
	}
	watched = slices.DeleteFunc(watched, func(a alarm) bool { return slices.Contains(w.Ignore, a.name) })
	if own {
		if watched, left, err = l.splitByOwner(ctx, watched); err != nil {
			return nil, nil, err
		}
	}
	if len(watched) > 0 {
		return watched, left, nil
	}
	others := ""
	if len(left) > 0 {
		others = ", but those of other functions: " + listAlarms(left)
	}
	return nil, nil, fmt.Errorf(
		"%w: no alarm would turn this deployment back: there is none whose name begins with %q%s; "+
			"name some (--alarm, --alarm-prefix), or say that there are none (--no-alarms)",
		ErrRefused,
		w.Prefix,
		others,
	)
}

// readNamed returns the alarms of these names, or an error that says which are missing.
func (l *alarmWatcher) readNamed(ctx context.Context, names []string) (all []alarm, err error) {
	for part := range slices.Chunk(names, maxNames) {
		found, err := l.describeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: part})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	var missing []string
	for _, name := range names {
		if !slices.ContainsFunc(all, func(a alarm) bool { return a.name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: there is no alarm named %s", ErrRefused, strings.Join(missing, ", "))
	}
	return all, nil
}

// splitByOwner separates the function's alarms from those of others.
func (l *alarmWatcher) splitByOwner(ctx context.Context, all []alarm) (own []alarm, left []otherAlarm, err error) {
	for _, a := range all {
		owner, err := l.owner(ctx, a)
		switch {
		case err != nil:
			return nil, nil, err
		case owner == l.t.Function:
			own = append(own, a)
		default:
			left = append(left, otherAlarm{a.name, owner})
		}
	}
	return own, left, nil
}

// owner is the function whose alarm it is: the one that its metrics name, or else
// the one with the longest name that the alarm's begins with.
func (l *alarmWatcher) owner(ctx context.Context, a alarm) (string, error) {
	switch {
	case slices.Contains(a.functions, l.t.Function):
		return l.t.Function, nil
	case len(a.functions) > 0:
		return strings.Join(a.functions, " and "), nil
	}
	if err := l.listLongerNames(ctx); err != nil {
		return "", fmt.Errorf("whose alarm is %s: %w; without the right to list functions, say which alarms to watch (--alarm, --alarm-prefix)", a.name, err)
	}
	owner := l.t.Function
	for _, name := range l.longer {
		if len(name) > len(owner) && (a.name == name || strings.HasPrefix(a.name, name+"-")) {
			owner = name
		}
	}
	return owner, nil
}

// listLongerNames reads, once, which functions' names begin like this one's and "-".
func (l *alarmWatcher) listLongerNames(ctx context.Context) error {
	if l.listed {
		return nil
	}
	var longer []string
	err := l.eachFunction(ctx, func(name string) error {
		if strings.HasPrefix(name, l.t.Function+"-") {
			longer = append(longer, name)
		}
		return nil
	})
	if err == nil {
		l.longer, l.listed = longer, true
	}
	return err
}

// eachFunction goes through the functions of the account and region.
func (d *Deployer) eachFunction(ctx context.Context, do func(name string) error) error {
	in := &lambda.ListFunctionsInput{}
	for {
		out, err := d.cfg.Functions.ListFunctions(ctx, in)
		if err != nil {
			return fmt.Errorf("list the functions: %w", err)
		}
		for _, f := range out.Functions {
			if err := do(aws.ToString(f.FunctionName)); err != nil {
				return err
			}
		}
		if aws.ToString(out.NextMarker) == "" {
			return nil
		}
		in.Marker = out.NextMarker
	}
}

var alarmTypes = []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}

func (l *alarmWatcher) describeAlarms(ctx context.Context, in *cloudwatch.DescribeAlarmsInput) ([]alarm, error) {
	var all []alarm
	in.AlarmTypes = alarmTypes
	for {
		out, err := l.cfg.Alarms.DescribeAlarms(ctx, in, l.limitAttempts)
		if err != nil {
			return nil, fmt.Errorf("read the alarms: %w", err)
		}
		for _, a := range out.MetricAlarms {
			all = append(all, alarm{aws.ToString(a.AlarmName), string(a.StateValue), aws.ToString(a.StateReason), functionsOf(a),
				aws.ToTime(a.StateTransitionedTimestamp)})
		}
		for _, a := range out.CompositeAlarms {
			all = append(all, alarm{aws.ToString(a.AlarmName), string(a.StateValue), aws.ToString(a.StateReason), nil, aws.ToTime(a.StateTransitionedTimestamp)})
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}

// functionsOf are those that an alarm's metric names, or the metrics of its
// expression.
func functionsOf(a types.MetricAlarm) (names []string) {
	dimensions := slices.Clone(a.Dimensions)
	for _, q := range a.Metrics {
		if q.MetricStat != nil && q.MetricStat.Metric != nil {
			dimensions = append(dimensions, q.MetricStat.Metric.Dimensions...)
		}
	}
	for _, d := range dimensions {
		if name := aws.ToString(d.Value); aws.ToString(d.Name) == "FunctionName" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
