package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/deploy"
	cloudwatchsandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	lambdasandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

const (
	function = "shop-greeter"
	alarm    = function + "-errors"
)

var live = deploy.Target{Function: function, Alias: "live"}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, dir := range cleanup {
			_ = os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}

var cleanup []string

// here is the architecture of this machine, on which the sandbox runs functions.
var here = map[string]string{"arm64": deploy.ARM64, "amd64": deploy.X8664}[runtime.GOARCH]

// greeters are packages of two versions of a real function.
var greeters = sync.OnceValues(func() (map[string]deploy.Package, error) {
	all := map[string]deploy.Package{}
	for _, greeting := range []string{"one", "two"} {
		dir, err := os.MkdirTemp("", "banyan-greeter-")
		if err != nil {
			return nil, err
		}
		cleanup = append(cleanup, dir)
		if all[greeting], err = greeter(dir, greeting); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// greeter builds the function in a module of its own, with this one's
// dependencies.
func greeter(dir, greeting string) (deploy.Package, error) {
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join("..", "..", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o644)
		}
		if err != nil {
			return deploy.Package{}, err
		}
	}
	source, err := os.ReadFile("testdata/greeter/main.go")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "greeter"), 0o755)
	}
	if err == nil {
		text := strings.Replace(string(source), `greeting = "one"`, fmt.Sprintf("greeting = %q", greeting), 1)
		err = os.WriteFile(filepath.Join(dir, "greeter", "main.go"), []byte(text), 0o644)
	}
	if err != nil {
		return deploy.Package{}, err
	}
	binary := filepath.Join(dir, "binary")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", binary, "./greeter")
	build.Dir = dir
	if said, err := build.CombinedOutput(); err != nil {
		return deploy.Package{}, fmt.Errorf("%w: %s", err, said)
	}
	// Packing and uploading megabytes takes its time under the race detector.
	zip, err := deploy.Pack([]byte("#!/bin/sh\nexec " + binary + "\n"))
	return deploy.Package{Zip: zip, Architecture: here, Commit: "c0ffee-" + greeting}, err
}

// greeting returns a package that was built.
func greeting(t *testing.T, text string) deploy.Package {
	t.Helper()
	all, err := greeters()
	if err != nil {
		t.Fatal(err)
	}
	return all[text]
}

// other returns a package that cannot run, but differs from all others; it is
// quickly made.
func other(t *testing.T, text string) deploy.Package {
	t.Helper()
	zip, err := deploy.Pack([]byte("#!/bin/sh\n# " + text + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return deploy.Package{Zip: zip, Architecture: here, Commit: text}
}

// world is a Lambda with a function of ours, and a CloudWatch with its alarm.
type world struct {
	t       *testing.T
	lambda  *lambda.Client
	metrics *cloudwatch.Client
	kinesis *kinesis.Client
	role    string
	out     string // where the function notes what it got of a stream
	without bool   // Lambda does not know provisioned concurrency
}

// newWorld starts one. Calls of Lambda's API go through disturb, if there is one.
func newWorld(t *testing.T, disturb func(http.Handler) http.Handler) *world {
	t.Helper()
	alarms, err := cloudwatchsandbox.New(cloudwatchsandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	kinesisURL := serve(t, streams)
	host, err := lambdasandbox.New(lambdasandbox.Config{Env: []string{"AWS_ENDPOINT_URL_KINESIS=" + kinesisURL}, PollInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	api := http.Handler(host)
	if disturb != nil {
		api = disturb(host)
	}
	w := clients(t, serve(t, api), serve(t, alarms))
	url := kinesisURL
	w.kinesis = kinesis.NewFromConfig(base(t), func(o *kinesis.Options) { o.BaseEndpoint = &url })
	w.out = filepath.Join(t.TempDir(), "out")
	return w
}

func clients(t *testing.T, lambdaURL, cloudwatchURL string) *world {
	t.Helper()
	cfg := base(t)
	return &world{
		t: t, role: "arn:aws:iam::000000000000:role/function",
		lambda:  lambda.NewFromConfig(cfg, func(o *lambda.Options) { o.BaseEndpoint = &lambdaURL }),
		metrics: cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) { o.BaseEndpoint = &cloudwatchURL }),
	}
}

func base(t *testing.T) aws.Config {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 10, 5*time.Millisecond, unlimited{}
			})
		},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
}

