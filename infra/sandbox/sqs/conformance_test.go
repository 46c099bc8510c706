package sqs_test

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, cfg sandbox.Config) *sqs.Client {
	t.Helper()
	server, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client(t, sandboxtest.Serve(t, server))
}

func client(t *testing.T, url string) *sqs.Client {
	return sqs.NewFromConfig(sandboxtest.Config(t, url))
}

func TestSandboxConforms(t *testing.T) {
	conforms(t, serve(t, sandbox.Config{}))
}

// TestPeerConforms runs the same suite on another implementation.
func TestPeerConforms(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_SQS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_SQS is not set")
	}
	conforms(t, client(t, url), peerDiffers...)
}

// peerDiffers is where moto 5.2 is not what AWS documents.
var peerDiffers = []sandboxtest.Skip{
	{Test: "Attributes", Why: "moto's CreatedTimestamp has a fraction; the API reference: epoch time in seconds"},
	{Test: "InvalidAttributes", Why: "moto takes attributes out of bounds, and unknown ones"},
	{Test: "OnlyTheNewestHandleDeletes", Why: "moto deletes by older handles too; the API reference: the message might not be deleted"},
	{Test: "InvalidText", Why: "moto takes control characters; the API reference: InvalidMessageContents"},
	{Test: "FIFO", Why: "moto gives a message that is sent again an id of its own, and none a sequence number; the API reference: SequenceNumber"},
	{Test: "FIFOLimits", Why: "moto takes a name of a FIFO queue without its attribute, and spaces in groups; the API reference: CreateQueue, SendMessage"},
}
