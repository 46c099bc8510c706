package kinesis_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	sandbox "github.com/banyan-fig/banyan/infra/local/kinesis"
	"github.com/banyan-fig/banyan/infra/local/kinesis/kinesistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server over the wire and returns a client of it.
func serve(t *testing.T, cfg sandbox.Config, options ...func(*kinesis.Options)) (*sandbox.Server, *kinesis.Client) {
	t.Helper()
	if cfg.Transition == 0 {
		cfg.Transition = 5 * time.Millisecond
	}
	server, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	return server, client(t, front.URL, options...)
}

func client(t *testing.T, url string, options ...func(*kinesis.Options)) *kinesis.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return kinesis.New(kinesis.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		HTTPClient:   &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}, options...)
}

func TestSandboxConforms(t *testing.T) {
	_, c := serve(t, sandbox.Config{})
	kinesistest.Run(t, c)
}

// TestPeerConforms runs the same suite on another implementation.
func TestPeerConforms(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_KINESIS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_KINESIS is not set")
	}
	kinesistest.Run(t, client(t, url), peerDiffers...)
}

var peerDiffers = []kinesistest.Skip{}
