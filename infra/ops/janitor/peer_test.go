package janitor_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// withoutProvisioned answers the one call that moto does not know.
type withoutProvisioned struct{ *lambda.Client }

func (withoutProvisioned) ListProvisionedConcurrencyConfigs(context.Context, *lambda.ListProvisionedConcurrencyConfigsInput,
	...func(*lambda.Options)) (*lambda.ListProvisionedConcurrencyConfigsOutput, error) {
	return &lambda.ListProvisionedConcurrencyConfigsOutput{}, nil
}

// TestPeerSweep sweeps another implementation of Lambda's API, such as moto's
// server. It leaves alone what it did not make.
func TestPeerSweep(t *testing.T) {
	endpoint := os.Getenv("BANYAN_CONFORMANCE_LAMBDA")
	if endpoint == "" {
		t.Skip("BANYAN_CONFORMANCE_LAMBDA is not set")
	}
	w := &world{t: t, client: client(t, endpoint)}
	name := fmt.Sprintf("janitor-%d", time.Now().UnixNano())
	_, err := w.client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String(sandboxtest.Role(t, endpoint)), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: code(t, name)},
	})
	w.must(err)
	t.Cleanup(func() {
		_, _ = w.client.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: &name})
	})
	for i := range 6 {
		w.publish(name, fmt.Sprint(name, i))
	}
	w.alias(name, "live", "1", "2")
	before := w.versions(name)
	j := quick(t, withoutProvisioned{w.client}, janitor.Config{Keep: 1})
	if r := j.Sweep(t.Context(), true); r.Failures != 0 || r.Versions == 0 {
		t.Errorf("dry run %+v", r)
	}
	same(t, "versions after a dry run", w.versions(name), before)
	r := j.Sweep(t.Context(), false)
	if r.Failures != 0 || r.Stopped != sweep.Done || r.Bytes == 0 {
		t.Errorf("report %+v", r)
	}
	same(t, "versions", w.versions(name), []int{1, 2, before[len(before)-1]})
	if _, err := w.client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &name}); err != nil {
		t.Errorf("$LATEST: %v", err)
	}
}
