package lambda_test

import (
	"archive/zip"
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestSandboxConforms(t *testing.T) {
	conforms(t, newWorld(t, sandbox.Config{}).lambda, role)
}

// TestPeerConforms runs the same suite on another implementation, such as
// moto's server, which wants the role to exist.
func TestPeerConforms(t *testing.T) {
	endpoint := os.Getenv("BANYAN_CONFORMANCE_LAMBDA")
	if endpoint == "" {
		t.Skip("BANYAN_CONFORMANCE_LAMBDA is not set")
	}
	client := lambda.NewFromConfig(sandboxtest.Config(t, endpoint))
	conforms(t, client, sandboxtest.Role(t, endpoint))
}

func TestRefusedFunctions(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	good := lambda.CreateFunctionInput{
		FunctionName: aws.String("f"), Role: aws.String(role), Handler: aws.String("h"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: archive(t, "bootstrap", nil, 0o755)},
	}
	for _, c := range []struct {
		name, says string
		change     func(*lambda.CreateFunctionInput)
	}{
		{"code in S3", "not implemented by the sandbox: code in S3", func(in *lambda.CreateFunctionInput) {
			in.Code = &types.FunctionCode{S3Bucket: aws.String("b"), S3Key: aws.String("k")}
		}},
		{"image", "not implemented by the sandbox", func(in *lambda.CreateFunctionInput) {
			in.PackageType, in.Code = types.PackageTypeImage, &types.FunctionCode{ImageUri: aws.String("i")}
		}},
		{"runtime", `not implemented by the sandbox: the runtime "nodejs22.x"`, func(in *lambda.CreateFunctionInput) { in.Runtime = types.RuntimeNodejs22x }},
		{"layers", "Layer version arn:l does not exist", func(in *lambda.CreateFunctionInput) { in.Layers = []string{"arn:l"} }},
		{"dead letters", "not implemented by the sandbox: DeadLetterConfig", func(in *lambda.CreateFunctionInput) {
			in.DeadLetterConfig = &types.DeadLetterConfig{TargetArn: aws.String("arn:q")}
		}},
		{"durable", "not implemented by the sandbox: the parameter DurableConfig", func(in *lambda.CreateFunctionInput) {
			in.DurableConfig = &types.DurableConfig{ExecutionTimeout: aws.Int32(9)}
		}},
		{"role", "'role' failed to satisfy constraint", func(in *lambda.CreateFunctionInput) { in.Role = aws.String("nobody") }},
		{"name", "'functionName' failed to satisfy constraint", func(in *lambda.CreateFunctionInput) { in.FunctionName = aws.String("a b") }},
		{"timeout", "less than or equal to 900", func(in *lambda.CreateFunctionInput) { in.Timeout = aws.Int32(901) }},
		{"memory", "greater than or equal to 128", func(in *lambda.CreateFunctionInput) { in.MemorySize = aws.Int32(64) }},
		{"not a zip", "Could not unzip uploaded file", func(in *lambda.CreateFunctionInput) { in.Code = &types.FunctionCode{ZipFile: []byte("zip")} }},
		{"zip that leads outside", "leads outside", func(in *lambda.CreateFunctionInput) {
			in.Code = &types.FunctionCode{ZipFile: archive(t, "../bootstrap", nil, 0o755)}
		}},
		{"zip with a link", "not a regular file", func(in *lambda.CreateFunctionInput) {
			in.Code = &types.FunctionCode{ZipFile: archive(t, "bootstrap", []byte("/bin/sh"), os.ModeSymlink|0o777)}
		}},
		{"reserved variable", "reserved keys", func(in *lambda.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"AWS_REGION": "mars"}}
		}},
		{"many variables", "exceeded the 4KB limit", func(in *lambda.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"A": strings.Repeat("x", 4096)}}
		}},
	} {
		in := good
		c.change(&in)
		if _, err := w.lambda.CreateFunction(t.Context(), &in); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := w.lambda.CreateFunction(t.Context(), &good); err != nil {
		t.Errorf("the one without fault: %v", err)
	}
	_, err := w.lambda.ListCodeSigningConfigs(t.Context(), &lambda.ListCodeSigningConfigsInput{})
	if !isCode(err, "UnknownOperationException") || !strings.Contains(err.Error(), "not implemented by the sandbox: GET /2020-04-22/code-signing-configs") {
		t.Errorf("an operation that is not there: %v", err)
	}
}

