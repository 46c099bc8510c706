package sqsloop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// DefaultRecurseAfter is how long a turn goes on polling.
const DefaultRecurseAfter = 30 * time.Second

// SQS is what is used of its client.
type SQS interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
		optFns ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// Loop runs the turns of the loops of one queue. All fields but RecurseAfter
// and Region are required. It is safe for concurrent use.
type Loop struct {
	Queue   Queue
	Tokens  *Tokens
	SQS     SQS
	Next    Starter
	Handler Handler
	// RecurseAfter is how long a turn goes on polling before it starts the next
	// one. 0: 30 s. Negative: each turn polls once.
	RecurseAfter time.Duration
	// Region is what handlers are told where the queue's URL names none.
	Region string
}

// Report is what became of one invocation.
type Report struct {
	Turn Turn
	// Turns is how many turns were run: more than one where Lambda would not
	// start the next.
	Turns int
	// Over is why the loop does not go on from here: [ErrGone], [ErrTakenOver]
	// or [ErrDuplicate]; nil if it does.
	Over error
	// Polls were made and brought Received messages, of which Deleted were
	// handled and Failed will be redelivered. Undeleted were handled and will be
	// redelivered all the same.
	Polls, Received, Deleted, Failed, Undeleted int
	// Problems are errors that did not end the loop, the first few.
	Problems []error
}

const maxProblems = 10

// pauseAfterError is what a loop waits when a service does not answer.
const pauseAfterError = time.Second

// Run runs a turn: it claims it, polls and handles messages, and starts the
// next. It returns nil when the next turn was started or the loop is over. An
// error means that neither was possible before ctx's deadline; the restart
// function then goes on with the token.
//
// With a deadline, as on Lambda, a tenth of the time (3 s at most) is kept for
// the end, and the first poll that begins after half of the time does not take
// place.
func (l *Loop) Run(ctx context.Context, turn Turn) (Report, error) {
	e := &execution{Loop: l, queue: l.Queue.withDefaults(), started: time.Now(), report: Report{Turn: turn}}
	if err := turn.Validate(); err != nil {
		return e.report, err
	}
	if err := l.Queue.Validate(); err != nil {
		return e.report, err
	}
	if deadline, limited := ctx.Deadline(); limited {
		e.total = time.Until(deadline)
		e.margin = min(3*time.Second, e.total/10)
		var cancel context.CancelFunc
		e.working, cancel = context.WithDeadline(ctx, deadline.Add(-e.margin))
		defer cancel()
	} else {
		e.working = ctx
	}
	err := e.run(ctx, turn)
	return e.report, err
}

// execution is one call of Run.
type execution struct {
	*Loop
	queue         Queue
	started       time.Time
	total, margin time.Duration   // 0 without a deadline
	working       context.Context // for all but the end

	mu     sync.Mutex // of report.Problems
	report Report
}

func (e *execution) problem(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && len(e.report.Problems) < maxProblems {
		e.report.Problems = append(e.report.Problems, err)
	}
}

// run runs turns until one was handed over.
func (e *execution) run(ctx context.Context, turn Turn) error {
	for {
		claim := e.Tokens.newID()
		next, err := e.turn(ctx, turn, claim)
		if isOver(err) {
			e.report.Over = err
			return nil
		}
		held := next.Iteration > turn.Iteration
		if err = e.Next.Start(ctx, next); err == nil {
			return nil
		}
		e.problem(err)
		if !e.spare() || backoff.Sleep(e.working, pauseAfterError) != nil {
			return e.giveUp(ctx, turn, claim, held, err)
		}
		turn = next // in place: that claims it, should it have been started after all
	}
}

// turn runs one turn and returns the one to go on with: the next, or the same
// once more if the table could not be asked.
func (e *execution) turn(ctx context.Context, turn Turn, claim string) (Turn, error) {
	sent := time.Now()
	err := e.Tokens.claim(e.working, turn, claim, sent)
	if isOver(err) {
		return Turn{}, err
	}
	if err != nil {
		e.problem(fmt.Errorf("turn %d waits: %w", turn.Iteration, err))
		_ = backoff.Sleep(e.working, pauseAfterError)
		return turn.again(claim), nil
	}
	e.report.Turns++
	lease := e.hold(ctx, turn, claim, sent)
	e.work(ctx, lease)
	return turn.next(), lease.end()
}

// work polls until it is time to recurse.
func (e *execution) work(ctx context.Context, lease *lease) {
	after := cmp.Or(e.RecurseAfter, DefaultRecurseAfter)
	for began := time.Now(); ; {
		if err := lease.renew(e.working); err != nil {
			if !isOver(err) {
				e.problem(fmt.Errorf("polling pauses: %w", err))
			}
			return
		}
		e.poll(ctx)
		if time.Since(began) >= after || !e.spare() {
			return
		}
	}
}

// spare tells whether there is time for another poll, and to handle what it
// brings.
func (e *execution) spare() bool {
	return e.working.Err() == nil && (e.total == 0 || time.Since(e.started) < e.total/2)
}

// giveUp marks the token so that the next restart goes on with it at once.
func (e *execution) giveUp(ctx context.Context, turn Turn, claim string, held bool, cause error) error {
	if held {
		if err := e.Tokens.release(ctx, turn, claim); err != nil && !isOver(err) {
			cause = errors.Join(cause, err)
		}
	}
	return fmt.Errorf("sqsloop: the loop of token %s stands until it is restarted: %w", turn.Token, cause)
}
