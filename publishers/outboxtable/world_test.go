package outboxtable_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	table    = "outbox"
	entities = "entities"
	stream   = "banyan-events"
)

// world is a sandbox with an outbox table, a table of entities and a stream.
type world struct {
	testing.TB
	sandbox *sandbox.Sandbox
	cfg     aws.Config
	dynamo  *dynamodb.Client
	kinesis *awskinesis.Client
}

func newWorld(t testing.TB) *world {
	t.Helper()
	sandbox, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{TB: t, sandbox: sandbox, cfg: configOf(sandbox, transport)}
	w.dynamo, w.kinesis = dynamodb.NewFromConfig(w.cfg, peer), awskinesis.NewFromConfig(w.cfg)
	w.create(outboxtable.TableInput(table))
	w.create(&dynamodb.CreateTableInput{
		TableName: aws.String(entities), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	if err := sandbox.CreateStream(t.Context(), stream, 2); err != nil {
		t.Fatal(err)
	}
	return w
}

// peer lets another DynamoDB than the sandbox's be tested with where the
// environment names one, such as DynamoDB Local; faults are then the sandbox's
// Kinesis's only. It keeps tables apart by their access key.
func peer(o *dynamodb.Options) {
	if url := os.Getenv("BANYAN_CONFORMANCE_DYNAMODB"); url != "" {
		o.BaseEndpoint = &url
		o.Credentials = credentials.NewStaticCredentialsProvider(fmt.Sprintf("test%d", time.Now().UnixNano()), "local", "")
	}
}

func configOf(sandbox *sandbox.Sandbox, transport *http.Transport) aws.Config {
	env := map[string]string{}
	for _, kv := range sandbox.Env() {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return aws.Config{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 20 * time.Millisecond })
		},
	}
}

func (w *world) create(in *dynamodb.CreateTableInput) {
	w.Helper()
	if _, err := w.dynamo.CreateTable(w.Context(), in); err != nil {
		w.Fatal(err)
	}
}

// faults sets the plan, "" for none.
func (w *world) faults(text string) {
	w.Helper()
	plan, err := fault.Parse(text)
	if err == nil {
		err = w.sandbox.Faults().SetPlan(plan)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) publisher(cfg kinesis.Config) *kinesis.Publisher {
	w.Helper()
	cfg.Client, cfg.Stream = w.kinesis, stream
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 20*time.Millisecond
	p, err := kinesis.New(w.Context(), cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { drop(p) })
	return p
}

// drop breaks off what a publisher has in flight.
func drop(p *kinesis.Publisher) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Close(ctx)
}

// relay makes one with a publisher of its own, where cfg has none.
func (w *world) relay(cfg outboxtable.Config) *outboxtable.Relay {
	w.Helper()
	cfg.Client, cfg.Table = w.dynamo, table
	if cfg.Publisher == nil {
		cfg.Publisher = w.publisher(kinesis.Config{})
	}
	if cfg.DeadLetters == nil {
		cfg.DeadLetters = &letters{}
	}
	cfg.Claim = cmp.Or(cfg.Claim, 5*time.Minute)
	r, err := outboxtable.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// letters keeps dead letters in memory.
type letters struct {
	mu   sync.Mutex
	all  []outboxtable.DeadLetter
	fail error
}

func (l *letters) Put(_ context.Context, d outboxtable.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail == nil {
		l.all = append(l.all, d)
	}
	return l.fail
}

// event is number n of a key.
func event(key string, n int) events.Event {
	return events.Event{
		ID: fmt.Sprintf("%s-%d", key, n), Source: "/test", Type: "test.happened", Version: 1, Subject: "user/" + key,
		Time: time.Now().UTC(), PartitionKey: key, Sequence: fmt.Sprintf("%020d", n), CorrelationID: "of " + key,
		Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
	}
}

// write commits events in one transaction with their entity, each in an item of
// its own.
func (w *world) write(es ...events.Event) {
	w.Helper()
	if err := w.try(es...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) try(es ...events.Event) error {
	items := []types.TransactWriteItem{{Update: &types.Update{
		TableName: aws.String(entities), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: es[0].PartitionKey}},
		UpdateExpression:          aws.String("SET n = :n"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": &types.AttributeValueMemberN{Value: es[len(es)-1].Sequence}},
	}}}
	for _, e := range es {
		item, err := outboxtable.Item(table, e)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	_, err := w.dynamo.TransactWriteItems(context.WithoutCancel(w.Context()), &dynamodb.TransactWriteItemsInput{TransactItems: items})
	return err
}

// left lists the sort keys of a key's items.
func (w *world) left(key string) []string {
	w.Helper()
	out, err := w.dynamo.Query(w.Context(), &dynamodb.QueryInput{
		TableName: aws.String(table), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("pk = :k"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":k": &types.AttributeValueMemberS{Value: key}},
	})
	if err != nil {
		w.Fatal(err)
	}
	var keys []string
	for _, i := range out.Items {
		keys = append(keys, i["sk"].(*types.AttributeValueMemberS).Value)
	}
	return keys
}

// items counts all of the table.
func (w *world) items() int {
	w.Helper()
	out, err := w.dynamo.Scan(w.Context(), &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)})
	if err != nil {
		w.Fatal(err)
	}
	return len(out.Items)
}

// published reads the whole stream: the numbers of the events by key, in the
// order of the stream.
func (w *world) published() map[string][]int {
	w.Helper()
	all := map[string][]int{}
	for _, e := range w.events() {
		var data struct{ N int }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			w.Fatal(err)
		}
		all[e.PartitionKey] = append(all[e.PartitionKey], data.N)
	}
	return all
}

func (w *world) events() []events.Event {
	w.Helper()
	all, err := streamtest.Read(w.Context(), w.kinesis, stream)
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// inOrder checks what the relay promises of one key of which the events 1 to n
// were committed.
func inOrder(n int, got []int) error {
	fromZero := make([]int, len(got))
	for i, v := range got {
		fromZero[i] = v - 1
	}
	return publisherstest.CheckOrder("of the outbox, less one,", fromZero, n)
}

func mustBe(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error = %v, want %v", err, want)
	}
}