// unlimited lets the SDK retry however often it fails: tests fail on purpose.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// provide makes the function, as Terraform does, and its alarm.
func (w *world) provide(p deploy.Package) {
	w.t.Helper()
	_, err := w.lambda.CreateFunction(w.t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(function), Role: aws.String(w.role), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Timeout: aws.Int32(60), Code: &types.FunctionCode{ZipFile: p.Zip}, Architectures: []types.Architecture{types.Architecture(p.Architecture)},
		Environment: &types.Environment{Variables: map[string]string{"OUT": w.out}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.metrics.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String(alarm), MetricName: aws.String("Errors"), Namespace: aws.String("AWS/Lambda"), Statistic: cwtypes.StatisticSum,
		Period: aws.Int32(
			60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(cwtypes.StateValueOk)
}

func (w *world) set(state cwtypes.StateValue) {
	w.t.Helper()
	_, err := w.metrics.SetAlarmState(context.WithoutCancel(w.t.Context()),
		&cloudwatch.SetAlarmStateInput{AlarmName: aws.String(alarm), StateValue: state, StateReason: aws.String("the test says so")})
	if err != nil {
		w.t.Error(err)
	}
}

// deployer has short times; change makes it otherwise.
func (w *world) deployer(change func(*deploy.Config)) *deploy.Deployer {
	w.t.Helper()
	cfg := deploy.Config{Functions: w.lambda, Alarms: w.metrics, Interval: 40 * time.Millisecond, Poll: 5 * time.Millisecond, AlarmOutage: time.Minute}
	if w.without {
		cfg.Functions = withoutProvisioned{w.lambda}
	}
	if change != nil {
		change(&cfg)
	}
	d, err := deploy.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// first brings the first version into use.
func (w *world) first(p deploy.Package) {
	w.t.Helper()
	w.provide(p)
	r, err := w.deployer(nil).Deploy(w.t.Context(), live, p, deploy.DefaultSteps)
	if err != nil || r.To.Version != "1" || !r.To.Stable() {
		w.t.Fatalf("the first deployment: %+v, %v", r, err)
	}
}

func (w *world) at() deploy.AliasState {
	w.t.Helper()
	s, err := w.deployer(nil).Status(w.t.Context(), live)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// invoke calls the function through its alias.
func (w *world) invoke(ctx context.Context) (string, error) {
	out, err := w.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(function), Qualifier: aws.String("live"), Payload: []byte("{}")})
	if err != nil {
		return "", err
	}
	if out.FunctionError != nil {
		return "", fmt.Errorf("%s: %s", *out.FunctionError, out.Payload)
	}
	var said string
	return said, json.Unmarshal(out.Payload, &said)
}

// traffic invokes the alias until the end, and counts who answered.
type traffic struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	said   map[string]int
	failed []error
}

func (w *world) traffic(clients int) *traffic {
	ctx, stop := context.WithCancel(w.t.Context())
	tr := &traffic{stop: stop, said: map[string]int{}}
	for range clients {
		tr.wg.Go(func() {
			for ctx.Err() == nil {
				said, err := w.invoke(context.WithoutCancel(ctx))
				tr.mu.Lock()
				if tr.said[said]++; err != nil {
					tr.failed = append(tr.failed, err)
				}
				tr.mu.Unlock()
			}
		})
	}
	return tr
}

// count returns how many were answered by a version so far.
func (tr *traffic) count(said string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.said[said]
}

func (tr *traffic) end() (map[string]int, []error) {
	tr.stop()
	tr.wg.Wait()
	return tr.said, tr.failed
}
