package deploy_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// beside makes functions besides the one that is deployed.
func (w *world) beside(names ...string) {
	w.t.Helper()
	for _, name := range names {
		_, err := w.lambda.CreateFunction(w.t.Context(), &lambda.CreateFunctionInput{
			FunctionName: &name, Role: &w.role, Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
			Code: &types.FunctionCode{ZipFile: other(w.t, name).Zip},
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func dimension(name, value string) []cwtypes.Dimension {
	return []cwtypes.Dimension{{Name: &name, Value: &value}}
}

// raised makes an alarm that is raised, of a metric.
func (w *world) raised(name string, dimensions ...cwtypes.Dimension) {
	w.t.Helper()
	w.put(
		name,
		&cloudwatch.PutMetricAlarmInput{
			MetricName: aws.String("Errors"),
			Namespace:  aws.String("AWS/Some"),
			Statistic:  cwtypes.StatisticSum,
			Period:     aws.Int32(60),
			Dimensions: dimensions,
		},
	)
}

// raisedMath makes one that adds up a metric of each of these functions.
func (w *world) raisedMath(name string, functions ...string) {
	w.t.Helper()
	queries := []cwtypes.MetricDataQuery{{Id: aws.String("all"), Expression: aws.String("SUM(METRICS())"), ReturnData: aws.Bool(true)}}
	for i, f := range functions {
		queries = append(
			queries,
			cwtypes.MetricDataQuery{Id: aws.String("m" + string(rune('0'+i))), ReturnData: aws.Bool(false), MetricStat: &cwtypes.MetricStat{
				Metric: &cwtypes.Metric{
					Namespace:  aws.String("AWS/Lambda"),
					MetricName: aws.String("Errors"),
					Dimensions: dimension("FunctionName", f),
				}, Period: aws.Int32(60), Stat: aws.String("Sum"),
			}},
		)
	}
	w.put(name, &cloudwatch.PutMetricAlarmInput{Metrics: queries})
}

func (w *world) put(name string, in *cloudwatch.PutMetricAlarmInput) {
	w.t.Helper()
	in.AlarmName, in.EvaluationPeriods, in.Threshold, in.ComparisonOperator = &name, aws.Int32(1), aws.Float64(
		1,
	), cwtypes.ComparisonOperatorGreaterThanThreshold
	_, err := w.metrics.PutMetricAlarm(w.t.Context(), in)
	if err == nil {
		err = w.raise(name)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) raise(name string) error {
	_, err := w.metrics.SetAlarmState(w.t.Context(),
		&cloudwatch.SetAlarmStateInput{AlarmName: &name, StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("the test says so")})
	return err
}

func (w *world) raisedComposite(name string) {
	w.t.Helper()
	_, err := w.metrics.PutCompositeAlarm(w.t.Context(), &cloudwatch.PutCompositeAlarmInput{AlarmName: &name, AlarmRule: aws.String("ALARM(x)")})
	if err == nil {
		err = w.raise(name)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) lower(name string) {
	w.t.Helper()
	if _, err := w.metrics.DeleteAlarms(w.t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{name}}); err != nil {
		w.t.Fatal(err)
	}
}

// oneAPage makes Lambda tell of its functions one by one.
func oneAPage(listed *atomic.Int32) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.TrimSuffix(r.URL.Path, "/") == "/2015-03-31/functions" {
				listed.Add(1)
				q := r.URL.Query()
				q.Set("MaxItems", "1")
				r.URL.RawQuery = q.Encode()
			}
			next.ServeHTTP(w, r)
		})
	}
}

// TestOnlyItsOwnAlarms: an alarm of a function whose name begins like this one's
// does not turn it back, and one that may be its own does.
func TestOnlyItsOwnAlarms(t *testing.T) {
	t.Parallel()
	var listed atomic.Int32
	w := newWorld(t, oneAPage(&listed))
	w.first(other(t, "one"))
	w.beside("aaa", function+"-api", function+"-api-admin", function+"2", "zzz")
	const api = function + "-api"
	for name, test := range map[string]struct {
		alarm string
		make  func(name string)
		owner string // "": this one
	}{
		"own metric":                  {function + "-slow", func(n string) { w.raised(n, dimension("FunctionName", function)...) }, ""},
		"own metric, other's name":    {api + "-slow", func(n string) { w.raised(n, dimension("FunctionName", function)...) }, ""},
		"other's metric":              {api + "-slow", func(n string) { w.raised(n, dimension("FunctionName", api)...) }, api},
		"other's metric, own name":    {function + "-slow", func(n string) { w.raised(n, dimension("FunctionName", "elsewhere")...) }, "elsewhere"},
		"no function, own name":       {function + "-5xx", func(n string) { w.raised(n, dimension("ApiId", "a1")...) }, ""},
		"no function, other's name":   {api + "-5xx", func(n string) { w.raised(n, dimension("ApiId", "a1")...) }, api},
		"no function, longest name":   {api + "-admin-5xx", func(n string) { w.raised(n, dimension("ApiId", "a1")...) }, api + "-admin"},
		"no function, the name alone": {api, func(n string) { w.raised(n) }, api},
		"no function, a longer word":  {function + "-apiary", func(n string) { w.raised(n) }, ""},
		"math of its own":             {api + "-sum", func(n string) { w.raisedMath(n, "aaa", function) }, ""},
		"math of others":              {function + "-sum", func(n string) { w.raisedMath(n, "aaa", api) }, "aaa and " + api},
		"math of none, own name":      {function + "-sum", func(n string) { w.raisedMath(n) }, ""},
		"math of none, other's name":  {api + "-sum", func(n string) { w.raisedMath(n) }, api},
		"composite, own name":         {function + "-all", w.raisedComposite, ""},
		"composite, other's name":     {api + "-all", w.raisedComposite, api},
	} {
		test.make(test.alarm)
		var told deploy.Progress
		look := func(watch deploy.Watch) error {
			d := w.deployer(func(c *deploy.Config) {
				c.DryRun, c.Watch = true, watch
				c.Progress = func(p deploy.Progress) {
					if p.Did == "alarms" {
						told = p
					}
				}
			})
			_, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
			return err
		}
		err := look(deploy.Watch{})
		if own := test.owner == ""; errors.Is(err, deploy.ErrAlarm) != own || err != nil != own || slices.Contains(told.Alarms, test.alarm) != own ||
			!slices.Contains(told.Alarms, alarm) {
			t.Errorf("%s: %v; told was %q", name, err, told.Alarms)
		}
		if said := test.alarm + " (of " + test.owner + ")"; test.owner != "" && !strings.Contains(told.Text, said) {
			t.Errorf("%s: told was %q, not that it leaves %s", name, told.Text, said)
		}
		for _, watch := range []deploy.Watch{{Prefix: function}, {Names: []string{test.alarm}}} {
			if err := look(watch); !errors.Is(err, deploy.ErrAlarm) {
				t.Errorf("%s: named by %+v: %v", name, watch, err)
			}
		}
		w.lower(test.alarm)
	}
	if listed.Load() == 0 {
		t.Error("the functions were not listed")
	}
}

// TestOthersAlarmDuringTheSteps: raised when the alias moves, it is another's still.
func TestOthersAlarmDuringTheSteps(t *testing.T) {
	t.Parallel()
	var listed atomic.Int32
	w := newWorld(t, oneAPage(&listed))
	w.first(other(t, "one"))
	w.beside(function + "-api")
	listed.Store(0)
	d := w.deployer(func(c *deploy.Config) {
		c.Progress = func(p deploy.Progress) {
			if p.Did == "moved" && p.Percent == 10 {
				w.raised(function+"-api-errors", dimension("FunctionName", function+"-api")...)
				w.raised(function+"-api-5xx", dimension("ApiId", "a1")...)
			}
		}
	})
	r, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
	if err != nil || r.To.Version != "2" {
		t.Errorf("%+v, %v", r, err)
	}
	if n := listed.Load(); n != 2 {
		t.Errorf("the functions, two pages of them, were asked for %d times in one deployment", n)
	}
	// Its own alarm goes on to count beside those.
	w.set(cwtypes.StateValueAlarm)
	if _, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps); !errors.Is(err, deploy.ErrAlarm) ||
		!strings.Contains(err.Error(), alarm) {
		t.Errorf("its own alarm: %v", err)
	}
	w.lower(alarm)
	if _, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps); !errors.Is(err, deploy.ErrRefused) ||
		!strings.Contains(err.Error(), function+"-api-5xx (of "+function+"-api)") {
		t.Errorf("with alarms of others alone: %v", err)
	}
}

// TestWithoutTheRightToList: who may not list functions says which alarms to watch.
func TestWithoutTheRightToList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.TrimSuffix(r.URL.Path, "/") == "/2015-03-31/functions" {
				rw.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
				rw.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.provide(other(t, "one"))
	for name, test := range map[string]struct {
		watch deploy.Watch
		works bool
	}{
		"by default": {deploy.Watch{}, false},
		"by prefix":  {deploy.Watch{Prefix: function + "-"}, true},
		"by name":    {deploy.Watch{Names: []string{alarm}}, true},
	} {
		d := w.deployer(func(c *deploy.Config) { c.Watch = test.watch })
		_, err := d.Deploy(t.Context(), live, other(t, "one"), deploy.DefaultSteps)
		if (err == nil) != test.works || err != nil && (!strings.Contains(err.Error(), "--alarm-prefix") || !strings.Contains(err.Error(), "AccessDenied")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Alarms whose metrics say whose they are need no list.
	w.lower(alarm)
	w.raised(alarm, dimension("FunctionName", function)...)
	w.set(cwtypes.StateValueOk)
	if _, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "one"), deploy.DefaultSteps); err != nil {
		t.Errorf("with an alarm that names its function: %v", err)
	}
}
