package capacity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/capacity"
	dynamodbsandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	lambdasandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
	publisher "github.com/banyan-fig/banyan/publishers/kinesis"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// counts are the calls that reached the sandbox, and what was in them.
type counts struct {
	mu                sync.Mutex
	requests, records int
	bytes, putUnits   float64
	throttled         int
	writeUnits        float64
	invocations       int
}

// stream counts PutRecords on their way to Kinesis.
func (c *counts) stream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords") {
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var in struct {
			Records []struct {
				Data         []byte
				PartitionKey string
			}
		}
		_ = json.Unmarshal(body, &in) // the sandbox complains
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		c.mu.Lock()
		c.requests++
		c.throttled += strings.Count(answer.Body.String(), "ProvisionedThroughputExceeded")
		for _, record := range in.Records {
			size := float64(len(record.Data) + len(record.PartitionKey))
			c.records++
			c.bytes += size
			c.putUnits += math.Ceil(size / (25 << 10))
		}
		c.mu.Unlock()
		pass(w, answer)
	})
}

func pass(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// tables has transactions say what they cost, and sums that up.
func (c *counts) tables(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		body = append([]byte(`{"ReturnConsumedCapacity":"TOTAL",`), bytes.TrimPrefix(bytes.TrimSpace(body), []byte("{"))...)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", fmt.Sprint(len(body)))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var out struct {
			ConsumedCapacity []struct{ CapacityUnits float64 }
		}
		_ = json.Unmarshal(answer.Body.Bytes(), &out)
		c.mu.Lock()
		for _, t := range out.ConsumedCapacity {
			c.writeUnits += t.CapacityUnits
		}
		c.mu.Unlock()
		answer.Header().Del("X-Amz-Crc32")
		pass(w, answer)
	})
}

// Write counts invocations in the functions' log.
func (c *counts) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invocations += bytes.Count(line, []byte("START RequestId"))
	return len(line), nil
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func sdk(t *testing.T) aws.Config {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
}

const streamName = "events"

// newStream makes a counted stream at an address.
func newStream(t *testing.T, c *counts, shards int) (client *kinesis.Client, url string) {
	t.Helper()
	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	url = serve(t, c.stream(server))
	return created(t, shards, func(o *kinesis.Options) { o.BaseEndpoint = &url }), url
}

// near is a stream whose requests need no network and take exactly as long as they
// are told, for tests whose time is not the machine's.
func near(t *testing.T, c *counts, shards int, trip time.Duration) *kinesis.Client {
	t.Helper()
	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return created(t, shards, func(o *kinesis.Options) { o.HTTPClient = wire{c.stream(server), trip} })
}

// wire hands requests to a handler.
type wire struct {
	handler http.Handler
	trip    time.Duration
}

func (w wire) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	time.Sleep(w.trip)
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func created(t *testing.T, shards int, at func(*kinesis.Options)) *kinesis.Client {
	t.Helper()
	client := kinesis.NewFromConfig(sdk(t), at)
	in := &kinesis.CreateStreamInput{StreamName: aws.String(streamName), ShardCount: aws.Int32(int32(shards))}
	if _, err := client.CreateStream(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	exists := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = 2 * time.Millisecond })
	if err := exists.Wait(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String(streamName)}, time.Minute); err != nil {
		t.Fatal(err)
	}
	return client
}

