package deploy_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// TestPeerDeployment runs deployments on an independent Lambda and CloudWatch:
// to the end, back by an alarm, back by hand, from stage to stage, and listed.
func TestPeerDeployment(t *testing.T) {
	lambdaURL, cloudwatchURL := os.Getenv("BANYAN_CONFORMANCE_LAMBDA"), os.Getenv("BANYAN_CONFORMANCE_CLOUDWATCH")
	if lambdaURL == "" || cloudwatchURL == "" {
		t.Skip("BANYAN_CONFORMANCE_LAMBDA and BANYAN_CONFORMANCE_CLOUDWATCH are not set")
	}
	w := clients(t, lambdaURL, cloudwatchURL)
	w.out = t.TempDir()
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
				if s := w.at(); s.Settled() || s.Percent != 10 || s.Next != "3" {
					t.Errorf("between two: %v", s)
				}
				w.set(cwtypes.StateValueAlarm)
			}
		}
	})
	if r, err = d.Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps); !errors.Is(err, deploy.ErrAlarm) || w.at().Version != "2" || !w.at().Settled() {
		t.Errorf("with an alarm: %+v, %v; %v", r, err, w.at())
	}
	w.set(cwtypes.StateValueOk)
	if r, err = d.Rollback(t.Context(), live, "1"); err != nil || w.at().Version != "1" {
		t.Errorf("rollback: %+v, %v", r, err)
	}
	prod := deploy.Target{Function: function, Alias: "prod"}
	if r, err = w.deployer(nil).PromoteFrom(t.Context(), prod, "live", deploy.DefaultSteps); err != nil || r.To.Version != "1" {
		t.Errorf("promote: %+v, %v", r, err)
	}
	all, err := d.List(t.Context(), function)
	if err != nil || len(all) != 2 || all[0].Version != "1" || all[0].Percent != 100 {
		t.Errorf("list: %+v, %v", all, err)
	}
}
