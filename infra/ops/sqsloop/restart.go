package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Restart brings every queue to its configuration: loops without a heartbeat for
// StaleAfter are replaced, missing ones up to the minimum are added, and
// those beyond the maximum (all, if the queue is stopped) deleted. It is meant to
// be called every minute. Two at once do no harm: a token is taken over only as
// it was read. The error joins those of all queues; the other queues are served.
func (f *Fleet) Restart(ctx context.Context) ([]Change, error) {
	var changes []Change
	var errs []error
	for _, q := range f.Queues {
		done, err := f.restoreQueue(ctx, q.withDefaults())
		changes = append(changes, done...)
		if err != nil {
			errs = append(errs, fmt.Errorf("queue %s: %w", q.URL, err))
		}
	}
	return changes, errors.Join(errs...)
}

func (f *Fleet) restoreQueue(ctx context.Context, q Queue) ([]Change, error) {
	c, tokens, err := f.Tokens.readTokens(ctx, q.URL)
	if err != nil {
		return nil, err
	}
	var changes []Change
	if int(c.loops) != len(tokens) {
		if err := f.Tokens.correctCount(ctx, q.URL, c, len(tokens)); err != nil {
			return nil, err
		}
		changes = append(changes, Change{q.URL, "", "counted", fmt.Sprintf("the count was %d, there are %d tokens", c.loops, len(tokens))})
	}
	if q.Stopped {
		q.Min, q.Max = 0, 0
	}
	more, errMore := f.adjustCount(ctx, q, len(tokens))
	again, errAgain := f.restartStale(ctx, q, tokens)
	return append(append(changes, more...), again...), errors.Join(errMore, errAgain)
}

// adjustCount adds or deletes loops until there are as many as allowed. have is how
// many there were; the count decides.
func (f *Fleet) adjustCount(ctx context.Context, q Queue, have int) (changes []Change, err error) {
	for ; have < q.Min; have++ {
		turn, err := f.Tokens.addLoop(ctx, q.URL, q.Min, time.Now())
		if errors.Is(err, ErrLimit) {
			return changes, nil // another process did
		}
		if err != nil {
			return changes, err
		}
		changes = append(changes, Change{q.URL, turn.Token, "added", "below the minimum"})
		if err := f.startLoop(ctx, turn); err != nil {
			return changes, err
		}
	}
	for ; have > q.Max; have-- {
		token, err := f.Tokens.removeLoop(ctx, q.URL, q.Max)
		if errors.Is(err, ErrLimit) {
			return changes, nil
		}
		if err != nil {
			return changes, err
		}
		changes = append(changes, Change{q.URL, token, "deleted", "above the maximum"})
	}
	return changes, nil
}

// restartStale replaces the loops that have sent no heartbeat for too long.
func (f *Fleet) restartStale(ctx context.Context, q Queue, tokens []token) (changes []Change, err error) {
	if q.Stopped {
		return nil, nil
	}
	var errs []error
	for _, k := range tokens {
		if !k.isStale(time.Now(), q.StaleAfter) {
			continue
		}
		turn, err := f.Tokens.takeOver(ctx, k, time.Now())
		if endsLoop(err) {
			continue // it runs, was restarted, or was deleted
		}
		if err == nil {
			changes = append(changes, Change{q.URL, k.id, "restarted", staleReason(k)})
			err = f.startLoop(ctx, turn)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return changes, errors.Join(errs...)
}

func staleReason(k token) string {
	switch {
	case !k.isUsed:
		return "it has no heartbeat"
	case k.used == 0:
		return "it could not start its next turn"
	}
	return "its last heartbeat was at " + time.UnixMilli(k.used).UTC().Format(time.RFC3339Nano)
}