// publish puts events on the stream at the load's rate, at random moments, and
// tells their mean size and how long it took.
func publish(t *testing.T, client *kinesis.Client, l capacity.Load, aggregated bool, n int, event func(i int) events.Payload) (size int, took time.Duration) {
	t.Helper()
	ctx := t.Context()
	publishers := make([]*publisher.Publisher, l.Publishers)
	for i := range publishers {
		p, err := publisher.New(ctx, publisher.Config{Client: client, Stream: streamName, Linger: l.Linger, NoAggregation: !aggregated})
		if err != nil {
			t.Fatal(err)
		}
		publishers[i] = p
	}
	random := rand.New(rand.NewPCG(1, 1))
	begin := time.Now()
	next := begin
	for i := range n {
		next = next.Add(time.Duration(random.ExpFloat64() / l.Rate * float64(time.Second)))
		time.Sleep(time.Until(next))
		e, err := events.New(ctx, "/test", event(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := publishers[random.IntN(len(publishers))].Enqueue(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range publishers {
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	took = time.Since(begin)
	for _, p := range publishers {
		size += int(p.Stats().Bytes)
		if err := p.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return size / n, took
}

// user makes an id as long as an ObjectId in hex.
func user(i int) string { return fmt.Sprintf("%024x", uint64(i+1)*0x9e3779b97f4a7c15) }

func update(i int) events.Payload {
	return social.UserProfileUpdated{UserID: user(i), Name: "Ada Lovelace", Bio: strings.Repeat("writes programs ", 10), Version: 2}
}

// rename is a smaller event, of about 500 bytes.
func rename(i int) events.Payload {
	return social.UserProfileUpdated{UserID: user(i), Name: "Ada", Version: 2}
}

// The tolerances: of what depends on chance, of what is rounded up for each record
// while the model does so for the average one, of what depends on timers of a busy
// machine, and of what depends on none of these.
const (
	chance  = 0.06
	rounded = 0.20
	timers  = 0.30
	exactly = 0.03
)

func agrees(t *testing.T, what string, counted, model, tolerance float64) {
	t.Helper()
	t.Logf("%-12s counted %10.1f, model %10.1f (%+.0f %%)", what, counted, model, 100*(model/counted-1))
	if math.Abs(counted-model) > tolerance*counted {
		t.Errorf("%s: counted %.1f, the model says %.1f: more than %.0f %% apart", what, counted, model, 100*tolerance)
	}
}

// TestTheStreamIsAsCounted: PutRecords, records, bytes and payload units of the
// real publisher, at rates from less than one event a linger to full aggregates.
func TestTheStreamIsAsCounted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		rate         float64
		shards       int
		linger, trip time.Duration
		aggregated   bool
		publishers   int
	}{
		{"aggregated", 1000, 2, 30 * time.Millisecond, 2 * time.Millisecond, true, 1},
		{"aggregated, one shard", 1200, 1, 60 * time.Millisecond, 2 * time.Millisecond, true, 1},
		{"aggregated, as it is set by default", 1000, 2, 5 * time.Millisecond, 15 * time.Millisecond, true, 1},
		{"aggregated, of many publishers", 1000, 2, 5 * time.Millisecond, 15 * time.Millisecond, true, 4},
		{"aggregated, seldom", 20, 1, 5 * time.Millisecond, 15 * time.Millisecond, true, 1},
		{"aggregated, full", 1000, 1, time.Second, 2 * time.Millisecond, true, 1},
		{"plain", 800, 2, 60 * time.Millisecond, 2 * time.Millisecond, false, 1},
		{"plain, full", 800, 1, 2 * time.Second, 2 * time.Millisecond, false, 1},
		{"plain, slow", 450, 1, 5 * time.Millisecond, time.Second, false, 1},
		{"plain, as it is set by default", 800, 1, 5 * time.Millisecond, 15 * time.Millisecond, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c counts
				l := capacity.Load{Rate: test.rate, Publishers: test.publishers, Linger: test.linger, RoundTrip: test.trip}
				client := near(t, &c, test.shards, test.trip)
				var took time.Duration
				n := int(max(2*test.rate, 1500))
				l.Size, took = publish(t, client, l, test.aggregated, n, update)
				l.Rate = float64(n) / took.Seconds() // what chance made of it
				s, passed := l.Stream(test.shards, test.aggregated), took.Seconds()
				agrees(t, "PutRecords", float64(c.requests), s.Requests*passed, chance)
				agrees(t, "records", float64(c.records), s.Records*passed, chance)
				agrees(t, "bytes", c.bytes, s.Bytes*passed, chance)
				agrees(t, "put units", c.putUnits, s.PutUnits*passed, rounded)
			})
		})
	}
}

// TestShardsAreEnough: with the shards of the model nothing is throttled, with one
// less it is, and aggregation needs one where plain records need two.
func TestShardsAreEnough(t *testing.T) {
	t.Parallel()
	l := capacity.Load{Rate: 1500, Publishers: 1, Linger: 20 * time.Millisecond, RoundTrip: 2 * time.Millisecond, ReadModels: 1, Size: 520, Use: 0.85}
	plain, aggregated := l.Needed(false), l.Needed(true)
	if plain.Shards != 2 || plain.ShardsBy != "records" || aggregated.Shards != 1 {
		t.Fatalf("needed are %d (%s) and %d", plain.Shards, plain.ShardsBy, aggregated.Shards)
	}
	for _, test := range []struct {
		shards                int
		aggregated, throttled bool
	}{{plain.Shards, false, false}, {plain.Shards - 1, false, true}, {aggregated.Shards, true, false}} {
		synctest.Test(t, func(t *testing.T) {
			var c counts
			publish(t, near(t, &c, test.shards, l.RoundTrip), l, test.aggregated, int(2*l.Rate), rename)
			if (c.throttled > 0) != test.throttled {
				t.Errorf("%+v: %d records were throttled", test, c.throttled)
			}
		})
	}
}

// TestFunctionsAndTablesAreAsCounted: invocations of the real consumer of
// profiles, and the write units that its transactions cost, over events of which
// half change a profile and half are follows.
func TestFunctionsAndTablesAreAsCounted(t *testing.T) {
	t.Parallel()
	var c counts
	client, kinesisURL := newStream(t, &c, 1)
	dynamodbURL := serve(t, c.tables(dynamodbsandbox.New(dynamodbsandbox.Config{})))
	tables := dynamodb.NewFromConfig(sdk(t), func(o *dynamodb.Options) { o.BaseEndpoint = &dynamodbURL })
	for _, in := range []*dynamodb.CreateTableInput{profile.TableInput(profile.DefaultTable), deadletter.TableInput(deadletter.DefaultTable)} {
		if _, err := tables.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	l := capacity.Load{
		Rate: 200, Publishers: 1, Linger: 5 * time.Millisecond, RoundTrip: 2 * time.Millisecond,
		// A follow checks besides that its follower has not left, which costs what a write does.
		ReadModels: 1, Items: 3.5, Batch: 25, Window: time.Second,
	}
	consume(t, &c, kinesisURL, dynamodbURL, int32(l.Batch))
	const n = 600
	var took time.Duration
	l.Size, took = publish(t, client, l, false, n, func(i int) events.Payload {
		if i%2 == 0 {
			return update(i)
		}
		return social.RelationshipFollowed{FollowerID: user(i), FolloweeID: user(i + 100_000), At: time.Now()}
	})
	model := l.Tables().WriteUnits * n / l.Rate
	deadline := time.Now().Add(time.Minute)
	for last := -1.0; ; {
		c.mu.Lock()
		units := c.writeUnits
		c.mu.Unlock()
		if time.Now().After(deadline) || units >= (1-exactly)*model && units == last {
			break
		}
		last = units
		time.Sleep(1500 * time.Millisecond) // longer than the window
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	agrees(t, "write units", c.writeUnits, model, exactly)
	l.Rate = n / took.Seconds()
	agrees(t, "invocations", float64(c.invocations), l.Functions(l.Stream(1, false)).Invocations*took.Seconds(), timers)
}

// consume maps the stream to the consumer of profiles.
func consume(t *testing.T, c *counts, kinesisURL, dynamodbURL string, batch int32) {
	t.Helper()
	host := functiontest.Start(t, lambdasandbox.Config{
		Log: c, PollInterval: 20 * time.Millisecond,
		Env: []string{"AWS_ENDPOINT_URL_KINESIS=" + kinesisURL, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamodbURL, "PATH=" + os.Getenv("PATH")},
	})
	functiontest.Deploy(t, host.Client, "profile", functiontest.Small(t, functiontest.Build(t, "../../consumers/social/cmd/profile")), nil)
	_, err := host.Client.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("profile"), EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/" + streamName),
		StartingPosition: types.EventSourcePositionTrimHorizon, BatchSize: &batch, MaximumBatchingWindowInSeconds: aws.Int32(1),
		FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
	})
	if err != nil {
		t.Fatal(err)
	}
}
