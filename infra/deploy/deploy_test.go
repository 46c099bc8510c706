package deploy_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/eventually"
)

// TestADeploymentFailsNoInvocation: while the alias moves, every invocation is
// answered, first by the old version, then by both, in the end by the new one; a
// rollback is as quiet.
func TestADeploymentFailsNoInvocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(greeting(t, "one"))
	tr := w.traffic(3)
	eventually.True(t, "the old version answers", func() bool { return tr.count("one") > 5 })

	var moves []int
	d := w.deployer(func(c *deploy.Config) {
		c.Interval = 250 * time.Millisecond
		c.Progress = func(p deploy.Progress) {
			if p.Did == "moved" {
				moves = append(moves, p.Percent)
			}
		}
	})
	r, err := d.Deploy(t.Context(), live, greeting(t, "two"), deploy.Steps{20, 50, 100})
	if err != nil {
		t.Fatal(err)
	}
	if r.From.Version != "1" || r.To.Version != "2" || r.To.Before != "1" || !r.To.Stable() || !r.Uploaded {
		t.Errorf("the result is %+v", r)
	}
	if len(moves) != 3 || moves[0] != 20 || moves[2] != 100 {
		t.Errorf("the moves were %v", moves)
	}
	before := tr.count("one")
	eventually.True(t, "the new version answers", func() bool { return tr.count("two") > before/2 })
	if after := tr.count("one"); after > before+3 { // those under way
		t.Errorf("the old version answered %d more", after-before)
	}
	if r, err = d.Rollback(t.Context(), live, ""); err != nil || r.To.Version != "1" {
		t.Errorf("rollback: %+v, %v", r, err)
	}
	said, failed := tr.end()
	if len(failed) > 0 {
		t.Errorf("%d invocations failed, such as: %v", len(failed), failed[0])
	}
	if len(said) != 2 {
		t.Errorf("answers are %v", said)
	}
	if got, err := w.invoke(t.Context()); err != nil || got != "one" {
		t.Errorf("after the rollback: %q, %v", got, err)
	}
}

// TestAnAlarmRollsBack at any step, also at the last.
func TestAnAlarmRollsBack(t *testing.T) {
	t.Parallel()
	for _, at := range []int{10, 50, 100} {
		w := newWorld(t, nil)
		w.first(other(t, "one"))
		d := w.deployer(func(c *deploy.Config) {
			c.Interval = 5 * time.Second
			c.Progress = func(p deploy.Progress) {
				if p.Did == "moved" && p.Percent == at {
					w.set(cwtypes.StateValueAlarm)
				}
			}
		})
		steps := deploy.Steps{at, 100}
		if at == 100 {
			steps = deploy.Steps{100}
		}
		r, err := d.Deploy(t.Context(), live, other(t, "two"), steps)
		if !errors.Is(err, deploy.ErrAlarm) || !strings.Contains(err.Error(), alarm) {
			t.Errorf("at %d: the error is %v", at, err)
		}
		if r.To.Version != "1" || !w.at().Stable() || w.at().Version != "1" {
			t.Errorf("at %d: the alias is at %v, told was %v", at, w.at(), r.To)
		}
		// While it is raised, nothing is deployed; the alias stays.
		if _, err := d.Deploy(t.Context(), live, other(t, "three"), steps); !errors.Is(err, deploy.ErrAlarm) {
			t.Errorf("at %d: deployed while the alarm is raised: %v", at, err)
		}
	}
}

func TestAlarmsHaveToExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	for name, test := range map[string]struct {
		watch deploy.Watch
		want  error
	}{
		"none begins so":          {deploy.Watch{Prefix: "elsewhere-"}, deploy.ErrRefused},
		"one is missing":          {deploy.Watch{Names: []string{alarm, "missing"}}, deploy.ErrRefused},
		"all are ignored":         {deploy.Watch{Ignore: []string{alarm}}, deploy.ErrRefused},
		"named":                   {deploy.Watch{Names: []string{alarm}}, nil},
		"nobody wants them":       {deploy.Watch{None: true}, nil},
		"begin like the function": {deploy.Watch{}, nil},
	} {
		d := w.deployer(func(c *deploy.Config) { c.Watch, c.Interval = test.watch, -1 })
		if _, err := d.Deploy(t.Context(), live, other(t, name), deploy.Steps{100}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAgainIsNothing: the same code is neither uploaded nor published again.
func TestAgainIsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	r, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "one"), deploy.DefaultSteps)
	if err != nil || r.Uploaded || r.Version != "1" || !r.To.Stable() {
		t.Errorf("%+v, %v", r, err)
	}
	// What Terraform changed comes into use with the next deployment.
	larger := &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String(function), MemorySize: aws.Int32(256)}
	if _, err := w.lambda.UpdateFunctionConfiguration(t.Context(), larger); err != nil {
		t.Fatal(err)
	}
	r, err = w.deployer(nil).Deploy(t.Context(), live, other(t, "one"), deploy.DefaultSteps)
	if err != nil || r.Uploaded || r.To.Version != "2" {
		t.Errorf("after a change of the memory: %+v, %v", r, err)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	before, err := w.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function)})
	if err != nil {
		t.Fatal(err)
	}
	d := w.deployer(func(c *deploy.Config) { c.DryRun = true })
	if r, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps); err != nil || !r.Uploaded || !r.DryRun {
		t.Errorf("deploy: %+v, %v", r, err)
	}
	if _, err := d.Rollback(t.Context(), live, "1"); err != nil {
		t.Errorf("rollback: %v", err)
	}
	after, err := w.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function)})
	if err != nil || *after.RevisionId != *before.RevisionId || w.at().Version != "1" {
		t.Errorf("something changed: %v, %v", w.at(), err)
	}
}

// TestStages: a version goes from stage to stage without a build.
func TestStages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.provide(other(t, "one"))
	d := w.deployer(func(c *deploy.Config) { c.CreateAlias = true })
	staging, prod := deploy.Target{Function: function, Alias: "staging"}, deploy.Target{Function: function, Alias: "prod"}
	if _, err := d.PromoteFrom(t.Context(), prod, "staging", deploy.DefaultSteps); !errors.Is(err, deploy.ErrRefused) {
		t.Errorf("promoted from nothing: %v", err)
	}
	for i, text := range []string{"one", "two"} {
		if _, err := d.Deploy(t.Context(), staging, other(t, text), deploy.Steps{100}); err != nil {
			t.Fatal(err)
		}
		r, err := d.PromoteFrom(t.Context(), prod, "staging", deploy.DefaultSteps)
		if err != nil || r.To.Version != []string{"1", "2"}[i] {
			t.Errorf("promotion %d: %+v, %v", i, r, err)
		}
	}
	all, err := d.List(t.Context(), "shop-")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range all {
		if r.Published.IsZero() || time.Since(r.Published) > time.Minute || r.Architecture != here || r.Code == "" {
			t.Errorf("listed is %+v", r)
		}
		lines = append(lines, r.Target.String()+" "+r.Version+" "+r.Commit+" "+map[int]string{0: "before", 100: "all"}[r.Percent])
	}
	want := "shop-greeter:prod 2 two all, shop-greeter:prod 1 one before, shop-greeter:staging 2 two all, shop-greeter:staging 1 one before"
	if got := strings.Join(lines, ", "); got != want {
		t.Errorf("listed is %s", got)
	}
	if all, err = d.List(t.Context(), "elsewhere"); err != nil || len(all) != 0 {
		t.Errorf("listed elsewhere: %v, %v", all, err)
	}
}

