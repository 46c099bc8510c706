package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// way is one way of publishing.
type way interface {
	// send publishes n events and returns when they are on the stream.
	send(ctx context.Context, n int) error
	close(ctx context.Context) error
}

// open starts the way of that name into a stream.
func open(ctx context.Context, name, endpoint, stream string, l *load) (way, error) {
	client := newClient(endpoint)
	cfg := kinesis.Config{Client: client, Stream: stream}
	switch name {
	case casePutRecords:
		return newBatches(client, stream, l), nil
	case caseUnordered:
		return newUnordered(ctx, client, stream, l)
	case casePlain:
		cfg.NoAggregation = true
	case caseCBOR, caseBoth:
		cfg.Protocol = kinesis.CBOR
	}
	if name == caseEnvelope || name == caseBoth {
		return newOrdered(ctx, cfg, l, enveloped)
	}
	return newOrdered(ctx, cfg, l, encoded)
}

// newClient is a client of the SDK as it comes, with what config.LoadDefaultConfig
// would give it.
func newClient(endpoint string) *awskinesis.Client {
	return awskinesis.New(awskinesis.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIDBENCH", "secret", "")),
	})
}

// batchRecords is how many records a plain PutRecords has, the most there can be.
const batchRecords = 500

// batches is what everybody writes first: the SDK, 500 records a call, one call
// after the other.
type batches struct {
	client *awskinesis.Client
	stream string
	load   *load
	batch  []types.PutRecordsRequestEntry
}

func newBatches(client *awskinesis.Client, stream string, l *load) *batches {
	return &batches{client: client, stream: stream, load: l, batch: make([]types.PutRecordsRequestEntry, batchRecords)}
}

func (b *batches) send(ctx context.Context, n int) error {
	for i := 0; i < n; i += batchRecords {
		batch := b.batch[:min(batchRecords, n-i)]
		for j := range batch {
			batch[j] = types.PutRecordsRequestEntry{PartitionKey: b.load.key(i + j), Data: b.load.payload(i + j)}
		}
		out, err := b.client.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: &b.stream, Records: batch})
		if err != nil {
			return err
		}
		if aws.ToInt32(out.FailedRecordCount) != 0 || len(out.Records) != len(batch) {
			return fmt.Errorf("%d of %d records were refused", aws.ToInt32(out.FailedRecordCount), len(batch))
		}
	}
	return nil
}

func (*batches) close(context.Context) error { return nil }

// ordered is the publisher.
type ordered struct {
	p       *kinesis.Publisher
	load    *load
	enqueue func(ctx context.Context, o *ordered, i int) error
}

func newOrdered(ctx context.Context, cfg kinesis.Config, l *load, enqueue func(context.Context, *ordered, int) error) (*ordered, error) {
	p, err := kinesis.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &ordered{p, l, enqueue}, nil
}

// encoded publishes ready-made bytes.
func encoded(ctx context.Context, o *ordered, i int) error {
	_, err := o.p.EnqueueEncoded(ctx, *o.load.key(i), o.load.payload(i))
	return err
}

// enveloped publishes the same bytes as the data of an event.
func enveloped(ctx context.Context, o *ordered, i int) error {
	_, err := o.p.Enqueue(ctx, o.load.event(i))
	return err
}

func (o *ordered) send(ctx context.Context, n int) error {
	before := o.p.Stats()
	for i := range n {
		if err := o.enqueue(ctx, o, i); err != nil {
			return err
		}
	}
	if err := o.p.Flush(ctx); err != nil {
		return err
	}
	if kept := o.p.Stats().Events - before.Events; kept != int64(n) {
		return fmt.Errorf("%d of %d events are on the stream", kept, n)
	}
	return nil
}

// closeWithin is more than any way needs to end.
const closeWithin = 10 * time.Second

func (o *ordered) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	return o.p.Close(ctx)
}
