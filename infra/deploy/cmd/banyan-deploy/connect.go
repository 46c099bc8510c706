package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go/middleware"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/serving"
)

// How long one attempt of a call may take. An upload has 50 MB at most to send.
const (
	patience       = 10 * time.Second
	uploadPatience = 5 * time.Minute
)

const attempts = 8

// connect makes a deployer on the AWS of the environment. Control planes throttle
// sooner than data planes and nobody waits behind them, so retries are more
// patient than elsewhere; each is printed.
func connect(ctx context.Context, cfg deploy.Config, s *screen) (*deploy.Deployer, error) {
	sdk, err := awssdk.Load(ctx)
	if errors.Is(err, awssdk.ErrNoRegion) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	if err := checkCredentials(ctx, sdk); err != nil {
		return nil, err
	}
	sdk.Retryer = func() aws.Retryer {
		return reportingRetryer{retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, 5*time.Second }), s}
	}
	sdk.APIOptions = append(sdk.APIOptions, limitAttemptTime(patience, uploadPatience))
	cfg.Functions, cfg.Alarms, cfg.Progress = lambda.NewFromConfig(sdk), cloudwatch.NewFromConfig(sdk), s.progress
	return deploy.New(cfg)
}

// checkCredentials fails before the first call where there are none, with what to do.
func checkCredentials(ctx context.Context, sdk aws.Config) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := sdk.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("%w: there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in (%w)",
			serving.ErrUsage, err)
	}
	return nil
}

// reportingRetryer prints each retry.
type reportingRetryer struct {
	aws.RetryerV2
	screen *screen
}

// RetryDelay implements aws.Retryer.
func (t reportingRetryer) RetryDelay(attempt int, cause error) (time.Duration, error) {
	pause, err := t.RetryerV2.RetryDelay(attempt, cause)
	if err == nil && !t.screen.json {
		t.screen.note("attempt %d of %d in %v: %s", attempt+1, attempts, pause.Round(100*time.Millisecond), short(cause))
	}
	return pause, err
}

// short leaves out of an error of the SDK what a person does not need.
func short(err error) string {
	text := err.Error()
	if _, rest, found := strings.Cut(text, "request send failed, "); found {
		return rest
	}
	if _, rest, found := strings.Cut(text, "RequestID: "); found {
		if _, rest, found = strings.Cut(rest, ", "); found {
			return rest
		}
	}
	return text
}

// limitAttemptTime ends an attempt that nobody answers, which the SDK would wait for
// without end.
func limitAttemptTime(call, upload time.Duration) func(*middleware.Stack) error {
	attempt := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		operation, longest := awsmiddleware.GetOperationName(ctx), call
		if operation == "UpdateFunctionCode" {
			longest = upload
		}
		within, cancel := context.WithTimeout(ctx, longest)
		defer cancel()
		out, metadata, err := next.HandleFinalize(within, in)
		if err != nil && within.Err() != nil && ctx.Err() == nil {
			err = noAnswer{operation, longest}
		}
		return out, metadata, err
	}
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("BanyanBounded", attempt), "Retry", middleware.After)
	}
}

// noAnswer is retried, unlike what the SDK makes of a context that ended.
type noAnswer struct {
	operation string
	after     time.Duration
}

func (e noAnswer) Error() string {
	return fmt.Sprintf("no answer to %s within %v", e.operation, e.after)
}

// RetryableError is what the SDK asks an error for.
func (noAnswer) RetryableError() bool { return true }
