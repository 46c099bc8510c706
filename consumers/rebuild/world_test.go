package rebuild_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/rebuild"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const streamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/events"

// placed is the event of these tests; its customer is the key.
type placed struct {
	Customer string `json:"customer"`
	Number   int    `json:"number"`
}

func (placed) EventType() string      { return "order.placed" }
func (placed) EventVersion() int      { return 1 }
func (p placed) Subject() string      { return "customer/" + p.Customer }
func (p placed) PartitionKey() string { return p.Customer }

// customer is the state of the read model: it adds up, and shows a wrong order.
type customer struct {
	Orders  int
	Numbers []int
}

// world is a stream, and a DynamoDB with a live table, one to build and the control table.
type world struct {
	*testing.T
	seed        uint64
	random      *rand.Rand
	db          streamtest.DynamoDB
	dynamo      *dynamodb.Client
	kinesis     *awskinesis.Client
	stream      *replay.Stream
	control     rebuild.Control
	live, table string
	want        map[string]*customer
	number      int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, seed: rand.Uint64(), db: streamtest.NewDynamoDB(t), want: map[string]*customer{}}
	w.random = rand.New(rand.NewPCG(w.seed, 1))
	w.dynamo = w.db.Client(nil)
	w.live, w.table = w.db.CreateTable(dynamo.CompositeTable), w.db.CreateTable(dynamo.CompositeTable)
	w.control = rebuild.Control{Client: w.dynamo, Table: w.db.CreateTable(dynamo.CompositeTable)}
	server, err := kinesis.New(kinesis.Config{Unlimited: true, Transition: time.Millisecond})
	sandboxtest.Must(t, err)
	w.kinesis = awskinesis.NewFromConfig(sandboxtest.Config(t, sandboxtest.Serve(t, server)))
	w.stream = &replay.Stream{Client: w.kinesis, Name: "events", Pause: 5 * time.Millisecond}
	_, err = w.kinesis.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(2)})
	sandboxtest.Must(t, err)
	w.waitUntilActive()
	return w
}

func (w *world) waitUntilActive() {
	w.Helper()
	eventually.True(w.T, "an active stream", func() bool {
		out, err := w.kinesis.DescribeStreamSummary(w.Context(), &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String("events")})
		return err == nil && out.StreamDescriptionSummary.StreamStatus == "ACTIVE"
	})
}

func (w *world) reshard(n int32) {
	w.Helper()
	_, err := w.kinesis.UpdateShardCount(w.Context(), &awskinesis.UpdateShardCountInput{
		StreamName: aws.String("events"), TargetShardCount: &n, ScalingType: "UNIFORM_SCALING",
	})
	sandboxtest.Must(w.T, err)
	w.waitUntilActive()
}

// publish publishes orders, some of them twice.
func (w *world) publish(n int) {
	w.Helper()
	for range n {
		w.number++
		p := placed{fmt.Sprint("customer-", w.random.IntN(30)), w.number}
		if w.number <= 2 {
			p.Customer = fmt.Sprint("customer-", w.number-1) // which differences are planted in
		}
		c := w.want[p.Customer]
		if c == nil {
			c = &customer{}
			w.want[p.Customer] = c
		}
		c.Orders, c.Numbers = c.Orders+1, append(c.Numbers, p.Number)
		data := streamtest.Data(w.T, streamtest.Event(w.T, p))
		for range 1 + w.random.IntN(6)/5 {
			_, err := w.kinesis.PutRecord(w.Context(), &awskinesis.PutRecordInput{StreamName: aws.String("events"), PartitionKey: &p.Customer, Data: data})
			sandboxtest.Must(w.T, err)
		}
	}
}

// consumer writes to a table, through faults that may be nil.
func (w *world) consumer(table string, faults *streamtest.Faults) *function {
	w.Helper()
	model, err := once.NewModel(once.ModelConfig[customer]{
		Name: "customer", Client: w.db.Client(faults), Table: table,
		Key: func(m consumers.Message) string { return m.Event.PartitionKey },
		Fold: func(c *customer, m consumers.Message) error {
			var p placed
			if err := json.Unmarshal(m.Event.Data, &p); err != nil {
				return err
			}
			c.Orders, c.Numbers = c.Orders+1, append(c.Numbers, p.Number)
			return nil
		},
	})
	sandboxtest.Must(w.T, err)
	c, err := consumers.New(consumers.Config{Name: "customers", Policy: consumers.Halt, Handler: model.Handle})
	sandboxtest.Must(w.T, err)
	return &function{consumer: c, random: rand.New(rand.NewPCG(w.seed, 2))}
}

