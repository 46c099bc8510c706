package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// LambdaAPI is what [Function] needs of *lambda.Client.
type LambdaAPI interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Function is a Lambda function. Invoking it needs lambda:InvokeFunction.
type Function struct {
	Client LambdaAPI
	Name   string // or ARN, with a version or an alias
}

// longestInvocation is Lambda's longest timeout, and time for the way.
const longestInvocation = 16 * time.Minute

// errPermanent is an answer that another attempt does not change.
var errPermanent = errors.New("cannot be invoked")

// Invoke invokes the function and returns which of the sequence numbers failed first: its
// index, or len(sequences). The rules are those of a mapping with ReportBatchItemFailures: the
// lowest that is named counts, an empty list is success, and an unknown name, or an error of the
// function, is a failure of the whole batch.
func (f Function) Invoke(ctx context.Context, payload []byte, sequences []string) (done int, err error) {
	ctx, cancel := context.WithTimeout(ctx, longestInvocation)
	defer cancel()
	out, err := f.Client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &f.Name, Payload: payload})
	if err != nil {
		if status := awserr.Status(err); status >= 400 && status < 500 && !awserr.IsThrottle(err) {
			err = fmt.Errorf("%w: %w", errPermanent, err)
		}
		return 0, fmt.Errorf("invoke %s: %w", f.Name, err)
	}
	if out.FunctionError != nil {
		return 0, fmt.Errorf("%s failed (%s): %s", f.Name, aws.ToString(out.FunctionError), shorten(out.Payload))
	}
	done, err = parseAnswer(out.Payload, sequences)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name, err)
	}
	return done, nil
}

func parseAnswer(answer []byte, sequences []string) (done int, err error) {
	if text := strings.TrimSpace(string(answer)); text == "" || text == `""` {
		return len(sequences), nil
	}
	var response struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return 0, fmt.Errorf("answered %s, which is no list of failures", shorten(answer))
	}
	done = len(sequences)
	for _, f := range response.BatchItemFailures {
		at := slices.Index(sequences, f.ItemIdentifier)
		if at < 0 {
			return 0, fmt.Errorf("answered that %q failed, which is not in the batch", f.ItemIdentifier)
		}
		done = min(done, at)
	}
	return done, nil
}

// shorten bounds what another program says: it may be an event's content.
func shorten(b []byte) string {
	const most = 300
	return strings.ToValidUTF8(string(b[:min(len(b), most)]), "")
}
