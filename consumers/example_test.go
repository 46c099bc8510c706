package consumers_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

// OrderPlaced is an event type of your own.
type OrderPlaced struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 1 }
func (p OrderPlaced) Subject() string      { return "customer/" + p.Customer }
func (p OrderPlaced) PartitionKey() string { return p.Customer }

// A handler, with a middleware of its own, handles what is on a stream.
func Example() {
	registry := events.MustRegistry(events.Define(OrderPlaced{Customer: "ada", Cents: 1250}, "the customer"))
	handler := func(_ context.Context, m consumers.Message) error {
		switch p := m.Payload.(type) { // nil for types that are not in the registry
		case OrderPlaced:
			fmt.Printf("%s pays %d cents\n", p.Customer, p.Cents)
			if p.Cents < 0 {
				return consumers.Permanent(fmt.Errorf("%d cents is no price", p.Cents))
			}
		}
		return nil
	}
	announce := func(next consumers.Handler) consumers.Handler {
		return func(ctx context.Context, m consumers.Message) error {
			fmt.Println("handle", m.Event.Type)
			return next(ctx, m)
		}
	}
	c, err := consumers.New(consumers.Config{
		Name:        "payments",
		Handler:     handler,
		Registry:    registry,
		DeadLetters: printDeadLetters{}, // deadletter.Store on DynamoDB
		Middleware:  []consumers.Middleware{consumers.Logging(slog.Default()), announce},
	})
	if err != nil {
		panic(err)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))

	batch, stop := publishToSandbox(OrderPlaced{"ada", 1250}, OrderPlaced{"bob", -1})
	defer stop()
	answer, err := c.HandleKinesis(context.Background(), batch)
	fmt.Println(len(answer.BatchItemFailures), "events to be delivered again", err)
	// Unordered output:
	// handle order.placed
	// ada pays 1250 cents
	// handle order.placed
	// bob pays -1 cents
	// dead letter of bob: -1 cents is no price
	// 0 events to be delivered again <nil>
}

type printDeadLetters struct{}

func (printDeadLetters) Put(_ context.Context, d consumers.DeadLetter) error {
	fmt.Printf("dead letter of %s: %s\n", d.PartitionKey, d.Reason)
	return nil
}

// publishToSandbox publishes to a stream of the sandbox and reads the batch that Lambda
// would deliver from it.
func publishToSandbox(payloads ...events.Payload) (batch awsevents.KinesisEvent, stop func()) {
	ctx := context.Background()
	backend := must(sandbox.New(sandbox.Config{Transition: time.Millisecond}))
	server := httptest.NewServer(backend)
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	stream := aws.String("events")
	must(client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(1)}))
	waiter := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: stream}, time.Minute); err != nil {
		panic(err)
	}
	for _, p := range payloads {
		e := must(events.New(ctx, "/shop", p))
		must(client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: stream, PartitionKey: &e.PartitionKey, Data: must(events.Encode(e))}))
	}
	shard := must(client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: stream})).Shards[0].ShardId
	iterator := must(client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: stream, ShardId: shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}))
	for _, r := range must(client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})).Records {
		batch.Records = append(batch.Records, awsevents.KinesisEventRecord{
			EventID: *shard + ":" + *r.SequenceNumber,
			Kinesis: awsevents.KinesisRecord{PartitionKey: *r.PartitionKey, SequenceNumber: *r.SequenceNumber, Data: r.Data},
		})
	}
	return batch, server.Close
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return v
}
