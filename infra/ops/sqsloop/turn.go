package sqsloop

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// Turn is one recursion of a loop: the event with which the polling function is
// invoked.
type Turn struct {
	Queue string `json:"queue"`
	Token string `json:"token"`
	// Loop is the loop_id that the token had.
	Loop string `json:"loop"`
	// Iteration counts the turns of a loop from 0. Each is run once, by
	// the execution that claims it first.
	Iteration int64 `json:"iteration"`
	// Tried are the claims of executions of this turn that do not know whether their
	// claim was written.
	Tried []string `json:"tried,omitempty"`
}

// Validate refuses events that are not a turn, such as a test event of the console.
func (t Turn) Validate() error {
	if t.Queue == "" || t.Token == "" || t.Loop == "" || t.Iteration < 0 {
		return errors.New("sqsloop: the event is not a turn of a loop: queue, token and loop are required; the restart function starts loops")
	}
	return nil
}

func (t Turn) nextTurn() Turn {
	t.Iteration, t.Tried = t.Iteration+1, nil
	return t
}

// maxTried bounds Tried. Without the oldest claims a loop may have to be restarted.
const maxTried = 20

// withTried is the same turn again, after a claim without an answer.
func (t Turn) withTried(claim string) Turn {
	t.Tried = append(slices.Clone(t.Tried), claim)
	t.Tried = t.Tried[max(0, len(t.Tried)-maxTried):]
	return t
}

// Starter invokes the polling function with a turn and does not wait for it.
type Starter interface {
	Start(ctx context.Context, t Turn) error
}

// Invoker is what is used of the Lambda client.
type Invoker interface {
	Invoke(ctx context.Context, in *lambda.InvokeInput, optFns ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Function is a polling function by its name. It is a [Starter].
type Function struct {
	Client Invoker
	// Name of the function, or the ARN of its alias: what is started goes on
	// under the same alias, so that the next turn runs what was deployed since.
	Name string
	// Patience is how long to try while Lambda throttles or fails. 0: 5 s.
	Patience time.Duration
}

// Start invokes the function asynchronously. It tries again while Lambda
// throttles; an error leaves open whether the turn was started, which is
// harmless, as a turn runs once.
func (f Function) Start(ctx context.Context, t Turn) error {
	payload, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("sqsloop: encode turn %d of %s: %w", t.Iteration, t.Queue, err)
	}
	err = retryFor(ctx, cmp.Or(f.Patience, defaultPatience), isPermanentForLambda, func(ctx context.Context) error {
		_, err := f.Client.Invoke(ctx, &lambda.InvokeInput{
			FunctionName: &f.Name, InvocationType: types.InvocationTypeEvent, Payload: payload,
		})
		return err
	})
	var recursive *types.RecursiveInvocationException
	if errors.As(err, &recursive) {
		return fmt.Errorf(
			"sqsloop: start turn %d of %s on %s: Lambda has stopped the recursion: "+
				"set the function's recursive loop detection to Allow (aws_lambda_function_recursion_config): %w",
			t.Iteration,
			t.Queue,
			f.Name,
			err,
		)
	}
	if err != nil {
		return fmt.Errorf("sqsloop: start turn %d of %s on %s: %w", t.Iteration, t.Queue, f.Name, err)
	}
	return nil
}

// isPermanentForLambda reports whether another attempt cannot help. A function that
// is being updated answers ResourceConflictException for a while.
func isPermanentForLambda(err error) bool {
	return awserr.IsPermanent(err) && !awserr.Is(err, "ResourceConflictException")
}
