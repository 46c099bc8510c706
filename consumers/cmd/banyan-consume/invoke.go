package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// errFunction is that a function was invoked and failed: another event may not.
var errFunction = errors.New("the function failed")

// throttled is the pauses while the function has no capacity left, and throttledAttempts how
// often it is tried.
var throttled = backoff.Backoff{Min: 500 * time.Millisecond, Max: 10 * time.Second}

const throttledAttempts = 8

// invoke invokes a function, waits for its answer, and returns it. Once begun it is not
// cut short by the end of ctx: what the function did would be unknown.
func invoke(ctx context.Context, client *lambda.Client, function string, payload []byte) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		out, err := client.Invoke(context.WithoutCancel(ctx), &lambda.InvokeInput{FunctionName: &function, Payload: payload})
		if err == nil && out.FunctionError != nil {
			return nil, fmt.Errorf("invoke function %q: %w: %s", function, errFunction, errorMessage(out))
		}
		if _, busy := errors.AsType[*types.TooManyRequestsException](err); busy && attempt < throttledAttempts {
			if err := throttled.Wait(ctx, attempt); err != nil {
				return nil, err
			}
			continue
		}
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
			return nil, fmt.Errorf("function %q does not exist in this account and region: name it, with its alias, with --function: %w", function, err)
		}
		if err != nil {
			return nil, fmt.Errorf("invoke function %q: %w", function, err)
		}
		return out.Payload, nil
	}
}

// errorMessage is what the runtime, or Lambda, says of a failure.
func errorMessage(out *lambda.InvokeOutput) string {
	var failure struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(out.Payload, &failure); err != nil || failure.ErrorMessage == "" {
		return aws.ToString(out.FunctionError)
	}
	return failure.ErrorMessage
}
