package deploy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// TestAMisspeltAliasIsNotMade: with the names of those that there are, and nothing
// is uploaded; who wants another one says so.
func TestAMisspeltAliasIsNotMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one")) // a function's first alias is made
	ctx, typo := t.Context(), deploy.Target{Function: function, Alias: "lvie"}
	before, err := w.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function)})
	if err != nil {
		t.Fatal(err)
	}
	d := w.deployer(nil)
	for name, do := range map[string]func() error{
		"deploy":   func() error { _, err := d.Deploy(ctx, typo, other(t, "two"), deploy.DefaultSteps); return err },
		"promote":  func() error { _, err := d.Promote(ctx, typo, deploy.DefaultSteps); return err },
		"to":       func() error { _, err := d.PromoteFrom(ctx, typo, "live", deploy.DefaultSteps); return err },
		"from":     func() error { _, err := d.PromoteFrom(ctx, live, "lvie", deploy.DefaultSteps); return err },
		"rollback": func() error { _, err := d.Rollback(ctx, typo, ""); return err },
		"to one":   func() error { _, err := d.Rollback(ctx, typo, "1"); return err },
		"status":   func() error { _, err := d.Status(ctx, typo); return err },
	} {
		if err := do(); !errors.Is(err, deploy.ErrRefused) || !strings.Contains(err.Error(), "no alias "+typo.String()) ||
			!strings.Contains(err.Error(), "aliases are: live") {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, err := w.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function)})
	if err != nil || *after.RevisionId != *before.RevisionId {
		t.Errorf("something was uploaded: %v", err)
	}
	d = w.deployer(func(c *deploy.Config) { c.CreateAlias = true })
	if _, err := d.Promote(ctx, typo, deploy.DefaultSteps); !errors.Is(err, deploy.ErrRefused) {
		t.Errorf("went on with what there is not: %v", err)
	}
	if r, err := d.Deploy(ctx, typo, other(t, "two"), deploy.DefaultSteps); err != nil || r.To.Version != "2" || w.at().Version != "1" {
		t.Errorf("made on purpose: %+v, %v", r, err)
	}
}
