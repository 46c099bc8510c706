package deploy_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/deploy"
	cloudwatchsandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// withoutProvisioned answers the one call that moto does not know.
type withoutProvisioned struct{ *lambda.Client }

func (withoutProvisioned) ListProvisionedConcurrencyConfigs(context.Context, *lambda.ListProvisionedConcurrencyConfigsInput,
	...func(*lambda.Options)) (*lambda.ListProvisionedConcurrencyConfigsOutput, error) {
	return &lambda.ListProvisionedConcurrencyConfigsOutput{}, nil
}

// TestPeerDeployment runs deployments on an independent Lambda: to the end, back
// by an alarm, back by hand, from stage to stage, and listed. The alarms are the
// sandbox's: moto's CloudWatch does not speak what the SDK sends.
func TestPeerDeployment(t *testing.T) {
	endpoint := os.Getenv("BANYAN_CONFORMANCE_LAMBDA")
	if endpoint == "" {
		t.Skip("BANYAN_CONFORMANCE_LAMBDA is not set")
	}
	alarms, err := cloudwatchsandbox.New(cloudwatchsandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := clients(t, endpoint, serve(t, alarms))
	w.without = true
	w.out, w.role = t.TempDir(), sandboxtest.Role(t, endpoint)
	w.provide(other(t, "zero"))
	t.Cleanup(func() {
		_, _ = w.lambda.DeleteFunction(context.WithoutCancel(t.Context()), &lambda.DeleteFunctionInput{FunctionName: aws.String(function)})
	})
	r, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "one"), deploy.DefaultSteps)
	if err != nil || r.To.Version != "1" || !r.Uploaded {
		t.Fatalf("the first: %+v, %v", r, err)
	}
	if r, err = w.deployer(nil).Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps); err != nil || r.To.Version != "2" || r.To.Before != "1" {
		t.Fatalf("the second: %+v, %v", r, err)
	}
	d := w.deployer(func(c *deploy.Config) {
		c.Interval = time.Minute
		c.Progress = func(p deploy.Progress) {
			if p.Did == "moved" && p.Percent == 10 {
				if s := w.at(); s.Stable() || s.Percent != 10 || s.Next != "3" {
					t.Errorf("between two: %v", s)
				}
				w.set(cwtypes.StateValueAlarm)
			}
		}
	})
	if r, err = d.Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps); !errors.Is(err, deploy.ErrAlarm) || w.at().Version != "2" ||
		!w.at().Stable() {
		t.Errorf("with an alarm: %+v, %v; %v", r, err, w.at())
	}
	w.set(cwtypes.StateValueOk)
	if r, err = d.Rollback(t.Context(), live, "1"); err != nil || w.at().Version != "1" {
		t.Errorf("rollback: %+v, %v", r, err)
	}
	prod := deploy.Target{Function: function, Alias: "prod"}
	if r, err = w.deployer(nil).PromoteFrom(t.Context(), prod, "live", deploy.DefaultSteps); !errors.Is(err, deploy.ErrRefused) ||
		!strings.Contains(err.Error(), "aliases are: live.") {
		t.Errorf("promoted to an alias that there is not: %+v, %v", r, err)
	}
	if r, err = w.deployer(func(c *deploy.Config) { c.CreateAlias = true }).PromoteFrom(t.Context(), prod, "live", deploy.DefaultSteps); err != nil ||
		r.To.Version != "1" {
		t.Errorf("promote: %+v, %v", r, err)
	}
	all, err := d.List(t.Context(), function)
	if err != nil || len(all) != 2 || all[0].Version != "1" || all[0].Percent != 100 {
		t.Errorf("list: %+v, %v", all, err)
	}
}
