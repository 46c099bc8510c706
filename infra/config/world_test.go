package config_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
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
	parameters, secrets := w.services()
	w.ssm, w.secrets = w.clients(w.serve(parameters), w.serve(secrets))
	return w
}

// inBubble runs a test on the bubble's clock, which does not depend on the machine's
// speed. Requests need no network: a bubble's time stands still for those.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t}
		parameters, secrets := w.services()
		w.ssm, w.secrets = w.clients("http://ssm", "http://secretsmanager")
		w.ssm = ssm.New(w.ssm.Options(), func(o *ssm.Options) { o.HTTPClient = wire{w.troubled(parameters)} })
		w.secrets = secretsmanager.New(w.secrets.Options(), func(o *secretsmanager.Options) { o.HTTPClient = wire{w.troubled(secrets)} })
		test(t, w)
	})
}

// services are a Parameter Store and a Secrets Manager.
func (w *world) services() (parameters, secrets http.Handler) {
	cfg := settings.Config{Fault: w.draw, Refuse: w.refused}
	return settings.NewParameters(cfg), settings.NewSecrets(cfg)
}

// wire hands requests to a handler in the same process.
type wire struct{ handler http.Handler }

func (w wire) Do(r *http.Request) (_ *http.Response, err error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer func() {
		if failure := recover(); failure == http.ErrAbortHandler {
			err = io.ErrUnexpectedEOF
		} else if failure != nil {
			panic(failure)
		}
	}()
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
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

func (w *world) serve(service http.Handler) (url string) {
	server := httptest.NewServer(w.troubled(service))
	w.t.Cleanup(server.Close)
	return server.URL
}

// troubled makes a service slow or dead when the test says so.
func (w *world) troubled(service http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
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
	})
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
