// Package eventstream opens the publisher of a service: to the Kinesis stream that it
// publishes to after each write, within a bounded time, and closes it again.
//
//	publisher, err := eventstream.Open(ctx, sdk, "events")
//	...
//	defer func() { err = errors.Join(err, eventstream.Close(ctx, publisher)) }()
package eventstream

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// timeout bounds finding the stream, and flushing at the end.
const timeout = 10 * time.Second

// Open returns a publisher to the stream with the name, or an error if there is no
// such stream, within ten seconds.
func Open(ctx context.Context, sdk aws.Config, name string) (*kinesis.Publisher, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: name})
}

// Close sends what is pending, for at most ten seconds even if ctx has ended. Its error
// accounts for unsent events.
func Close(ctx context.Context, p *kinesis.Publisher) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return p.Close(ctx)
}
