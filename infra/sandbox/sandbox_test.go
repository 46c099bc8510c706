package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sdk loads the SDK's configuration from the sandbox's environment alone, as a
// product's process does.
func sdk(t *testing.T, s *sandbox.Sandbox) aws.Config {
	t.Helper()
	for name, value := range vars(s) {
		t.Setenv(name, value)
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.HTTPClient = &http.Client{Transport: transport}
	return cfg
}

// calls make one harmless call of each service by its official client.
func calls(t *testing.T, cfg aws.Config, mongoDB *mongo.Client) map[string]func() error {
	return map[string]func() error{
		"kinesis": func() error {
			_, err := kinesis.NewFromConfig(cfg).ListStreams(t.Context(), &kinesis.ListStreamsInput{})
			return err
		},
		"sqs": func() error {
			_, err := sqs.NewFromConfig(cfg).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
			return err
		},
		"dynamodb": func() error {
			_, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), &dynamodb.ListTablesInput{})
			return err
		},
		"ssm": func() error {
			_, err := ssm.NewFromConfig(cfg).GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"/none"}})
			return err
		},
		"secretsmanager": func() error {
			_, err := secretsmanager.NewFromConfig(cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("s" + uuid.NewString())})
			return err
		},
		"lambda": func() error {
			_, err := lambda.NewFromConfig(cfg).ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
			return err
		},
		"cloudwatch": func() error {
			_, err := cloudwatch.NewFromConfig(cfg).DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
			return err
		},
		"logs": func() error {
			_, err := cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{})
			return err
		},
		"mongodb": func() error {
			_, err := mongoDB.Database("d").Collection("c").CountDocuments(t.Context(), map[string]any{})
			return err
		},
	}
}

