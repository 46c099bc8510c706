package serving

import (
	"context"
	"fmt"
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

// AWS loads the SDK's configuration from the environment (ErrUsage where that names
// no region), with retries that
// come back soon since a person waits: four attempts, 200 ms between them at
// most (the SDK's own pauses grow to 20 s).
func AWS(ctx context.Context) (aws.Config, error) {
	pool := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = idleConnections })
	soon := func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 4, 200*time.Millisecond })
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(pool), config.WithRetryer(soon))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, fmt.Errorf("%w: no AWS region is known: set AWS_REGION, or a region in the profile", ErrUsage)
	}
	return cfg, nil
}
