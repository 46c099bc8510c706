package dynamodb_test

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a stand-in and returns official clients that talk to it and retry as they do by default.
func start(t testing.TB, cfg dynamodb.Config) (*sdk.Client, *dynamodbstreams.Client) {
	return clients(t, sandboxtest.Serve(t, dynamodb.New(cfg)), retry.NewStandard())
}

// startOnce is start for tests that want to see every failure: its client does not retry.
func startOnce(t testing.TB, cfg dynamodb.Config) *sdk.Client {
	client, _ := clients(t, sandboxtest.Serve(t, dynamodb.New(cfg)), aws.NopRetryer{})
	return client
}

func clients(t testing.TB, endpoint string, retryer aws.Retryer) (*sdk.Client, *dynamodbstreams.Client) {
	cfg := sandboxtest.Config(t, endpoint)
	cfg.Retryer = func() aws.Retryer { return retryer }
	return sdk.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg)
}

func TestSandboxConforms(t *testing.T) {
	client, streams := start(t, dynamodb.Config{})
	conforms(t, client, streams)
}

// TestPeerConforms runs the suite against the server at BANYAN_CONFORMANCE_DYNAMODB, as
// infra/sandbox/conformance/dynamodb-local.sh sets it.
func TestPeerConforms(t *testing.T) {
	endpoint := os.Getenv("BANYAN_CONFORMANCE_DYNAMODB")
	if endpoint == "" {
		t.Skip("BANYAN_CONFORMANCE_DYNAMODB is not set")
	}
	client, streams := clients(t, endpoint, retry.NewStandard())
	conforms(t, client, streams)
}
