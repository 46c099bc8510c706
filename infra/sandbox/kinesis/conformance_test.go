package kinesis_test

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server over the wire and returns a client of it.
func serve(t testing.TB, cfg sandbox.Config, options ...func(*kinesis.Options)) (*sandbox.Server, *kinesis.Client) {
	t.Helper()
	cfg.Transition = cmp.Or(cfg.Transition, 5*time.Millisecond)
	server, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return server, client(t, sandboxtest.Serve(t, server), options...)
}

func client(t testing.TB, url string, options ...func(*kinesis.Options)) *kinesis.Client {
	return kinesis.NewFromConfig(sandboxtest.Config(t, url), options...)
}

func awaitActive(t testing.TB, c *kinesis.Client, stream *string) {
	t.Helper()
	waiter := kinesis.NewStreamExistsWaiter(c, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 20*time.Millisecond
	})
	if err := waiter.Wait(t.Context(), &kinesis.DescribeStreamInput{StreamName: stream}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestSandboxConforms(t *testing.T) {
	_, c := serve(t, sandbox.Config{})
	conforms(t, c)
}

// TestPeerConforms runs the same suite on another implementation.
func TestPeerConforms(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_KINESIS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_KINESIS is not set")
	}
	conforms(t, client(t, url), peerDiffers...)
}

// peerDiffers is where kinesis-local 0.6 is not what AWS documents.
var peerDiffers = []sandboxtest.Skip{
	{Test: "MalformedHashKey", Why: "kinesis-local answers 500; the API reference: ExplicitHashKey matches 0|([1-9]\\d{0,38})"},
	{Test: "UnknownIterator", Why: "kinesis-local answers 500; the API reference: InvalidArgumentException"},
	{Test: "ForeignSequenceNumber", Why: "kinesis-local gives an iterator; the API reference: InvalidArgumentException"},
	{Test: "CallOf501Records", Why: "kinesis-local takes more than the documented 500 records"},
	{Test: "CallOver10MiB", Why: "kinesis-local takes more than the documented 10 MiB"},
	{Test: "RecordLimitCountsTheKey", Why: "kinesis-local leaves the key out of the documented 1 MiB"},
	{Test: "ShardCountIsRequired", Why: "kinesis-local creates a provisioned stream without a shard count"},
}
