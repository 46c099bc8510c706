package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// errStale is returned for a notification that was handled before, that is older than
// one that was, or whose loop was already added or removed.
var errStale = errors.New("nothing to do: repeated, late, or done before")

// Fleet starts and ends the loops of all queues. It is safe for concurrent use,
// in any number of processes.
type Fleet struct {
	Queues []Queue
	Tokens *Tokens
	Next   Starter
}

// Change is what was done for one notification or one loop.
type Change struct {
	Queue string
	// Token was added, deleted or restarted; "" if nothing was done.
	Token string
	// Action is "added", "deleted", "restarted", "counted" or "ignored", or
	// "misdirected" for what only a mistake in the wiring can cause.
	Action string
	// Why it was ignored or done.
	Why string
}

const misdirected = "misdirected"

// ScaleUp adds a loop for each alarm that went off, up to the queue's maximum.
// An alarm adds one loop until it is over, however many notifications there are.
// Notifications of other changes are ignored; those that are not about a configured
// queue are misdirected. The error is of tables and functions: retrying is safe and
// useful.
func (f *Fleet) ScaleUp(ctx context.Context, e events.SNSEvent) ([]Change, error) {
	return f.forEachAlarm(ctx, e, Alarm.scalesUp, f.addForAlarm)
}

// ScaleDown removes the loop that an alarm has added when it changes from
// ALARM to OK, down to the queue's minimum.
func (f *Fleet) ScaleDown(ctx context.Context, e events.SNSEvent) ([]Change, error) {
	return f.forEachAlarm(ctx, e, Alarm.scalesDown, f.removeForAlarm)
}

func (f *Fleet) forEachAlarm(ctx context.Context, e events.SNSEvent, wanted func(Alarm) bool,
	do func(context.Context, Queue, Alarm) (Change, error)) ([]Change, error) {
	if len(e.Records) == 0 {
		return []Change{{Action: misdirected, Why: "the event is not a notification of SNS: let the alarm notify a topic, and the topic this function"}}, nil
	}
	var changes []Change
	var errs []error
	for _, record := range e.Records {
		a, err := ParseAlarm(record.SNS)
		if err != nil {
			changes = append(changes, Change{Action: misdirected, Why: err.Error()})
			continue
		}
		q, known := a.queueAmong(f.Queues)
		switch {
		case !known:
			changes = append(changes, Change{Queue: a.QueueURL(), Action: misdirected, Why: "the queue is not in LOOP_QUEUES"})
			continue
		case q.Stopped || !wanted(a):
			changes = append(changes, Change{Queue: q.URL, Action: "ignored", Why: fmt.Sprintf("from %s to %s, stopped: %t", a.Old, a.New, q.Stopped)})
			continue
		}
		change, err := do(ctx, q.withDefaults(), a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		changes = append(changes, change)
	}
	return changes, errors.Join(errs...)
}

func (f *Fleet) addForAlarm(ctx context.Context, q Queue, a Alarm) (Change, error) {
	turn, err := f.Tokens.addLoop(ctx, q.URL, q.Max, time.Now(), f.Tokens.alarmUpdate(q.URL, a, 1,
		"attribute_not_exists(changed) OR (changed < :changed AND added = :other)"))
	switch {
	case errors.Is(err, errStale):
		return f.storeNotification(ctx, q, a, "SET changed = :changed", err)
	case errors.Is(err, ErrLimit):
		return f.storeNotification(ctx, q, a, "SET changed = :changed, added = if_not_exists(added, :zero)", err)
	case err != nil:
		return Change{}, err
	}
	return Change{q.URL, turn.Token, "added", a.ID}, f.startLoop(ctx, turn)
}

func (f *Fleet) removeForAlarm(ctx context.Context, q Queue, a Alarm) (Change, error) {
	token, err := f.Tokens.removeLoop(ctx, q.URL, q.Min, f.Tokens.alarmUpdate(q.URL, a, 0,
		"changed < :changed AND added = :other"))
	if errors.Is(err, errStale) || errors.Is(err, ErrLimit) {
		return f.storeNotification(ctx, q, a, "SET changed = :changed, added = :zero", err)
	}
	if err != nil {
		return Change{}, err
	}
	return Change{q.URL, token, "deleted", a.ID}, nil
}

// alarmUpdate is the part of a transaction that stores an alarm: when it changed last,
// and whether a loop was added for it.
func (t *Tokens) alarmUpdate(queue string, a Alarm, added int64, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: t.table(), Key: key(queue, alarmToken+a.ID),
		UpdateExpression: aws.String("SET changed = :changed, added = :added"), ConditionExpression: &condition,
		ExpressionAttributeValues: item{":changed": dynamo.Int(a.Changed.UnixMilli()), ":added": dynamo.Int(added), ":other": dynamo.Int(1 - added)},
	}}
}

// storeNotification stores a notification that changes no loop, unless a later one is
// stored.
func (f *Fleet) storeNotification(ctx context.Context, q Queue, a Alarm, update string, why error) (Change, error) {
	values := item{":changed": dynamo.Int(a.Changed.UnixMilli())}
	if update != "SET changed = :changed" {
		values[":zero"] = dynamo.Int(0)
	}
	err := f.Tokens.retry(ctx, func(ctx context.Context) error {
		_, err := f.Tokens.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: f.Tokens.table(), Key: key(q.URL, alarmToken+a.ID), UpdateExpression: &update,
			ConditionExpression:       aws.String("attribute_not_exists(changed) OR changed < :changed"),
			ExpressionAttributeValues: values,
		})
		return err
	})
	if err != nil && !dynamo.IsConditionFailed(err) {
		return Change{}, fmt.Errorf("sqsloop: store alarm %s: %w", a.ID, err)
	}
	return Change{Queue: q.URL, Action: "ignored", Why: why.Error()}, nil
}

// startLoop invokes a new loop. If that fails the token is marked, so that the next
// restart does it.
func (f *Fleet) startLoop(ctx context.Context, turn Turn) error {
	err := f.Next.Start(ctx, turn)
	if err == nil {
		return nil
	}
	if released := f.Tokens.markUnclaimedForRestart(ctx, turn); released != nil && !endsLoop(released) {
		err = errors.Join(err, released)
	}
	return err
}
