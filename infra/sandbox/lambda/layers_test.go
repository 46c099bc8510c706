package lambda_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

func (w *world) layer(name, contents string) string {
	w.t.Helper()
	out, err := w.lambda.PublishLayerVersion(w.t.Context(), &lambda.PublishLayerVersionInput{
		LayerName: &name, Content: &types.LayerVersionContentInput{ZipFile: archive(w.t, "file", []byte(contents), 0o644)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.LayerVersionArn
}

// TestLayers: what Lambda documents of the versions of layers.
func TestLayers(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	first, second := w.layer("lib", "one"), w.layer("lib", "two")
	if !strings.HasSuffix(first, ":layer:lib:1") || !strings.HasSuffix(second, ":layer:lib:2") {
		t.Errorf("versions %s, %s", first, second)
	}
	list, err := w.lambda.ListLayers(t.Context(), &lambda.ListLayersInput{})
	if err != nil || len(list.Layers) != 1 || list.Layers[0].LatestMatchingVersion.Version != 2 {
		t.Errorf("layers %+v, %v", list, err)
	}
	versions, err := w.lambda.ListLayerVersions(t.Context(), &lambda.ListLayerVersionsInput{LayerName: aws.String("lib")})
	if err != nil || len(versions.LayerVersions) != 2 || versions.LayerVersions[0].Version != 2 {
		t.Errorf("versions %+v, %v", versions, err)
	}
	got, err := w.lambda.GetLayerVersion(t.Context(), &lambda.GetLayerVersionInput{LayerName: aws.String("lib"), VersionNumber: aws.Int64(1)})
	if err != nil || got.Content.CodeSize == 0 {
		t.Errorf("version 1: %+v, %v", got, err)
	}
	for range 2 { // also where there is none
		if _, err := w.lambda.DeleteLayerVersion(t.Context(),
			&lambda.DeleteLayerVersionInput{LayerName: aws.String("lib"), VersionNumber: aws.Int64(2)}); err != nil {
			t.Error(err)
		}
	}
	if third := w.layer("lib", "three"); !strings.HasSuffix(third, ":layer:lib:3") {
		t.Errorf("a number was used again: %s", third)
	}
	_, err = w.lambda.GetLayerVersion(t.Context(), &lambda.GetLayerVersionInput{LayerName: aws.String("lib"), VersionNumber: aws.Int64(2)})
	if !isCode(err, "ResourceNotFoundException") {
		t.Errorf("a deleted version: %v", err)
	}
}

func TestLayerPolicies(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.layer("lib", "one")
	policy := &lambda.GetLayerVersionPolicyInput{LayerName: aws.String("lib"), VersionNumber: aws.Int64(1)}
	if _, err := w.lambda.GetLayerVersionPolicy(t.Context(), policy); !isCode(err, "ResourceNotFoundException") {
		t.Errorf("no policy: %v", err)
	}
	_, err := w.lambda.AddLayerVersionPermission(t.Context(), &lambda.AddLayerVersionPermissionInput{
		LayerName: aws.String("lib"), VersionNumber: aws.Int64(1), StatementId: aws.String("all"),
		Action: aws.String("lambda:GetLayerVersion"), Principal: aws.String("*"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.lambda.GetLayerVersionPolicy(t.Context(), policy); err != nil || !strings.Contains(*got.Policy, `"Sid":"all"`) {
		t.Errorf("policy %+v, %v", got, err)
	}
}

// TestFunctionsWithLayers are described with them, and not run without.
func TestFunctionsWithLayers(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	arn := w.layer("lib", "one")
	w.function("f", 3, nil)
	_, err := w.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Layers: []string{arn}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: aws.String("f")})
	if err != nil || len(v.Layers) != 1 || *v.Layers[0].Arn != arn {
		t.Errorf("published %+v, %v", v, err)
	}
	_, err = w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")})
	if err == nil || !strings.Contains(err.Error(), "not implemented by the sandbox: to invoke a function with layers") {
		t.Errorf("invoked: %v", err)
	}
}

func TestProvisionedConcurrency(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("f", 3, nil)
	if _, err := w.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	put := func(qualifier string) error {
		_, err := w.lambda.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{
			FunctionName: aws.String("f"), Qualifier: &qualifier, ProvisionedConcurrentExecutions: aws.Int32(2),
		})
		return err
	}
	if err := put("$LATEST"); !isCode(err, "InvalidParameterValueException") {
		t.Errorf("of $LATEST: %v", err)
	}
	if err := put("2"); !isCode(err, "ResourceNotFoundException") {
		t.Errorf("of no version: %v", err)
	}
	if err := put("1"); err != nil {
		t.Fatal(err)
	}
	list, err := w.lambda.ListProvisionedConcurrencyConfigs(t.Context(), &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: aws.String("f")})
	if err != nil || len(list.ProvisionedConcurrencyConfigs) != 1 ||
		!strings.HasSuffix(*list.ProvisionedConcurrencyConfigs[0].FunctionArn, ":function:f:1") {
		t.Errorf("listed %+v, %v", list, err)
	}
}

// TestAPIFaults: calls other than invocations fail as the plan says.
func TestAPIFaults(t *testing.T) {
	var next atomic.Uint32 // the kind of the next one
	w := newWorld(t, sandbox.Config{APIFault: func(operation, resource string) fault.Fault {
		if operation != "DeleteFunction" || resource != "f" {
			return fault.Fault{}
		}
		return fault.Fault{Kind: fault.Kind(next.Load()), Delay: time.Millisecond}
	}})
	w.function("f", 3, nil)
	remove := func(kind fault.Kind) error {
		next.Store(uint32(kind))
		_, err := w.lambda.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("f")})
		return err
	}
	if err := remove(fault.Throttle); !isCode(err, "TooManyRequestsException") {
		t.Errorf("throttled: %v", err)
	}
	if err := remove(fault.Denied); !isCode(err, "AccessDeniedException") {
		t.Errorf("denied: %v", err)
	}
	if err := remove(fault.Internal); !isCode(err, "ServiceException") {
		t.Errorf("failed: %v", err)
	}
	if err := remove(fault.TimeoutBefore); err == nil {
		t.Error("answered")
	}
	if err := remove(fault.TimeoutAfter); err == nil {
		t.Error("answered")
	}
	if err := remove(fault.None); !isCode(err, "ResourceNotFoundException") {
		t.Errorf("the effect of the call without an answer: %v", err)
	}
}
