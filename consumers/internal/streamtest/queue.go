package streamtest

import (
	"context"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

// Queue is an SQS queue of a sandbox, with a consumer like Lambda's.
type Queue struct {
	Endpoint string
	URL      string

	t      testing.TB
	client *sqs.Client
	sent   atomic.Int64
}

// NewQueue makes one for the length of the test.
func NewQueue(t testing.TB) *Queue {
	t.Helper()
	handler, err := sandbox.New(sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	return &Queue{Endpoint: server.URL, URL: *out.QueueUrl, t: t, client: client}
}

// Sent is how many messages were sent.
func (q *Queue) Sent() int { return int(q.sent.Load()) }

// Send returns when the queue has the message.
func (q *Queue) Send(ctx context.Context, body []byte) error {
	q.sent.Add(1)
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: aws.String(string(body))})
	return err
}

// Consume hands the messages to handle, some at the same time, until the queue is empty
// and nothing is in flight while idle is closed. When it is rough, by seed, it cuts the
// handling of some short and delivers some again that were handled.
func (q *Queue) Consume(seed uint64, rough bool, idle <-chan struct{}, handle func(ctx context.Context, body []byte) error) {
	var wg sync.WaitGroup
	for i := range 3 {
		c := queueConsumer{q, rough, rand.New(rand.NewPCG(seed, uint64(200+i))), handle}
		wg.Go(func() { c.run(idle) })
	}
	wg.Wait()
}

type queueConsumer struct {
	q      *Queue
	rough  bool
	random *rand.Rand
	handle func(ctx context.Context, body []byte) error
}

func (c queueConsumer) run(idle <-chan struct{}) {
	ctx := context.Background()
	for {
		out, err := c.q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &c.q.URL, MaxNumberOfMessages: 2, WaitTimeSeconds: 1})
		if err != nil {
			c.q.t.Error(err)
			return
		}
		for _, m := range out.Messages {
			if err := c.deliver(ctx, m); err != nil {
				c.q.t.Error(err)
				return
			}
		}
		select {
		case <-idle:
			if len(out.Messages) == 0 && c.q.isEmpty(ctx) {
				return
			}
		default:
		}
	}
}

// deliver hands over a message. It is visible again at once unless it was handled, and
// sometimes although it was.
func (c queueConsumer) deliver(ctx context.Context, m types.Message) error {
	limit := 30 * time.Second
	if c.rough && c.random.IntN(3) == 0 {
		limit = time.Duration(1+c.random.IntN(30)) * time.Millisecond
	}
	handleCtx, cancel := context.WithTimeout(ctx, limit)
	err := c.handle(handleCtx, []byte(*m.Body))
	cancel()
	if err != nil || c.rough && c.random.IntN(5) == 0 {
		_, err = c.q.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: &c.q.URL, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("m"), ReceiptHandle: m.ReceiptHandle}},
		})
		return err
	}
	_, err = c.q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: &c.q.URL, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("m"), ReceiptHandle: m.ReceiptHandle}},
	})
	return err
}

func (q *Queue) isEmpty(ctx context.Context) bool {
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		q.t.Error(err)
		return true
	}
	return out.Attributes["ApproximateNumberOfMessages"] == "0" && out.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0"
}
