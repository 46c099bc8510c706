package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/sidecar"
)

// printer is a publisher that keeps events by printing them. In earnest it is a
// kinesis.Publisher or a spool.Spool.
type printer struct{}

func (printer) Enqueue(context.Context, events.Event) (publishers.Receipt, error) {
	return nil, fmt.Errorf("not used by the sidecar")
}

func (printer) EnqueueEncoded(_ context.Context, partitionKey string, data []byte) (publishers.Receipt, error) {
	e, err := events.Decode(data)
	fmt.Println(partitionKey, e.Type, string(e.Data))
	return printed{}, err
}

type printed struct{}

func (printed) Wait(context.Context) (events.Position, error) { return events.Position{}, nil }

func (printed) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// A sidecar inside of another server, and a request in structured mode.
func Example() {
	handler, err := sidecar.New(sidecar.Config{Publisher: printer{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	event := `{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed",
		"partitionkey": "ada", "data": {"orderId": "4711"}}`
	res, err := http.Post(server.URL+sidecar.Path, "application/cloudevents+json", strings.NewReader(event))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, string(text))
	// Output:
	// ada order.placed {"orderId": "4711"}
	// 200 {"events":[{"id":"1","kept":"spool"}]}
}