// connect gives a client of the sandbox's MongoDB that does not retry.
func connect(t *testing.T, s *sandbox.Sandbox) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(vars(s)["MONGODB_URI"]).SetRetryReads(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

func TestOfficialClientsFindEveryService(t *testing.T) {
	s := start(t, sandbox.Config{})
	cfg := sdk(t, s)
	all := calls(t, cfg, connect(t, s))
	all["dynamodb streams"] = func() error {
		_, err := dynamodbstreams.NewFromConfig(cfg).DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{
			StreamArn: aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/none/stream/2016-11-21T09:00:00.000"),
		})
		if _, notFound := errors.AsType[*streamtypes.ResourceNotFoundException](err); notFound {
			return nil
		}
		return err
	}
	for name, call := range all {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQueueURLsLeadBack(t *testing.T) {
	s := start(t, sandbox.Config{})
	out, err := sqs.NewFromConfig(sdk(t, s)).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	if want := vars(s)["AWS_ENDPOINT_URL"] + "/000000000000/q"; *out.QueueUrl != want {
		t.Errorf("queue URL %s, want %s", *out.QueueUrl, want)
	}
}

// TestNotImplementedIsSaid: nothing is pretended, and the error says who.
func TestNotImplementedIsSaid(t *testing.T) {
	s := start(t, sandbox.Config{Environ: []string{"AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:1"}})
	cfg := sdk(t, s)
	_, err := kinesis.NewFromConfig(cfg).RegisterStreamConsumer(t.Context(),
		&kinesis.RegisterStreamConsumerInput{StreamARN: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s"), ConsumerName: aws.String("c")})
	wantMessage(t, err, "not implemented by the sandbox: RegisterStreamConsumer")
	_, err = dynamodbstreams.NewFromConfig(cfg).ListStreams(t.Context(), &dynamodbstreams.ListStreamsInput{})
	wantMessage(t, err, "does not embed dynamodb")
}

func wantMessage(t *testing.T, err error, want string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || !strings.Contains(api.ErrorMessage(), want) {
		t.Errorf("error %v, want one that says %q", err, want)
	}
}

func TestFrontPageSaysWhatIsEmbedded(t *testing.T) {
	s := start(t, sandbox.Config{Environ: []string{"AWS_ENDPOINT_URL_LAMBDA=http://theirs"}})
	url := vars(s)["AWS_ENDPOINT_URL"]
	for path, want := range map[string]string{"/": "cloudwatch, dynamodb, kinesis, logs, secretsmanager, sqs, ssm",
		"/elsewhere": "not implemented by the sandbox: GET /elsewhere"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, want %q", path, body, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestOtherServicesAreNamed: whatever protocol a client of another service
// speaks, its error says which service is not here.
func TestOtherServicesAreNamed(t *testing.T) {
	url := vars(start(t, sandbox.Config{}))["AWS_ENDPOINT_URL"]
	defer http.DefaultClient.CloseIdleConnections()
	const form, other = "application/x-www-form-urlencoded; charset=utf-8", "application/x-amz-json-1.1"
	for _, c := range []struct{ method, path, service, content, want string }{
		{"POST", "/", "sns", form, "<ErrorResponse><Error><Code>UnknownOperationException</Code><Message>not implemented by the sandbox: the " +
			"service sns (POST /)</Message></Error></ErrorResponse>"},
		{"GET", "/", "s3", "", "<Error><Code>UnknownOperationException</Code><Message>not implemented by the sandbox: the service s3 (GET /)</Message></Error>"},
		{"PUT", "/a&b", "s3", "", "the service s3 (PUT /a&amp;b)"},
		{"GET", "/restapis", "apigateway", other, `"message":"not implemented by the sandbox: the service apigateway (GET /restapis)"`},
		{"POST", "/", "sqs", form, "not implemented by the sandbox: POST / of sqs; let the client speak its newest protocol"},
		{"POST", "/", "monitoring", form, "not implemented by the sandbox: POST / of cloudwatch; let the client speak its newest protocol"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.content)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/"+c.service+"/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s of %s: %d %s, want %s", c.method, c.path, c.service, resp.StatusCode, body, c.want)
		}
	}
}

// TestPlanOfNobody: a rule that nothing would ever hit is a mistake in its name.
func TestPlanOfNobody(t *testing.T) {
	for text, good := range map[string]bool{"dynamodb.* throttle=0.1": true, "*.PutRecords late=0.1": true, "dynamo.* throttle=0.1": false} {
		plan, err := fault.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := (sandbox.Config{Faults: plan}).Validate(); (err == nil) != good || !good && !strings.Contains(err.Error(), `"dynamo"`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, cfg := range map[string]sandbox.Config{"AWS": {Addr: l.Addr().String()}, "MongoDB": {MongoAddr: l.Addr().String()}} {
		cfg.Environ = []string{}
		_, err := sandbox.Start(t.Context(), cfg)
		if !errors.Is(err, sandbox.ErrPortInUse) || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":4566", "192.0.2.1:80", "nonsense"} {
		if err := (sandbox.Config{Addr: addr}).Validate(); err == nil {
			t.Errorf("%s is taken as an address", addr)
		}
	}
	if err := (sandbox.Config{Addr: "localhost:0", MongoAddr: "[::1]:0"}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestFaultsReachEveryService: each service's hook is wired.
func TestFaultsReachEveryService(t *testing.T) {
	plan, err := fault.Parse("*.* internal=1")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, sandbox.Config{Faults: plan})
	s.Faults().Switch(false)
	cfg := sdk(t, s)
	cfg.RetryMaxAttempts = 1
	all := calls(t, cfg, connect(t, s))
	for _, on := range []bool{false, true, false} {
		s.Faults().Switch(on)
		for name, call := range all {
			if err := call(); (err != nil) != on {
				t.Errorf("%s with faults %t: %v", name, on, err)
			}
		}
	}
	services := map[string]bool{}
	for _, c := range s.Faults().Counts() {
		services[c.Service] = true
	}
	if len(services) != len(all) {
		t.Errorf("counted %v", s.Faults().Counts())
	}
}

// TestCloseEndsLongPolls: a waiting receive does not hold up the end.
func TestCloseEndsLongPolls(t *testing.T) {
	s := start(t, sandbox.Config{})
	client := sqs.NewFromConfig(sdk(t, s))
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20},
			func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	}()
	time.Sleep(50 * time.Millisecond) // most likely it waits by then
	if err := s.Close(); err != nil { // as after ten seconds, when it gives up
		t.Error(err)
	}
	<-done
}

// TestClientsRecoverByThemselves: what the plan injects are errors that the
// official client knows and retries.
func TestClientsRecoverByThemselves(t *testing.T) {
	plan, err := fault.Parse("delay 1ms; *.* throttle=0.1 internal=0.1 timeout-before=0.1 timeout-after=0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, sandbox.Config{Faults: plan, Seed: 11})
	s.Faults().Switch(false)
	cfg, ctx := sdk(t, s), t.Context()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 8, 5*time.Millisecond, ratelimit.None
		})
	}
	streams, queues := kinesis.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	s.Faults().Switch(true)
	for range 30 {
		if _, err := streams.ListStreams(ctx, &kinesis.ListStreamsInput{}); err != nil {
			t.Error(err)
		}
		if _, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("x")}); err != nil {
			t.Error(err)
		}
		if _, err := dynamodb.NewFromConfig(cfg).ListTables(ctx, &dynamodb.ListTablesInput{}); err != nil {
			t.Error(err)
		}
	}
	if s.Faults().Total() < 20 {
		t.Errorf("only %d faults (seed 11)", s.Faults().Total())
	}
}
