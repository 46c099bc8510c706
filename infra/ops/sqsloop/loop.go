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

// defaultRecurseAfter is how long a turn polls.
const defaultRecurseAfter = 30 * time.Second

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
	// RecurseAfter is how long a turn polls before it starts the next one. 0: 30 s. Negative: each turn polls once.
	RecurseAfter time.Duration
	// Region is the region in events where the queue's URL names none.
	Region string
}

// Report is the result of one invocation.
type Report struct {
	Turn Turn
	// Turns is how many turns were run: more than one where Lambda would not
	// start the next.
	Turns int
	// Over is why the loop ended here: [ErrGone], [ErrTakenOver] or [ErrDuplicate];
	// nil if it continues.
	Over error
	// Polls were made and brought Received messages, of which Deleted were
	// handled and Failed will be redelivered. Undeleted were handled and will be
	// redelivered all the same.
	Polls, Received, Deleted, Failed, Undeleted int
	// Problems are errors that did not end the loop, the first few.
	Problems []error
}

const maxProblems = 10

// pauseAfterError is how long a loop waits when a service does not answer.
const pauseAfterError = time.Second

// Run runs a turn: it claims it, polls and handles messages, and starts the
// next. It returns nil when the next turn was started or the loop is over. An
// error means that neither was possible before ctx's deadline; the restart
// function then starts a new loop for the token.
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
	err := e.runTurns(ctx, turn)
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

func (e *execution) recordProblem(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && len(e.report.Problems) < maxProblems {
		e.report.Problems = append(e.report.Problems, err)
	}
}

// runTurns runs turns until the next one was started elsewhere.
func (e *execution) runTurns(ctx context.Context, turn Turn) error {
	for {
		claim := e.Tokens.newID()
		next, err := e.runTurn(ctx, turn, claim)
		if endsLoop(err) {
			e.report.Over = err
			return nil
		}
		held := next.Iteration > turn.Iteration
		if err = e.Next.Start(ctx, next); err == nil {
			return nil
		}
		e.recordProblem(err)
		if !e.hasTimeForPoll() || backoff.Sleep(e.working, pauseAfterError) != nil {
			return e.releaseToken(ctx, turn, claim, held, err)
		}
		turn = next // in place: that claims it, should it have been started after all
	}
}

// runTurn runs one turn and returns the one to start: the next, or the same again if
// the table could not be written.
func (e *execution) runTurn(ctx context.Context, turn Turn, claim string) (Turn, error) {
	sent := time.Now()
	err := e.Tokens.claimTurn(e.working, turn, claim, sent)
	if endsLoop(err) {
		return Turn{}, err
	}
	if err != nil {
		e.recordProblem(fmt.Errorf("claim turn %d: %w", turn.Iteration, err))
		_ = backoff.Sleep(e.working, pauseAfterError)
		return turn.withTried(claim), nil
	}
	e.report.Turns++
	lease := e.startLease(ctx, turn, claim, sent)
	e.pollUntilDue(ctx, lease)
	return turn.nextTurn(), lease.stopHeartbeats()
}

// pollUntilDue polls until it is time to start the next turn.
func (e *execution) pollUntilDue(ctx context.Context, lease *lease) {
	after := cmp.Or(e.RecurseAfter, defaultRecurseAfter)
	for began := time.Now(); ; {
		if err := lease.ensureHeld(e.working); err != nil {
			if !endsLoop(err) {
				e.recordProblem(fmt.Errorf("confirm the lease, so polling pauses: %w", err))
			}
			return
		}
		e.poll(ctx)
		if time.Since(began) >= after || !e.hasTimeForPoll() {
			return
		}
	}
}

// hasTimeForPoll reports whether there is time for another poll and its messages.
func (e *execution) hasTimeForPoll() bool {
	return e.working.Err() == nil && (e.total == 0 || time.Since(e.started) < e.total/2)
}

// releaseToken marks the token, so that the next restart starts a new loop at once.
func (e *execution) releaseToken(ctx context.Context, turn Turn, claim string, held bool, cause error) error {
	if held {
		if err := e.Tokens.markForRestart(ctx, turn, claim); err != nil && !endsLoop(err) {
			cause = errors.Join(cause, err)
		}
	}
	return fmt.Errorf("sqsloop: the loop of token %s is stopped until the restart function starts it: %w", turn.Token, cause)
}
