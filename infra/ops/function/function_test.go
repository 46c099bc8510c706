package function_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// mains are the functions that are built on this package.
var mains = map[string]string{
	"janitor":           "../janitor/cmd/janitor",
	"keep-warm":         "../warm/cmd/keep-warm",
	"stream-autoscaler": "../autoscale/cmd/stream-autoscaler",
}

// TestFunctionsRun runs the functions as deployed, on the sandbox's Lambda.
func TestFunctionsRun(t *testing.T) {
	box, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, box.Close()) })
	metrics, err := cloudwatch.New(cloudwatch.Config{})
	must(t, err)
	watch := httptest.NewServer(metrics)
	t.Cleanup(watch.Close)
	cfg := load(t, box)
	_, err = dynamodb.NewFromConfig(cfg).CreateTable(t.Context(), autoscale.TableInput(autoscale.DefaultTable))
	must(t, err)
	_, err = kinesis.NewFromConfig(cfg).CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(1)})
	must(t, err)
	client := lambda.NewFromConfig(cfg)
	for _, test := range []struct {
		name string
		env  map[string]string
		want string // of the answer
		log  string
	}{
		{"janitor", nil, `"stopped":"done"`, `"VersionsDeleted":0`},
		{"keep-warm", map[string]string{"WARM_FUNCTIONS": "janitor"}, `"function":"janitor","wanted":1,"environments":0`, `"Misunderstood":1`},
		{"stream-autoscaler", map[string]string{
			"AUTOSCALE_STREAMS": `[{"stream":"events","min":1,"max":2}]`, "AWS_ENDPOINT_URL_CLOUDWATCH": watch.URL,
		}, `null`, `"Failures":0`},
	} {
		t.Run(test.name, func(t *testing.T) {
			functiontest.Deploy(t, client, test.name, functiontest.Small(t, functiontest.Build(t, mains[test.name])), test.env)
			out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &test.name, Payload: []byte(`{}`), LogType: types.LogTypeTail})
			must(t, err)
			if out.FunctionError != nil || !strings.Contains(string(out.Payload), test.want) {
				t.Errorf("%s: %s, want %s", aws.ToString(out.FunctionError), out.Payload, test.want)
			}
			if log := decoded(t, out.LogResult); !strings.Contains(log, test.log) || !strings.Contains(log, function.Namespace) {
				t.Errorf("the log has no %s: %s", test.log, log)
			}
		})
	}
}

// TestInvalidSettingsAreReported in one sentence, before the function runs.
func TestInvalidSettingsAreReported(t *testing.T) {
	for name, want := range map[string]string{
		"janitor":           `janitor: cannot start: invalid JANITOR_KEEP "few"`,
		"keep-warm":         "keep-warm: cannot start: warm: no function is named",
		"stream-autoscaler": "stream-autoscaler: cannot start: autoscale: no stream is named",
	} {
		cmd := exec.Command(functiontest.Build(t, mains[name]))
		cmd.Env = append(os.Environ(), "JANITOR_KEEP=few", "AWS_REGION=us-east-1")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}

func TestLevel(t *testing.T) {
	for text, want := range map[string]string{"": "INFO", "debug": "DEBUG", "loud": ""} {
		got, err := function.Level(func(string) string { return text })
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func decoded(t *testing.T, text *string) string {
	t.Helper()
	log, err := base64.StdEncoding.DecodeString(aws.ToString(text))
	must(t, err)
	return string(log)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, box *sandbox.Sandbox) aws.Config {
	t.Helper()
	url := ""
	for _, kv := range box.Env() {
		if name, value, _ := strings.Cut(kv, "="); name == "AWS_ENDPOINT_URL" {
			url = value
		}
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
}