// function is invoked in this process, and loses answers.
type function struct {
	consumer *consumers.Consumer
	mu       sync.Mutex
	random   *rand.Rand
	// lost is one in how many answers are lost; 0: none.
	lost int
	// invoked is called after each invocation. May be nil.
	invoked func()
}

var errLost = errors.New("the answer was lost")

// Invoke implements [replay.Invoker].
func (f *function) Invoke(ctx context.Context, payload []byte, sequences []string) (int, error) {
	var e awsevents.KinesisEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		return 0, err
	}
	answer, err := f.consumer.HandleKinesis(ctx, e)
	if f.invoked != nil {
		f.invoked()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || f.lost > 0 && f.random.IntN(f.lost) == 0 {
		return 0, errors.Join(err, errLost)
	}
	done := len(sequences)
	for _, failure := range answer.BatchItemFailures {
		for i, s := range sequences {
			if s == failure.ItemIdentifier {
				done = min(done, i)
			}
		}
	}
	return done, nil
}

func (w *world) replay(f *function, batch int) *replay.Replay {
	return &replay.Replay{
		Function: f, StreamARN: streamARN, Batch: batch, Delay: backoff.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond},
	}
}

// rebuild is one of the live table, of what is archived in store.
func (w *world) rebuild(f *function, store archive.Store) *rebuild.Rebuild {
	return &rebuild.Rebuild{
		Control: w.control, Live: w.live, Archive: store, Stream: w.stream, Replay: w.replay(f, 5),
		Plan:  rebuild.Plan{Model: "customers", Table: w.table, Function: "customers-b", Archive: "files", Stream: "events"},
		Round: 100 * time.Millisecond, Pause: 20 * time.Millisecond,
	}
}

// follow is the live consumer, until ctx ends.
func (w *world) follow(ctx context.Context) {
	r := w.replay(w.consumer(w.live, nil), 20)
	p := replay.Progress{After: map[string]string{}}
	for ctx.Err() == nil {
		merge, err := w.stream.Open(ctx, archive.Range{After: p.After})
		if err == nil {
			err = r.Run(ctx, merge, &p, func(replay.Progress) error { return nil })
		}
		if err != nil && ctx.Err() == nil {
			w.Errorf("seed %d: the live consumer: %v", w.seed, err)
			return
		}
		_ = backoff.Sleep(ctx, 20*time.Millisecond)
	}
}

// archived is an archive of what the stream has.
func (w *world) archived() archive.Store {
	w.Helper()
	merge, err := w.stream.Open(w.Context(), archive.Range{})
	sandboxtest.Must(w.T, err)
	var e awsevents.KinesisEvent
	for r, err := range archive.All(w.Context(), merge) {
		sandboxtest.Must(w.T, err)
		e.Records = append(e.Records, awsevents.KinesisEventRecord{EventID: r.Shard + ":" + r.Sequence, Kinesis: awsevents.KinesisRecord{
			SequenceNumber: r.Sequence, PartitionKey: r.Events[0].Key, Data: r.Data(),
			ApproximateArrivalTimestamp: awsevents.SecondsEpochTime{Time: r.Arrived},
		}})
	}
	store := archive.NewFiles(w.TempDir())
	answer, err := (&archive.Writer{Store: store}).HandleKinesis(w.Context(), e)
	if err != nil || len(answer.BatchItemFailures) > 0 {
		w.Fatal(answer, err)
	}
	return store
}

// compare compares all of both tables.
func (w *world) compare(patience time.Duration) rebuild.Comparison {
	w.Helper()
	found, err := rebuild.Compare{Client: w.dynamo, Old: w.live, New: w.table, Sample: 10_000, Seed: w.seed, Units: 100_000, Patience: patience}.Run(w.Context())
	if err != nil {
		w.Fatalf("seed %d: %v", w.seed, err)
	}
	return found
}
