package eventstream_test

import (
	"context"
	"errors"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/services/eventstream"
)

// A service opens its publisher at the start and flushes it at the end.
func Example() {
	serve := func(ctx context.Context, event events.Event) (err error) {
		sdk, err := awssdk.Load(ctx)
		if err != nil {
			return err
		}
		publisher, err := eventstream.Open(ctx, sdk, "banyan-events")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, eventstream.Close(ctx, publisher)) }()
		_, err = publisher.Publish(ctx, event) // with each write
		return err
	}
	_ = serve
}
