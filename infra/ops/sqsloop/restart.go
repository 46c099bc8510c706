package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Restart brings every queue to what is configured: loops that have been silent
// for StaleAfter are replaced, missing ones up to the minimum are added, and
// those beyond the maximum (all, if the queue is stopped) deleted. It is meant to
// be called every minute. Two at once do no harm: a token is taken over only as
// it was read. The error joins those of all queues; the other queues are served.
func (f *Fleet) Restart(ctx context.Context) ([]Change, error) {
	var changes []Change
	var errs []error
	for _, q := range f.Queues {
		done, err := f.restore(ctx, q.withDefaults())
		changes = append(changes, done...)
		if err != nil {
			errs = append(errs, fmt.Errorf("queue %s: %w", q.URL, err))
		}
	}
	return changes, errors.Join(errs...)
}

func (f *Fleet) restore(ctx context.Context, q Queue) ([]Change, error) {
	c, tokens, err := f.Tokens.read(ctx, q.URL)
	if err != nil {
		return nil, err
	}
	var changes []Change
	if int(c.loops) != len(tokens) {
		if err := f.Tokens.repair(ctx, q.URL, c, len(tokens)); err != nil {
			return nil, err
		}
		changes = append(changes, Change{q.URL, "", "counted", fmt.Sprintf("the count said %d, there are %d", c.loops, len(tokens))})
	}
	if q.Stopped {
		q.Min, q.Max = 0, 0
	}
	more, errMore := f.fit(ctx, q, len(tokens))
	again, errAgain := f.revive(ctx, q, tokens)
	return append(append(changes, more...), again...), errors.Join(errMore, errAgain)
}

// fit adds or deletes loops until there are as many as allowed. have is how
// many there were; the count decides.
func (f *Fleet) fit(ctx context.Context, q Queue, have int) (changes []Change, err error) {
	for ; have < q.Min; have++ {
		turn, err := f.Tokens.up(ctx, q.URL, q.Min, time.Now())
		if errors.Is(err, ErrLimit) {
			return changes, nil // somebody else did
		}
		if err != nil {
			return changes, err
		}
		changes = append(changes, Change{q.URL, turn.Token, "added", "below the minimum"})
		if err := f.start(ctx, turn); err != nil {
			return changes, err
		}
	}
	for ; have > q.Max; have-- {
		token, err := f.Tokens.down(ctx, q.URL, q.Max)
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

// revive replaces the loops that have been silent for too long.
func (f *Fleet) revive(ctx context.Context, q Queue, tokens []token) (changes []Change, err error) {
	if q.Stopped {
		return nil, nil
	}
	var errs []error
	for _, k := range tokens {
		if !k.stale(time.Now(), q.StaleAfter) {
			continue
		}
		turn, err := f.Tokens.takeOver(ctx, k, time.Now())
		if isOver(err) {
			continue // it lives, or is restarted, or gone
		}
		if err == nil {
			changes = append(changes, Change{q.URL, k.id, "restarted", silence(k)})
			err = f.start(ctx, turn)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return changes, errors.Join(errs...)
}

func silence(k token) string {
	switch {
	case !k.isUsed:
		return "it was never heard of"
	case k.used == 0:
		return "it could not start its next turn"
	}
	return "it was last heard of at " + time.UnixMilli(k.used).UTC().Format(time.RFC3339Nano)
}
