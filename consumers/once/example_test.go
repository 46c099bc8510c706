package once_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// OrderPlaced is an event type of your own.
type OrderPlaced struct{ Customer, Order string }

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 1 }
func (p OrderPlaced) Subject() string      { return "order/" + p.Order }
func (p OrderPlaced) PartitionKey() string { return p.Customer }

// Customer is the state of an item.
type Customer struct {
	Orders    int
	LastOrder string
}

// A read model is a fold and a key. The same event may come any number of times.
func ExampleModel() {
	client, stop := sandboxTable("customers")
	defer stop()
	customers, err := once.NewModel(once.ModelConfig[Customer]{
		Name:   "customer",
		Client: client,
		Table:  "customers",
		Key:    func(m consumers.Message) string { return m.Event.PartitionKey },
		Fold: func(c *Customer, m consumers.Message) error {
			p, ok := m.Payload.(OrderPlaced) // decoded by the consumer's registry
			if !ok {
				return fmt.Errorf("payload is %T", m.Payload)
			}
			c.Orders++
			c.LastOrder = p.Order
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, second := delivery(1, OrderPlaced{"ada", "a pen"}), delivery(2, OrderPlaced{"ada", "ink"})
	for _, m := range []consumers.Message{first, second, first, second} {
		fmt.Println(m.Event.ID, customers.Handle(context.Background(), m))
	}
	ada, position, err := customers.Get(context.Background(), "ada")
	fmt.Printf("%+v up to %v %v\n", ada, position == second.Position, err)
	// Output:
	// event-1 <nil>
	// event-2 <nil>
	// event-1 stale or delivered before
	// event-2 stale or delivered before
	// {Orders:2 LastOrder:ink} up to true <nil>
}

// A counter moves together with the item that is the reason for it, here an order.
func ExampleWriter_Apply() {
	client, stop := sandboxTable("orders")
	defer stop()
	writer := once.NewWriter(once.Config{Client: client, Table: "orders"})
	handle := func(ctx context.Context, m consumers.Message) error {
		p := m.Payload.(OrderPlaced)
		order := once.KeyOf("order#"+p.Order, "order")
		return writer.Apply(ctx, once.Change{
			Ops:  []once.Op{once.Put(order, once.At(m.Position, dynamo.Item{"customer": dynamo.String(p.Customer)}), once.Absent())},
			Adds: []once.Add{{Key: once.KeyOf("totals", "all"), Deltas: map[string]int64{"orders": 1}}},
		})
	}
	for _, m := range []consumers.Message{
		delivery(1, OrderPlaced{"ada", "17"}), delivery(2, OrderPlaced{"bob", "18"}), delivery(1, OrderPlaced{"ada", "17"}),
	} {
		if err := handle(context.Background(), m); err != nil && !errors.Is(err, consumers.ErrStale) {
			fmt.Println(err)
		}
	}
	fmt.Println(totalOrders(client, "orders"), "orders")
	// Output: 2 orders
}

// Where no item of its own guards what adds up, a marker of the event does.
func ExampleMarker() {
	client, stop := sandboxTable("totals")
	defer stop()
	writer := once.NewWriter(once.Config{Client: client, Table: "totals"})
	m := delivery(1, OrderPlaced{"ada", "17"})
	for range 3 {
		err := writer.Apply(context.Background(), once.Change{
			Ops:  []once.Op{once.Marker("totals", m.Event, m.Position)},
			Adds: []once.Add{{Key: once.KeyOf("totals", "all"), Deltas: map[string]int64{"orders": 1}}},
		})
		fmt.Println(err)
	}
	fmt.Println(totalOrders(client, "totals"), "order")
	// Output:
	// <nil>
	// stale or delivered before
	// stale or delivered before
	// 1 order
}

// delivery is what the runtime calls a handler with.
func delivery(n int, p OrderPlaced) consumers.Message {
	return consumers.Message{
		Event:    events.Event{ID: fmt.Sprint("event-", n), Source: "/shop", PartitionKey: p.Customer},
		Payload:  p,
		Position: events.Position{Sequence: fmt.Sprint(n)},
	}
}

func totalOrders(client *dynamodb.Client, table string) int64 {
	out, err := client.GetItem(context.Background(), &dynamodb.GetItemInput{TableName: &table, Key: dynamo.Key("totals", "all"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		fmt.Println(err)
		return 0
	}
	n, _ := dynamo.IntOf(out.Item, "orders")
	return n
}

// sandboxTable is a client of a sandbox with a table.
func sandboxTable(name string) (client *dynamodb.Client, stop func()) {
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	client = dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	if err := dynamo.EnsureTable(context.Background(), client, dynamo.CompositeTable(name)); err != nil {
		fmt.Println(err)
	}
	return client, server.Close
}
