// Package stream opens the Kinesis stream that a service publishes to.
package stream

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// timeout bounds finding the stream, and flushing at the end.
const timeout = 10 * time.Second

// Open returns a publisher to the stream, which it makes sure is there, within ten
// seconds.
func Open(ctx context.Context, sdk aws.Config, name string) (*kinesis.Publisher, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: name})
}

// Close flushes what is left, for at most ten seconds even if ctx has ended; the
// error accounts for what was not sent.
func Close(ctx context.Context, p *kinesis.Publisher) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return p.Close(ctx)
}