// A bomb is refused before it is unpacked.
func TestArchiveIsBounded(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.CreateRaw(&zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, UncompressedSize64: 300 << 20, CompressedSize64: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte{3})
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, sandbox.Config{})
	_, err = w.lambda.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String("bomb"), Role: aws.String(role), Handler: aws.String("h"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: b.Bytes()},
	})
	if err == nil || !strings.Contains(err.Error(), "Unzipped size must be smaller") {
		t.Errorf("got %v", err)
	}
}

// A weighted alias sends its share to the other version; an update takes effect
// with the next invocation and lets the one under way end.
func TestAliasesAndUpdatesDecideWhatRuns(t *testing.T) {
	w := newWorld(t, sandbox.Config{Seed: 7})
	w.function("which", 60, nil)
	ctx, name := t.Context(), aws.String("which")
	for _, v := range []string{"one", "two"} {
		if _, err := w.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
			FunctionName: name, Environment: &types.Environment{Variables: map[string]string{"WHICH": v}},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{
		FunctionName: name, Name: aws.String("live"), FunctionVersion: aws.String("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.5}},
	}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range 40 {
		out, err := w.lambda.Invoke(ctx, &lambda.InvokeInput{
			FunctionName: aws.String("which:live"), Payload: []byte(`{"env":["WHICH","AWS_LAMBDA_FUNCTION_VERSION"]}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := parse[described](t, out.Payload)
		if got.Env["AWS_LAMBDA_FUNCTION_VERSION"] != *out.ExecutedVersion || !strings.HasSuffix(got.ARN, ":function:which:live") {
			t.Fatalf("version %s, got %+v", *out.ExecutedVersion, got)
		}
		seen[got.Env["WHICH"]]++
	}
	if seen["one"] < 8 || seen["two"] < 8 || seen["one"]+seen["two"] != 40 {
		t.Errorf("of 40 invocations: %v", seen)
	}
}

func TestUpdateLetsInvocationsEnd(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("updated", 60, nil)
	done := make(chan *lambda.InvokeOutput, 1)
	go func() { done <- w.invoke("updated", map[string]any{"sleepMs": 300, "env": []string{"NEW"}}) }()
	eventually.True(t, "it runs", func() bool { return len(lines(t, out, "calls")) == 1 })
	if _, err := w.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("updated"), Environment: &types.Environment{Variables: map[string]string{"NEW": "yes", "OUT": out}},
	}); err != nil {
		t.Fatal(err)
	}
	if got := parse[described](t, w.invoke("updated", map[string]any{"env": []string{"NEW"}}).Payload); got.Env["NEW"] != "yes" {
		t.Errorf("the next invocation ran the old settings: %+v", got)
	}
	old := <-done
	if got := parse[described](t, old.Payload); old.FunctionError != nil || got.Env["NEW"] != "" {
		t.Errorf("the invocation under way: %s", old.Payload)
	}
	eventually.True(t, "the old process is gone", func() bool { return !alive(pids(t, out)[0]) })
	if _, err := w.lambda.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("updated")}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the new process is gone", func() bool { return !alive(pids(t, out)[1]) })
}

func TestHandlesKnowsItsPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/2015-03-31/functions": true, "/2015-03-31/functions/f/invocations": true, "/2017-10-31/functions/f/concurrency": true,
		"/2015-03-31/event-source-mappings/": true, "/2018-10-31/layers": true, "/": false, "/000000000000/queue": false,
		"/2015-03-31/": false, "/2013-04-01/hostedzone": false,
	} {
		if got := sandbox.Handles(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestConfigIsValidated(t *testing.T) {
	for _, cfg := range []sandbox.Config{
		{Env: []string{"NOTHING"}}, {Concurrency: -1}, {LogSize: -1}, {IdleTimeout: -time.Second},
	} {
		if _, err := sandbox.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
