package kinesis_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/kinesis/kinesistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server over the wire and returns a client of it.
func serve(t testing.TB, cfg sandbox.Config, options ...func(*kinesis.Options)) (*sandbox.Server, *kinesis.Client) {
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

func client(t testing.TB, url string, options ...func(*kinesis.Options)) *kinesis.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return kinesis.New(kinesis.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		HTTPClient:   &http.Client{Transport: readersOnly{transport}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}, options...)
}

// readersOnly hides the method WriteTo that the SDK's bodies have. With it, a
// connection breaks now and then while the answer is read: the SDK closes a body
// as soon as there is an answer, and net/http's write loop, which looks whether
// the body has more than it should, gets io.EOF from WriteTo as an error.
type readersOnly struct{ http.RoundTripper }

func (o readersOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.WithContext(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return o.RoundTripper.RoundTrip(r)
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

// peerDiffers is where kinesis-local 0.6 is not what AWS documents.
var peerDiffers = []kinesistest.Skip{
	{Test: "MalformedHashKey", Why: "kinesis-local answers 500; the API reference: ExplicitHashKey matches 0|([1-9]\\d{0,38})"},
	{Test: "UnknownIterator", Why: "kinesis-local answers 500; the API reference: InvalidArgumentException"},
	{Test: "ForeignSequenceNumber", Why: "kinesis-local gives an iterator; the API reference: InvalidArgumentException"},
	{Test: "CallOf501Records", Why: "kinesis-local takes more than the documented 500 records"},
	{Test: "CallOver10MiB", Why: "kinesis-local takes more than the documented 10 MiB"},
	{Test: "RecordLimitCountsTheKey", Why: "kinesis-local leaves the key out of the documented 1 MiB"},
	{Test: "ShardFiltersOfThePast", Why: "kinesis-local returns shards of other times too for AT_TRIM_HORIZON, AT_TIMESTAMP and FROM_TIMESTAMP"},
	{Test: "ShardCountIsRequired", Why: "kinesis-local creates a provisioned stream without a shard count"},
}
