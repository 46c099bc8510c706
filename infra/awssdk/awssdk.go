// Package awssdk loads the configuration of the AWS SDK as Banyan's programs
// want it: quick to retry, with enough idle connections, and without a fault of
// the SDK that breaks connections.
package awssdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// idleConnections are kept per service. The SDK keeps 10, fewer than a server
// uses at once, so that it would open and close connections all the time.
const idleConnections = 64

// attempts and longest are those of the retries. Somebody waits behind each
// request, and a program that can wait longer retries itself; the SDK's own pauses grow
// to 20 s.
const (
	attempts = 4
	longest  = 200 * time.Millisecond
)

// ErrNoRegion is returned where neither the environment nor a profile names one.
var ErrNoRegion = errors.New("no AWS region is known: set AWS_REGION, or a region in the profile")

// Load reads the environment and the profile, as any program with the SDK does.
// The clients of the result are safe for concurrent use.
func Load(ctx context.Context) (aws.Config, error) {
	pool := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = idleConnections })
	soon := func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, longest })
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(pool), config.WithRetryer(soon))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, ErrNoRegion
	}
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	return cfg, nil
}

// plainBodies hides the method WriteTo of the SDK's request bodies. The SDK closes
// a body as soon as an answer begins. net/http then looks once more whether the
// body had more to give, WriteTo of a closed body answers with an error, and the
// connection is broken off while the answer is still read: a call that worked
// looks as if it had failed. Bodies beyond the 4 KiB that net/http buffers meet
// this now and then where more than one core is at work.
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.WithContext(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.HTTPClient.Do(r)
}
