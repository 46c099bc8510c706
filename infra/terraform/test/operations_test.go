package terraform_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/ops/logs/subscribe"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
	"github.com/banyan-fig/banyan/infra/ops/warm"
)

const arn = "arn:aws:lambda:us-east-1:123456789012:function:"

// alias is the alias of one of the environment's functions.
func alias(function string) string { return arn + environment + "-" + function + ":live" }

// configured is a function's configuration, with its environment as it reads it.
func configured(t *testing.T, cfg aws.Config, function string) (types.FunctionConfiguration, func(string) string) {
	t.Helper()
	out := must[*lambda.GetFunctionOutput](t)(
		lambda.NewFromConfig(cfg).GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String(environment + "-" + function)}),
	)
	variables := map[string]string{}
	if out.Configuration.Environment != nil {
		variables = out.Configuration.Environment.Variables
	}
	return *out.Configuration, func(name string) string { return variables[name] }
}

// TestPeerMadeSettings: the operations functions take the environment that they
// are given, by their own code, and mean by it what the example says.
func TestPeerMadeSettings(t *testing.T) {
	cfg, _ := deployed(t)
	_, env := configured(t, cfg, "janitor")
	if c, err := janitor.ParseConfig(env); err != nil || !slices.Equal(c.Except, []string{"legacy-*"}) || c.Keep != 3 ||
		c.AliasAge != 90*24*time.Hour || c.AliasKeep != 10 {
		t.Errorf("janitor: %+v, %v", c, err)
	}
	_, env = configured(t, cfg, "stream-autoscaler")
	if c, err := autoscale.ParseConfig(env); err != nil || len(c.Policies) != 1 || c.Policies[0].Stream != environment+"-audit" || c.Policies[0].Max != 16 {
		t.Errorf("stream-autoscaler: %+v, %v", c, err)
	}
	_, env = configured(t, cfg, "keep-warm")
	if c, err := warm.ParseConfig(env); err != nil || len(c.Targets) != 1 || c.Targets[0].Function != alias("timeline-api") || c.Targets[0].Environments != 2 {
		t.Errorf("keep-warm: %+v, %v", c, err)
	}
	_, env = configured(t, cfg, "log-subscriber")
	if c, err := subscribe.ParseConfig(env); err != nil || c.Validate() != nil || !slices.Contains(c.Include, "/aws/lambda/"+environment+"-*") ||
		!slices.Equal(c.Shippers, []string{environment + "-log-shipper"}) {
		t.Errorf("log-subscriber: %+v, %v", c, err)
	}
	for _, function := range []string{"sqsloop", "sqsloop-scale-up", "sqsloop-scale-down", "sqsloop-restart"} {
		_, env = configured(t, cfg, function)
		c, err := sqsloop.ParseSettings(env)
		if err != nil || len(c.Queues) != 2 || c.Table != environment+"-sqsloop-loops" {
			t.Errorf("%s: %+v, %v", function, c, err)
			continue
		}
		far, q := c.Queues[0], c.Queues[1]
		if !strings.HasSuffix(far.URL, "/"+environment+"-far") || far.Max != 1 {
			t.Errorf("%s polls %+v", function, far)
		}
		if !strings.HasSuffix(q.URL, "/"+environment+"-work") || q.Handler != arn+"work:live" || q.Min != 1 || q.Max != 4 {
			t.Errorf("%s polls %+v", function, q)
		}
		if function != "sqsloop" {
			want(t, "what "+function+" starts", c.Function, alias("sqsloop"))
		}
	}
	_, env = configured(t, cfg, "log-shipper")
	want(t, "OPENSEARCH_URL", env("OPENSEARCH_URL"), "https://search.example.com")
	if url := env("LOG_DEAD_LETTER_URL"); !strings.HasSuffix(url, "-log-shipper-refused") {
		t.Errorf("refused lines go to %s", url)
	}
}

