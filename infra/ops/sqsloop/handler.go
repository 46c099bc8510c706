package sqsloop

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// Handler handles one batch of messages. It is the contract of an event source
// mapping with ReportBatchItemFailures, so that the same function works with
// either: what it lists as failed is redelivered, the rest is deleted; an error,
// an empty id or an unknown one fail the whole batch. It must be idempotent, as
// messages are delivered at least once, and stop soon when ctx ends.
type Handler func(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error)

// recoverPanic turns a panic into an error: a message must not end the loop.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	return f()
}

// maxPayload is what a function can be invoked with synchronously ("Lambda
// quotas").
const maxPayload = 6 << 20

// Forward is a handler that invokes another function with each batch and waits for it,
// as an event source mapping would. While Lambda throttles the function the batch is
// retried until ctx ends. A batch beyond 6 MB is sent
// in parts.
func Forward(client Invoker, function string) Handler {
	var forward Handler
	forward = func(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
		payload, err := json.Marshal(batch)
		if err != nil {
			return events.SQSEventResponse{}, fmt.Errorf("sqsloop: encode a batch for %s: %w", function, err)
		}
		if n := len(batch.Records); len(payload) > maxPayload && n > 1 {
			return inParts(ctx, forward, batch.Records[:n/2], batch.Records[n/2:])
		}
		return invokeHandler(ctx, client, function, payload)
	}
	return forward
}

// inParts handles each part for itself: one that fails as a whole is reported
// message by message.
func inParts(ctx context.Context, handle Handler, parts ...[]events.SQSMessage) (out events.SQSEventResponse, err error) {
	var errs []error
	for _, part := range parts {
		done, err := handle(ctx, events.SQSEvent{Records: part})
		if err != nil {
			done = allFailed(part)
			errs = append(errs, err)
		}
		out.BatchItemFailures = append(out.BatchItemFailures, done.BatchItemFailures...)
	}
	if len(errs) == len(parts) {
		return out, errors.Join(errs...)
	}
	return out, nil
}

func allFailed(messages []events.SQSMessage) (out events.SQSEventResponse) {
	for _, m := range messages {
		out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
	}
	return out
}

func invokeHandler(ctx context.Context, client Invoker, function string, payload []byte) (response events.SQSEventResponse, err error) {
	patience := time.Hour // longer than any function runs; ctx ends before
	var out *lambda.InvokeOutput
	err = retryFor(ctx, patience, func(err error) bool { return !isTransient(err) }, func(ctx context.Context) (err error) {
		out, err = client.Invoke(ctx,
			&lambda.InvokeInput{FunctionName: &function, Payload: payload, InvocationType: types.InvocationTypeRequestResponse}, newTrace)
		return err
	})
	switch {
	case err != nil:
		return response, fmt.Errorf("sqsloop: invoke handler %s: %w", function, err)
	case out.FunctionError != nil:
		return response, fmt.Errorf("sqsloop: handler %s failed (%s): %s", function, aws.ToString(out.FunctionError), excerpt(out.Payload))
	case len(out.Payload) == 0:
		return response, nil
	}
	if err := json.Unmarshal(out.Payload, &response); err != nil {
		return response, fmt.Errorf("sqsloop: handler %s answered %s; it must answer {\"batchItemFailures\": [...]}: %w", function, excerpt(out.Payload), err)
	}
	return response, nil
}

// newTrace gives a request a trace of its own. The SDK would pass on that of the
// loop, which never ends, and with it the count of Lambda's recursive loop
// detection: handlers would be stopped after some 16 batches.
func newTrace(o *lambda.Options) {
	var id [12]byte
	_, _ = rand.Read(id[:])
	root := fmt.Sprintf("Root=1-%08x-%x", time.Now().Unix(), id)
	o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", root))
}

// isTransient reports whether Lambda may accept the same batch later.
func isTransient(err error) bool {
	return awserr.IsThrottle(err) || awserr.Is(err, "ServiceException")
}

func excerpt(b []byte) string {
	const most = 300
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
