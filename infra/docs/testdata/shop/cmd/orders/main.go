// Command orders is a service that takes orders: POST /orders.
package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/alecthomas/kong"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/services/httpjson"

	"example.com/shop"
)

type command struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:8088"`
	Stream string `help:"Stream to publish to." default:"shop-events"`
}

func main() {
	var c command
	serving.Command{Name: "orders", Description: "Takes orders.", Grammar: &c,
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error { return c.serve(ctx, log) },
	}.Main()
}

func (c *command) serve(ctx context.Context, log *slog.Logger) error {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	publisher, err := kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: c.Stream, Check: shop.Events.Check})
	if err != nil {
		return err
	}
	defer publisher.Close(context.WithoutCancel(ctx))
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: httpjson.Problems{
		httpjson.WithDetail(events.ErrMalformed, "invalid-order", "Invalid order", http.StatusBadRequest),
	}})
	mux.Handle("POST /orders", func(w http.ResponseWriter, r *http.Request) error { return place(w, r, publisher) })
	server, err := serving.Listen("--listen", c.Listen, mux)
	if err != nil {
		return err
	}
	log.Info("serving", "address", server.Addr().String())
	return serving.Run(ctx, server)
}

// place publishes an order, which is on the stream when the client is answered.
func place(w http.ResponseWriter, r *http.Request, publisher *kinesis.Publisher) error {
	var order shop.OrderPlaced
	if err := httpjson.ReadJSON(w, r, &order); err != nil {
		return err
	}
	event, err := events.New(r.Context(), "/shop/orders", order)
	if err != nil {
		return err
	}
	if _, err = publisher.Publish(r.Context(), event); err != nil {
		return err
	}
	httpjson.WriteJSON(w, http.StatusCreated, order)
	return nil
}
