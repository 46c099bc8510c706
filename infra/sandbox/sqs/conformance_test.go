package sqs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/goleak"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
	"github.com/banyan-fig/banyan/infra/sandbox/sqs/sqstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, cfg sandbox.Config) *sqs.Client {
	t.Helper()
	server, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	return client(t, front.URL)
}

func client(t *testing.T, url string) *sqs.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return sqs.New(sqs.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		HTTPClient:   &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	})
}

func TestSandboxConforms(t *testing.T) {
	sqstest.Run(t, serve(t, sandbox.Config{}))
}

// TestPeerConforms runs the same suite on another implementation.
func TestPeerConforms(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_SQS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_SQS is not set")
	}
	sqstest.Run(t, client(t, url), peerDiffers...)
}

// peerDiffers is where moto 5.2 is not what AWS documents.
var peerDiffers = []sqstest.Skip{
	{Test: "Attributes", Why: "moto's CreatedTimestamp has a fraction; the API reference: epoch time in seconds"},
	{Test: "InvalidAttributes", Why: "moto takes attributes out of bounds, and unknown ones"},
	{Test: "OnlyTheNewestHandleDeletes", Why: "moto deletes by older handles too; the API reference: the message might not be deleted"},
	{Test: "InvalidText", Why: "moto takes control characters; the API reference: InvalidMessageContents"},
}