// TestPeerMadeOperations: memory, time, concurrency, and what becomes of events
// that fail are those of the packages' docs.
func TestPeerMadeOperations(t *testing.T) {
	cfg, _ := deployed(t)
	client := lambda.NewFromConfig(cfg)
	for function, w := range map[string]struct{ memory, timeout, reserved, retries, age int32 }{
		"janitor":            {128, 300, 1, 0, 3600},
		"stream-autoscaler":  {128, 60, 0, 0, 60},
		"keep-warm":          {128, 60, 0, 0, 60},
		"sqsloop":            {128, 300, 6, 0, 60},
		"sqsloop-scale-up":   {128, 30, 0, 2, 3600},
		"sqsloop-scale-down": {128, 30, 0, 2, 3600},
		"sqsloop-restart":    {128, 60, 0, 0, 60},
		"log-subscriber":     {256, 900, 2, 2, 3600},
	} {
		f, _ := configured(t, cfg, function)
		want(t, function+"'s memory", *f.MemorySize, w.memory)
		want(t, function+"'s timeout", *f.Timeout, w.timeout)
		limit := must[*lambda.GetFunctionConcurrencyOutput](t)(
			client.GetFunctionConcurrency(t.Context(), &lambda.GetFunctionConcurrencyInput{FunctionName: f.FunctionName}),
		)
		want(t, function+"'s concurrency", aws.ToInt32(limit.ReservedConcurrentExecutions), w.reserved)
		invoke := must[*lambda.GetFunctionEventInvokeConfigOutput](t)(
			client.GetFunctionEventInvokeConfig(t.Context(),
				&lambda.GetFunctionEventInvokeConfigInput{FunctionName: f.FunctionName, Qualifier: aws.String("live")}),
		)
		want(t, function+"'s retries", *invoke.MaximumRetryAttempts, w.retries)
		want(t, function+"'s age of events", *invoke.MaximumEventAgeInSeconds, w.age)
	}
	loops := must[*lambda.GetFunctionRecursionConfigOutput](t)(
		client.GetFunctionRecursionConfig(t.Context(), &lambda.GetFunctionRecursionConfigInput{FunctionName: aws.String(environment + "-sqsloop")}),
	)
	want(t, "the recursion of sqsloop", loops.RecursiveLoop, types.RecursiveLoopAllow)
}

// TestPeerMadeSchedules: each rule invokes the alias, and may.
func TestPeerMadeSchedules(t *testing.T) {
	cfg, endpoint := deployed(t)
	type rule struct{ Name, Arn, State, ScheduleExpression, EventPattern string }
	var rules struct{ Rules []rule }
	ask(t, endpoint, "events", "AWSEvents.ListRules", struct{}{}, &rules)
	expressions := map[string]string{
		"janitor-sweep": "rate(1 hour)", "stream-autoscaler-look": "rate(1 minute)", "keep-warm-ping": "rate(5 minutes)",
		"sqsloop-restart-look": "rate(1 minute)", "log-subscriber-back-fill": "rate(1 hour)", "log-subscriber-new-group": "",
		"recommend-sweep-minute": "rate(1 minute)",
	}
	for _, r := range rules.Rules {
		name := strings.TrimPrefix(r.Name, environment+"-")
		expression, there := expressions[name]
		if !there {
			t.Errorf("nobody asked for the rule %s", r.Name)
			continue
		}
		delete(expressions, name)
		want(t, r.Name, r.ScheduleExpression, expression)
		want(t, r.Name, r.State, "ENABLED")
		if expression == "" && (!strings.Contains(r.EventPattern, `"CreateLogGroup"`) || !strings.Contains(r.EventPattern, `"aws.logs"`)) {
			t.Errorf("%s is for %s", r.Name, r.EventPattern)
		}
		var targets struct{ Targets []struct{ Arn string } }
		ask(t, endpoint, "events", "AWSEvents.ListTargetsByRule", map[string]string{"Rule": r.Name}, &targets)
		if len(targets.Targets) != 1 {
			t.Errorf("%s has %d targets", r.Name, len(targets.Targets))
			continue
		}
		function, live := strings.CutSuffix(strings.TrimPrefix(targets.Targets[0].Arn, arn), ":live")
		if !live || !strings.HasPrefix(r.Name, function+"-") {
			t.Errorf("%s invokes %s", r.Name, targets.Targets[0].Arn)
		}
		invoked(t, cfg, function, "events.amazonaws.com", r.Arn)
	}
	for name := range expressions {
		t.Errorf("there is no rule %s", name)
	}
}

// TestPeerMadeLoopAlarms: each step of a queue tells topics of the queue's region,
// which invoke the functions that add and remove a loop.
func TestPeerMadeLoopAlarms(t *testing.T) {
	cfg, _ := deployed(t)
	for queue, region := range map[string]string{"work": "us-east-1", "far": "eu-west-1"} {
		there := cfg.Copy()
		there.Region = region
		all := alarms(t, there)
		topics := map[string]string{}
		for _, step := range []struct {
			name  string
			above float64
		}{{"1000", 1000}, {"5000", 5000}, {"20000", 20000}} {
			a := all["scale-"+environment+"-sqsloop-"+queue+"-"+step.name]
			if len(a.AlarmActions) != 1 || len(a.OKActions) != 1 {
				t.Errorf("the alarm for %s of %s in %s tells %v and %v", step.name, queue, region, a.AlarmActions, a.OKActions)
				continue
			}
			want(t, "the threshold", *a.Threshold, step.above)
			want(t, "the metric", *a.MetricName, "ApproximateNumberOfMessagesVisible")
			want(t, "the queue", *a.Dimensions[0].Value, environment+"-"+queue)
			want(t, "without data", *a.TreatMissingData, "notBreaching")
			topics[a.AlarmActions[0]] = "sqsloop-scale-up"
			topics[a.OKActions[0]] = "sqsloop-scale-down"
		}
		if len(topics) != 2 {
			t.Errorf("the alarms of %s tell %v", queue, topics)
		}
		for topic, function := range topics {
			if !strings.HasPrefix(topic, "arn:aws:sns:"+region+":") {
				t.Errorf("an alarm in %s tells %s", region, topic)
			}
			want(t, "what "+topic+" invokes", strings.Join(subscribed(t, there, topic), " "), alias(function))
			invoked(t, cfg, environment+"-"+function, "sns.amazonaws.com", topic)
		}
		oldest := all[environment+"-sqsloop-"+queue+"-oldest"]
		if len(oldest.AlarmActions) != 1 || !strings.HasPrefix(oldest.AlarmActions[0], "arn:aws:sns:"+region+":") {
			t.Errorf("the alarm for the oldest message of %s tells %v", queue, oldest.AlarmActions)
		}
	}
}