// TestMappingsMoveAlong with their alias, and those that would not are refused.
func TestMappingsMoveAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(greeting(t, "one"))
	ctx := t.Context()
	if _, err := w.kinesis.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	if err := kinesis.NewStreamExistsWaiter(w.kinesis, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 50*time.Millisecond
	}).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("s")}, time.Minute); err != nil {
		t.Fatal(err)
	}
	mapTo := func(name string) string {
		out, err := w.lambda.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{
			FunctionName: &name, EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s"), StartingPosition: types.EventSourcePositionTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		return *out.UUID
	}
	mapTo(function + ":live")
	put := func() {
		if _, err := w.kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	noted := func() string {
		b, err := os.ReadFile(w.out)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(b)
	}
	put()
	eventually.True(t, "the old version got a batch", func() bool { return noted() == "one\n" })
	if _, err := w.deployer(nil).Deploy(ctx, live, greeting(t, "two"), deploy.Steps{100}); err != nil {
		t.Fatal(err)
	}
	put()
	eventually.True(t, "the new version got a batch", func() bool { return noted() == "one\ntwo\n" })

	id := mapTo(function)
	_, err := w.deployer(nil).Deploy(ctx, live, other(t, "three"), deploy.Steps{100})
	if !errors.Is(err, deploy.ErrRefused) || !strings.Contains(err.Error(), id) {
		t.Errorf("with a mapping of $LATEST: %v", err)
	}
}

func TestWrongPlansAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.provide(other(t, "one"))
	d, ctx := w.deployer(nil), t.Context()
	absent := deploy.Target{Function: "absent", Alias: "live"}
	for name, do := range map[string]func() error{
		"no steps":       func() error { _, err := d.Deploy(ctx, live, other(t, "x"), nil); return err },
		"not to the end": func() error { _, err := d.Deploy(ctx, live, other(t, "x"), deploy.Steps{10}); return err },
		"nothing packed": func() error {
			_, err := d.Deploy(ctx, live, deploy.Package{Architecture: here}, deploy.DefaultSteps)
			return err
		},
		"no architecture": func() error {
			_, err := d.Deploy(ctx, live, deploy.Package{Zip: []byte("x")}, deploy.DefaultSteps)
			return err
		},
		"no alias to roll back": func() error { _, err := d.Rollback(ctx, live, ""); return err },
		"no stage":              func() error { _, err := d.PromoteFrom(ctx, live, "staging", deploy.DefaultSteps); return err },
		"status of no function": func() error { _, err := d.Status(ctx, absent); return err },
		"alarms of no function": func() error { _, err := d.Deploy(ctx, absent, other(t, "x"), deploy.DefaultSteps); return err },
		"no function": func() error {
			quiet := w.deployer(func(c *deploy.Config) { c.Watch.None = true })
			_, err := quiet.Deploy(ctx, absent, other(t, "x"), deploy.DefaultSteps)
			return err
		},
	} {
		if err := do(); !errors.Is(err, deploy.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, err := d.List(ctx, "")
	if err != nil || len(all) != 1 || all[0].Alias != "" || all[0].Version != "$LATEST" || all[0].Percent != 100 {
		t.Errorf("a function without an alias is listed as %+v, %v", all, err)
	}
	if _, err := d.Deploy(ctx, live, other(t, "one"), deploy.DefaultSteps); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"77", "$LATEST"} {
		if _, err := d.Rollback(ctx, live, version); !errors.Is(err, deploy.ErrRefused) || w.at().Version != "1" {
			t.Errorf("rolled back to %s: %v", version, err)
		}
	}
	if err := (deploy.Config{}).Validate(); err == nil {
		t.Error("a config of nothing is valid")
	}
}

func TestParseSteps(t *testing.T) {
	for text, want := range map[string]bool{"10,50,100": true, "100": true, " 1 , 100": true, "": false, "10": false,
		"50,10,100": false, "0,100": false, "10,110": false, "a,100": false, "100,100": false} {
		if _, err := deploy.ParseSteps(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseSteps(f *testing.F) {
	f.Add("10,50,100")
	f.Add("1,,100")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := deploy.ParseSteps(text)
		if err == nil && (len(s) == 0 || s[len(s)-1] != 100 || s[0] < 1) {
			t.Errorf("%q made %v", text, s)
		}
	})
}
