package kinesis

import (
	"context"
	"errors"
	"fmt"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/awserr"
)

var (
	// ErrTooLarge is returned for an event that does not fit into a record of
	// the stream. Nothing was queued. Make the event smaller, or raise the
	// stream's limit and Config.MaxRecordBytes.
	ErrTooLarge = errors.New("event too large")
	// ErrFull is returned by a publisher with Config.RefuseWhenFull that has as
	// many events pending as it may. Nothing was queued.
	ErrFull = errors.New("publisher is full")
	// ErrClosed is returned for an event that was passed to a closed publisher,
	// and for those that Close had no time to send.
	ErrClosed = errors.New("publisher is closed")
)

// UnsentError is returned by Close when ctx ended before everything was sent. The result of each of
// these events is an error that wraps ErrClosed.
type UnsentError struct {
	Stream    string
	Events    int   // enqueued, and not known to be in the stream
	MaybeSent int   // of these, sent at least once, so that they may be there
	Cause     error // why Close stopped waiting
	Last      error // what the last failed request said, nil if none failed
}

// Error says how many and why.
func (e *UnsentError) Error() string {
	text := fmt.Sprintf("publishers/kinesis: close: %d events not known to be in stream %q (%d of them were sent with unknown outcome): %v",
		e.Events, e.Stream, e.MaybeSent, e.Cause)
	if e.Last != nil {
		text += "; last failure: " + e.Last.Error()
	}
	return text
}

// Unwrap gives the causes.
func (e *UnsentError) Unwrap() []error {
	if e.Last == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Last}
}

// outcome is what a failed request means for its records.
type outcome int

const (
	outcomeUnknown   outcome = iota // they may be in the stream: send again
	outcomeThrottled                // they are not: send again, later
	outcomeRefused                  // they are not: fail, unless Config.RetryRefused
)

// classify classifies the errors of PutRecords and ListShards. Expired credentials and
// requests leave the outcome unknown, as time-outs do: an earlier copy of the request
// may have been accepted, and the next attempt signs anew.
func classify(err error) outcome {
	switch {
	case awserr.IsThrottle(err):
		return outcomeThrottled
	case awserr.IsPermanent(err):
		return outcomeRefused
	}
	return outcomeUnknown
}

// target is the stream as error messages name it.
type target struct{ text string }

func newTarget(client API, stream string) target {
	text := fmt.Sprintf("stream %q", stream)
	if c, ok := client.(interface{ Options() awskinesis.Options }); ok {
		o := c.Options()
		text += fmt.Sprintf(" (region %s", o.Region)
		if o.BaseEndpoint != nil {
			text += ", endpoint " + *o.BaseEndpoint
		}
		text += ")"
	}
	return target{text}
}

// explain says what was attempted, where, why it failed and what to do.
func (t target) explain(attempt string, err error) error {
	return fmt.Errorf("publishers/kinesis: %s %s: %w%s", attempt, t.text, err, advice(err))
}

func advice(err error) string {
	switch awserr.Code(err) {
	case "":
		switch {
		case errors.Is(err, context.Canceled):
			return ""
		case errors.Is(err, context.DeadlineExceeded):
			return ": no answer in time: check that the endpoint can be reached (AWS_ENDPOINT_URL, AWS_REGION), or raise AttemptTimeout"
		}
		return ": check that the endpoint, region and credentials are right " +
			"(AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID) and that it can be reached"
	case "ResourceNotFoundException":
		return ": the stream does not exist there: create it (aws kinesis create-stream), or correct its name, the region or the endpoint"
	case "ResourceInUseException":
		return ": the stream is still being created or deleted: wait until it is ACTIVE"
	case "AccessDeniedException":
		return ": allow kinesis:ListShards and kinesis:PutRecords on the stream"
	case "UnrecognizedClientException", "ExpiredTokenException":
		return ": check the credentials"
	case "InvalidArgumentException", "ValidationException":
		return ": where the limit of the stream is below MaxRecordBytes, lower that"
	}
	return ""
}