// subscribed are the endpoints of a topic's subscriptions.
func subscribed(t *testing.T, cfg aws.Config, topic string) []string {
	t.Helper()
	var out struct {
		Endpoints []string `xml:"ListSubscriptionsByTopicResult>Subscriptions>member>Endpoint"`
	}
	query(t, *cfg.BaseEndpoint, "sns", cfg.Region, "2010-03-31", "ListSubscriptionsByTopic", &out, "TopicArn", topic)
	return out.Endpoints
}

// TestPeerMadePeoplesAlarms: whoever is called at night hears of what operations
// functions cannot mend.
func TestPeerMadePeoplesAlarms(t *testing.T) {
	cfg, _ := deployed(t)
	all := alarms(t, cfg)
	people := slices.Collect(maps.Keys(all))
	for _, name := range []string{
		"sqsloop-work-oldest", "sqsloop-work-dead-letters", "sqsloop-work-problems", "sqsloop-work-restarts", "sqsloop-far-restarts",
		"sqsloop-recursion-dropped", "keep-warm-timeline-api-misunderstood",
		"log-subscriber-failures", "log-subscriber-full", "log-shipper-LogRefused", "log-shipper-LogGaps", "log-shipper-refused-age", "log-shipper-iterator-age",
		"stream-autoscaler-audit-at-limit", "stream-autoscaler-audit-hot-key", "stream-autoscaler-audit-metrics-missing", "janitor-failures", "janitor-idle",
	} {
		if !slices.Contains(people, environment+"-"+name) {
			t.Errorf("there is no alarm %s", name)
		} else if told := all[environment+"-"+name].AlarmActions; len(told) != 1 || !strings.HasSuffix(told[0], ":"+environment+"-alarms") {
			t.Errorf("the alarm %s tells %v", name, told)
		}
	}
	for _, d := range all[environment+"-keep-warm-timeline-api-misunderstood"].Dimensions {
		want(t, "what is misunderstood", *d.Value, alias("timeline-api"))
	}
	idle := all[environment+"-janitor-idle"]
	want(t, "a janitor that is not heard of", aws.ToString(idle.TreatMissingData)+" "+string(idle.ComparisonOperator), "breaching LessThanThreshold")
	want(t, "its time", *idle.Period**idle.EvaluationPeriods, 86400)
	missing := all[environment+"-stream-autoscaler-audit-metrics-missing"]
	want(t, "figures that are missing", aws.ToString(missing.TreatMissingData)+" "+string(missing.Statistic), "notBreaching Minimum")
	want(t, "their time", *missing.Period**missing.EvaluationPeriods, 900)
}

// TestPeerMadeShipping: the shipper's alias reads the stream of logs.
func TestPeerMadeShipping(t *testing.T) {
	cfg, _ := deployed(t)
	m := mapping(t, cfg, "log-shipper")
	if !strings.HasSuffix(*m.EventSourceArn, ":stream/"+environment+"-logs") || *m.FunctionArn != alias("log-shipper") {
		t.Errorf("%s reads %s", *m.FunctionArn, *m.EventSourceArn)
	}
	want(t, "the window", aws.ToInt32(m.MaximumBatchingWindowInSeconds), 5)
	want(t, "the batch size", aws.ToInt32(m.BatchSize), 100)
	want(t, "the retries", aws.ToInt32(m.MaximumRetryAttempts), -1)
}

// invoked tells whether a service may invoke the alias, for a source alone, and
// nobody the function beside its alias.
func invoked(t *testing.T, cfg aws.Config, function, service, source string) {
	t.Helper()
	out, err := lambda.NewFromConfig(cfg).GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: &function, Qualifier: aws.String("live")})
	if err != nil {
		t.Errorf("%s: %v", function, err)
		return
	}
	var p struct {
		Statement []struct {
			Action, Resource string
			Principal        struct{ Service string }
			Condition        struct {
				ArnLike map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(*out.Policy), &p); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range p.Statement {
		want(t, "what may be done to "+function, s.Action+" "+s.Resource, "lambda:InvokeFunction "+arn+function+":live")
		found = found || s.Principal.Service == service && s.Condition.ArnLike["AWS:SourceArn"] == source
	}
	if !found {
		t.Errorf("%s may not be invoked by %s of %s: %s", function, source, service, *out.Policy)
	}
}
