package lambda_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

// What aliases and versions refuse, so that none points to nothing.
func TestAliasesAndVersionsRefuse(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("f", 60, nil)
	ctx, f := t.Context(), aws.String("f")
	for _, description := range []string{"one", "two"} {
		if _, err := w.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: f, Handler: &description}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second changes nothing and makes no version
			if _, err := w.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: f}); err != nil {
				t.Fatal(err)
			}
		}
	}
	weights := func(version string, weight float64) *types.AliasRoutingConfiguration {
		return &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{version: weight}}
	}
	for _, c := range []struct {
		name, version string
		routing       *types.AliasRoutingConfiguration
		code          string
	}{
		{"live", "3", nil, "ResourceNotFoundException"}, {"live", "1", weights("3", .5), "ResourceNotFoundException"},
		{"live", "1", weights("1", .5), "InvalidParameterValueException"}, {"live", "1", weights("2", 1.5), "InvalidParameterValueException"},
		{"live", "$LATEST", weights("2", .5), "InvalidParameterValueException"}, {"7", "1", nil, "ValidationException"},
		{"live", "1", weights("2", .5), ""},
	} {
		_, err := w.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{
			FunctionName: f, Name: &c.name, FunctionVersion: &c.version, RoutingConfig: c.routing,
		})
		if c.code == "" && err != nil || c.code != "" && !isCode(err, c.code) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	remove := func(version string) error {
		_, err := w.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: f, Qualifier: &version})
		return err
	}
	for version, code := range map[string]string{
		"1": "ResourceConflictException", "2": "ResourceConflictException", "3": "ResourceNotFoundException", "$LATEST": "InvalidParameterValueException",
	} {
		if err := remove(version); !isCode(err, code) {
			t.Errorf("deleting version %s: %v", version, err)
		}
	}
	if _, err := w.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: f, Name: aws.String("live"), FunctionVersion: aws.String("2"), RoutingConfig: &types.AliasRoutingConfiguration{},
	}); err != nil {
		t.Fatal(err)
	}
	if err := remove("1"); err != nil {
		t.Error(err)
	}
	_, err := w.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: f, Qualifier: aws.String("1")})
	if !isCode(err, "ResourceNotFoundException") {
		t.Errorf("a deleted version: %v", err)
	}
}

// A change on top of a state that is no longer there is refused.
func TestStaleRevisionsAreRefused(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("f", 60, nil)
	ctx, f, stale := t.Context(), aws.String("f"), aws.String("no such revision")
	_, byConfiguration := w.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: f, RevisionId: stale})
	_, byCode := w.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: f, RevisionId: stale, ZipFile: small(t)})
	_, byVersion := w.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: f, RevisionId: stale})
	for what, err := range map[string]error{"configuration": byConfiguration, "code": byCode, "version": byVersion} {
		if !isCode(err, "PreconditionFailedException") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: f, CodeSha256: aws.String("other")}); !isCode(err,
		"InvalidParameterValueException") {
		t.Errorf("other code: %v", err)
	}
}

// TestThrottledEventsWait: a throttled event waits and is not counted as failed.
func TestThrottledEventsWait(t *testing.T) {
	w := newWorld(t, sandbox.Config{AsyncRetry: time.Millisecond, Concurrency: 1})
	out := w.function("waits", 60, nil)
	free := w.occupy()
	_, err := w.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("waits"), InvocationType: types.InvocationTypeEvent})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(lines(t, out, "calls")); n != 0 {
		t.Fatalf("%d calls beyond the limit", n)
	}
	free()
	eventually.True(t, "the event is run", func() bool { return len(lines(t, out, "calls")) == 1 })
}

func TestMappingsAreListed(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	ctx := t.Context()
	w.function("f", 60, nil)
	w.function("g", 60, nil)
	s1, s2 := w.stream("s1", 1), w.stream("s2", 1)
	w.mapping("f", s1, lambda.CreateEventSourceMappingInput{})
	w.mapping("f", s2, lambda.CreateEventSourceMappingInput{})
	w.mapping("g", s2, lambda.CreateEventSourceMappingInput{})
	count := func(in lambda.ListEventSourceMappingsInput) (n int) {
		t.Helper()
		in.MaxItems = aws.Int32(1)
		pages := lambda.NewListEventSourceMappingsPaginator(w.lambda, &in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.EventSourceMappings)
		}
		return n
	}
	for want, in := range map[int]lambda.ListEventSourceMappingsInput{
		3: {}, 2: {FunctionName: aws.String("f")}, 1: {FunctionName: aws.String("f"), EventSourceArn: &s1},
	} {
		if got := count(in); got != want {
			t.Errorf("%d mappings, not %d", got, want)
		}
	}
}
