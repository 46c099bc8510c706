package kinesis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// OrderPlaced is an event type: a struct with four methods.
type OrderPlaced struct {
	OrderID  string `json:"orderId"`
	Customer string `json:"customer"`
}

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 1 }
func (o OrderPlaced) Subject() string      { return "order/" + o.OrderID }
func (o OrderPlaced) PartitionKey() string { return o.Customer } // whose events stay in order

// A program that publishes one event. Where it goes is in the environment, as for any
// user of the SDK: AWS_REGION, AWS_ENDPOINT_URL and credentials.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: "banyan-events"})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := events.New(ctx, "/shop", OrderPlaced{OrderID: "4711", Customer: "ada"})
	if err == nil {
		_, err = p.Publish(ctx, e) // in the stream when this returns without error
	}
	if err != nil {
		fmt.Println(err)
	}
	if err := p.Close(ctx); err != nil {
		fmt.Println(err)
	}
}

// Many events from one goroutine: enqueue them all, then wait for the receipts.
func ExamplePublisher_Enqueue() {
	publishAll := func(ctx context.Context, p *kinesis.Publisher, orders []OrderPlaced) error {
		var receipts []publishers.Receipt
		for _, order := range orders {
			e, err := events.New(ctx, "/shop", order)
			if err != nil {
				return err
			}
			receipt, err := p.Enqueue(ctx, e)
			if err != nil {
				return err
			}
			receipts = append(receipts, receipt)
		}
		for _, receipt := range receipts {
			if _, err := receipt.Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	_ = publishAll
}
