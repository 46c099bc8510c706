package config_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	secretssandbox "github.com/banyan-fig/banyan/infra/sandbox/secretsmanager"
	ssmsandbox "github.com/banyan-fig/banyan/infra/sandbox/ssm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Parameter Store and a Secrets Manager over the wire.
type world struct {
	t       *testing.T
	ssm     *ssm.Client
	secrets *secretsmanager.Client
	calls   atomic.Int64 // that read
	down    atomic.Bool
	slow    atomic.Int64 // how long an answer takes, in nanoseconds
	fault   atomic.Pointer[func(operation string) fault.Fault]
	refuse  atomic.Pointer[func(name string, decrypt bool) *awsjson.Error]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	parameters := w.serve(ssmsandbox.New(ssmsandbox.Config{Fault: w.draw, Refuse: w.refused}))
	secrets := w.serve(secretssandbox.New(secretssandbox.Config{Fault: w.draw, Refuse: func(name string) *awsjson.Error { return w.refused(name, true) }}))
	w.ssm, w.secrets = w.clients(parameters, secrets)
	return w
}

// clients are official ones, that try once.
func (w *world) clients(parameters, secrets string) (*ssm.Client, *secretsmanager.Client) {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	w.t.Cleanup(transport.CloseIdleConnections)
	sdk := aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Retryer: func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 1) },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
	return ssm.NewFromConfig(sdk, func(o *ssm.Options) { o.BaseEndpoint = &parameters }),
		secretsmanager.NewFromConfig(sdk, func(o *secretsmanager.Options) { o.BaseEndpoint = &secrets })
}

// serve makes a service slow or dead when the test says so.
func (w *world) serve(service http.Handler) (url string) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if reads(r.Header.Get("X-Amz-Target")) {
			w.calls.Add(1)
			select {
			case <-time.After(time.Duration(w.slow.Load())):
			case <-r.Context().Done():
			}
			if w.down.Load() {
				panic(http.ErrAbortHandler)
			}
		}
		service.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	return server.URL
}

func reads(target string) bool {
	switch target {
	case "AmazonSSM.GetParameters", "secretsmanager.GetSecretValue":
		return true
	}
	return false
}

func (w *world) draw(operation, _ string) fault.Fault {
	if f := w.fault.Load(); f != nil {
		return (*f)(operation)
	}
	return fault.Fault{}
}

func (w *world) refused(name string, decrypt bool) *awsjson.Error {
	if f := w.refuse.Load(); f != nil {
		return (*f)(name, decrypt)
	}
	return nil
}

// put writes a parameter, or overwrites it.
func (w *world) put(name, value string, kind types.ParameterType) {
	w.t.Helper()
	if _, err := w.ssm.PutParameter(w.t.Context(), &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind, Overwrite: aws.Bool(true)}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(name, value string) {
	w.t.Helper()
	if _, err := w.secrets.CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) rotate(name, value string) {
	w.t.Helper()
	if _, err := w.secrets.PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value}); err != nil {
		w.t.Fatal(err)
	}
}

// client is quick, unless cfg says otherwise.
func (w *world) client(cfg config.Config) *config.Client {
	w.t.Helper()
	cfg.Parameters, cfg.Secrets = w.ssm, w.secrets
	if cfg.Gap == 0 {
		cfg.Gap = time.Millisecond
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 5 * time.Millisecond
	}
	c, err := config.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func reference(t *testing.T, text string) config.Reference {
	t.Helper()
	r, err := config.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// eventually waits until ok, ten seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within ten seconds", what)
		}
	}
}
