package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// inject points the alias somewhere, as somebody else does, or Lambda by itself.
func (w *world) inject(version string, weights map[string]float64) {
	w.t.Helper()
	_, err := w.lambda.UpdateAlias(context.WithoutCancel(w.t.Context()), &lambda.UpdateAliasInput{
		FunctionName: aws.String(function), Name: aws.String("live"), FunctionVersion: &version,
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
	})
	if err != nil {
		w.t.Error(err)
	}
}

// TestWeightsOfOthers: whoever set them, promote goes to the newer version and rollback
// to the older, and neither says that it is done where nothing was.
func TestWeightsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	if _, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "two"), deploy.Steps{100}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		version string
		weights map[string]float64
		percent int // to version 2
	}{
		{"2", map[string]float64{"1": 1}, 0}, // as Lambda leaves it without provisioned concurrency
		{"2", map[string]float64{"1": 0.6}, 40},
		{"1", map[string]float64{"2": 1}, 100},
		{"1", map[string]float64{"2": 0.001}, 1},
	} {
		w.inject(test.version, test.weights)
		if s := w.at(); s.Stable() || s.Version != "1" || s.Next != "2" || s.Percent != test.percent {
			t.Errorf("%+v reads as %v", test, s)
		}
		if _, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps); !errors.Is(err, deploy.ErrInProgress) {
			t.Errorf("%+v: a deployment began: %v", test, err)
		}
		if r, err := w.deployer(nil).Promote(t.Context(), live, deploy.DefaultSteps); err != nil || !r.To.Stable() || w.at().Version != "2" || !w.at().Stable() {
			t.Errorf("%+v: promoted to %v, %v", test, w.at(), err)
		}
		w.inject(test.version, test.weights)
		if r, err := w.deployer(nil).Rollback(t.Context(), live, ""); err != nil || r.Version != "1" || w.at().Version != "1" || !w.at().Stable() {
			t.Errorf("%+v: rolled back to %v, %v", test, w.at(), err)
		}
	}
}

// provision gives the alias provisioned concurrency.
func (w *world) provision() {
	w.t.Helper()
	_, err := w.lambda.PutProvisionedConcurrencyConfig(w.t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String(function), Qualifier: aws.String("live"), ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestTerraform24957ProvisionedConcurrency: Lambda holds a new version back by weights of
// its own, which is waited for, and no weight is left that would forbid to scale.
func TestTerraform24957ProvisionedConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	w.provision()
	waited := false
	d := w.deployer(func(c *deploy.Config) {
		c.Progress = func(p deploy.Progress) {
			switch {
			case p.Did == "moved" && p.Percent == 100:
				w.inject("2", map[string]float64{"1": 1})
			case p.Did == "provisioning":
				waited = true
				w.inject("2", map[string]float64{})
			}
		}
	})
	r, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
	if err != nil || !waited || r.To.Version != "2" || !r.To.Stable() || r.To.Before != "" || w.at().Before != "" {
		t.Errorf("%+v, %v; waited %t, is at %v", r, err, waited, w.at())
	}
	if _, err := w.deployer(nil).Rollback(t.Context(), live, ""); !errors.Is(err, deploy.ErrRefused) || !strings.Contains(err.Error(), "--to") {
		t.Errorf("a rollback to what is not known: %v", err)
	}
	if r, err := w.deployer(nil).Rollback(t.Context(), live, "1"); err != nil || r.To.Version != "1" || !w.at().Stable() {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestProvisionedConcurrencyThatNeverComes: what Lambda leaves at the old version is not
// called deployed, and is moved back although Lambda changed the alias in between.
func TestProvisionedConcurrencyThatNeverComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	w.provision()
	hold := func(c *deploy.Config) {
		c.ProvisionTimeout = 30 * time.Millisecond
		c.Progress = func(p deploy.Progress) {
			if p.Did == "moved" && p.Percent == 100 {
				w.inject("2", map[string]float64{"1": 1})
			}
		}
	}
	r, err := w.deployer(hold).Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
	if !errors.Is(err, deploy.ErrInProgress) || !strings.Contains(err.Error(), "provisioned concurrency of version 2 is not ready: READY") ||
		r.To.Version != "1" || w.at().Version != "1" || !w.at().Stable() {
		t.Errorf("%+v, %v; is at %v", r, err, w.at())
	}
	// A third one in between is a conflict, as ever.
	if _, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "three"), deploy.Steps{100}); err != nil {
		t.Fatal(err)
	}
	_, err = w.deployer(func(c *deploy.Config) {
		c.Progress = func(p deploy.Progress) {
			if p.Did == "moved" && p.Percent == 100 {
				w.inject("3", map[string]float64{"1": 1})
			}
		}
	}).PromoteFrom(t.Context(), live, w.stage("2"), deploy.Steps{100})
	if !errors.Is(err, deploy.ErrConflict) || w.at().Next != "3" {
		t.Errorf("%v; is at %v", err, w.at())
	}
}

// stage is the name of another alias, at a version.
func (w *world) stage(version string) string {
	w.t.Helper()
	in := &lambda.CreateAliasInput{FunctionName: aws.String(function), Name: aws.String("stage"), FunctionVersion: &version}
	_, err := w.lambda.CreateAlias(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return "stage"
}

// TestAnAlarmBetweenTwoChecks turns the deployment back by its history; one that only
// had no data in between does not.
func TestAnAlarmBetweenTwoChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	through := func(state cwtypes.StateValue) func(*deploy.Config) {
		return func(c *deploy.Config) {
			c.Progress = func(p deploy.Progress) {
				if p.Did == "moved" && p.Percent == 50 {
					w.set(state)
					w.set(cwtypes.StateValueOk)
				}
			}
		}
	}
	r, err := w.deployer(through(cwtypes.StateValueAlarm)).Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
	if !errors.Is(err, deploy.ErrAlarm) || !strings.Contains(err.Error(), "fell since (the test says so)") || r.To.Version != "1" || !w.at().Stable() {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = w.deployer(through(cwtypes.StateValueInsufficientData)).Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps)
	if err != nil || r.To.Version != "3" {
		t.Errorf("without data for a while: %+v, %v", r, err)
	}
}
