package janitor_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const role = "arn:aws:iam::000000000000:role/function"

// world is a Lambda over the wire. before is asked ahead of each request, and may
// answer it; calls notes them.
type world struct {
	t      testing.TB
	client *lambda.Client
	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool
	fault  func(operation, resource string) fault.Fault
	calls  []string
}

func newWorld(t testing.TB, env ...string) *world {
	w := &world{t: t}
	host, err := sandbox.New(sandbox.Config{Dir: t.TempDir(), APIFault: w.apiFault, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		before := w.before
		w.mu.Unlock()
		if before == nil || !before(rw, r) {
			host.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	w.client = client(t, server.URL)
	return w
}

func client(t testing.TB, url string) *lambda.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return lambda.NewFromConfig(aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}, janitor.Options, func(o *lambda.Options) {
		o.BaseEndpoint = &url
		o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, 2*time.Millisecond)
	})
}

// stream is the address of a Kinesis that has a stream.
func stream(t testing.TB, name string) (url string) {
	t.Helper()
	server, err := kinesissandbox.New(kinesissandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(server)
	t.Cleanup(served.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := kinesis.New(kinesis.Options{
		Region: "us-east-1", BaseEndpoint: &served.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	if _, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	return served.URL
}

func (w *world) apiFault(operation, resource string) fault.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, operation)
	if w.fault == nil {
		return fault.Fault{}
	}
	return w.fault(operation, resource)
}

func (w *world) inject(f func(operation, resource string) fault.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *world) intercept(f func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = f
}

func (w *world) count(operation string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c == operation {
			n++
		}
	}
	return n
}

func code(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("bootstrap")
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// function creates one with so many published versions.
func (w *world) function(name string, versions int) {
	w.t.Helper()
	_, err := w.client.CreateFunction(w.t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: code(w.t, name)},
	})
	w.must(err)
	for i := range versions {
		w.publish(name, fmt.Sprintf("%s %d", name, i))
	}
}

func (w *world) publish(name, text string) {
	w.t.Helper()
	_, err := w.client.UpdateFunctionCode(w.t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &name, ZipFile: code(w.t, text), Publish: true})
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) alias(function, name, version string, routed ...string) {
	w.t.Helper()
	in := &lambda.CreateAliasInput{FunctionName: &function, Name: &name, FunctionVersion: &version}
	for _, v := range routed {
		in.RoutingConfig = &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{v: 0.1}}
	}
	_, err := w.client.CreateAlias(w.t.Context(), in)
	w.must(err)
}

// versions lists the numbers of a function's versions.
func (w *world) versions(name string) []int {
	w.t.Helper()
	var out []int
	p := lambda.NewListVersionsByFunctionPaginator(w.client, &lambda.ListVersionsByFunctionInput{FunctionName: &name})
	for p.HasMorePages() {
		page, err := p.NextPage(w.t.Context())
		w.must(err)
		for _, v := range page.Versions {
			if n, err := strconv.Atoi(*v.Version); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

func (w *world) layer(name string, versions int) (arns []string) {
	w.t.Helper()
	for i := range versions {
		out, err := w.client.PublishLayerVersion(w.t.Context(), &lambda.PublishLayerVersionInput{
			LayerName: &name, Content: &types.LayerVersionContentInput{ZipFile: code(w.t, fmt.Sprint(name, i))},
		})
		w.must(err)
		arns = append(arns, *out.LayerVersionArn)
	}
	return arns
}

func (w *world) layerVersions(name string) []int64 {
	w.t.Helper()
	out, err := w.client.ListLayerVersions(w.t.Context(), &lambda.ListLayerVersionsInput{LayerName: &name})
	w.must(err)
	var numbers []int64
	for _, v := range out.LayerVersions {
		numbers = append(numbers, v.Version)
	}
	slices.Sort(numbers)
	return numbers
}

// janitor makes one that is quick, and to which all versions are two days old.
func (w *world) janitor(cfg janitor.Config) *janitor.Janitor {
	w.t.Helper()
	return quick(w.t, w.client, cfg)
}

// quick is a janitor that does not pace itself.
func quick(t testing.TB, api janitor.API, cfg janitor.Config) *janitor.Janitor {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	}
	j, err := janitor.New(api, cfg)
	if err != nil {
		t.Fatal(err)
	}
	janitor.Hurry(j)
	return j
}

func seed(t *testing.T) *rand.Rand {
	s := rand.Uint64()
	if text := os.Getenv("BANYAN_SEED"); text != "" {
		s, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("BANYAN_SEED=%d", s)
		}
	})
	return rand.New(rand.NewPCG(s, 1))
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func deletion(r *http.Request) bool {
	return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/functions/")
}
