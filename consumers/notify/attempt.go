package notify

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// retries are the pauses after a provider's refusals, and saveTimeout is how long an
// outcome may take to be stored, also after the invocation's end.
var retries = backoff.Backoff{Min: 15 * time.Second, Max: 30 * time.Minute}

const saveTimeout = 5 * time.Second

// proceed decides what is to be done with r now, writes it over old, and sends where that
// is what is to be done. The limit counts the first attempt.
func (e *Engine) proceed(ctx context.Context, old *store.Record, r store.Record, j job, user store.User) (store.Record, error) {
	now := e.cfg.Now()
	v := e.decide(r, j, user, now)
	if v.state == store.Suppressed && r.Attempts > 0 { // what did not get through, and now is too late or not wanted
		v.state, v.why = conclusion(r.Results), v.why+", after: "+r.Why
	}
	if v.state == store.Sending {
		return e.claim(ctx, old, r, j, user)
	}
	r.State, r.Why, r.Due, r.Job = v.state, v.why, v.due, nil
	if v.state == store.Deferred {
		var err error
		if r.Job, err = j.encode(); err != nil {
			return r, err
		}
	}
	return e.cfg.Store.Save(ctx, old, r, nil, now)
}

func (e *Engine) claim(ctx context.Context, old *store.Record, r store.Record, j job, user store.User) (store.Record, error) {
	now := e.cfg.Now()
	limit := &e.cfg.Limit
	if r.Attempts > 0 || j.Message.Urgent {
		limit = nil
	}
	next := r
	next.State, next.Why, next.Lock, next.Attempts = store.Sending, "", now.Add(e.cfg.Lease).UTC(), r.Attempts+1
	claimed, err := e.cfg.Store.Save(ctx, old, next, limit, now)
	if errors.Is(err, store.ErrLimited) {
		r.State, r.Why, r.Due, r.Job = store.Suppressed, "limit", time.Time{}, nil
		return e.cfg.Store.Save(ctx, old, r, nil, now)
	}
	if err != nil {
		return claimed, err
	}
	return e.attempt(ctx, claimed, j, user)
}

// attempt sends to each address that has no outcome, and stores what became of it.
func (e *Engine) attempt(ctx context.Context, r store.Record, j job, user store.User) (store.Record, error) {
	old := r
	sending, cancel := context.WithTimeout(ctx, e.cfg.Lease*4/5) // the claim outlasts the attempt and saveTimeout
	defer cancel()
	results := make(map[string]string, len(user.Addresses))
	maps.Copy(results, r.Results)
	var again *channel.Error
	for _, a := range j.addresses(user, results) {
		failed := e.sendTo(sending, a, j)
		if failed == nil {
			results[a.ID()] = string(store.Sent)
			continue
		}
		r.Why = failed.Error()
		e.cfg.Logger.WarnContext(ctx, "a notification was not accepted", "template", r.Template, "event", r.Event, "address", a.ID(), "error", failed)
		switch {
		case failed.Verdict == channel.Gone:
			results[a.ID()] = failed.Verdict.String()
			e.prune(ctx, r.User, a, failed.Since)
		case failed.Verdict == channel.Rejected:
			results[a.ID()] = failed.Verdict.String()
		case failed.Verdict == channel.Unknown && j.Delivery == template.AtMostOnce:
			results[a.ID()] = string(store.Uncertain)
		case again == nil || failed.After > again.After:
			again = failed
		}
	}
	r.Results = results
	return e.finish(ctx, &old, r, j, again)
}

// sendTo makes one attempt at one address.
func (e *Engine) sendTo(ctx context.Context, a channel.Address, j job) *channel.Error {
	by := e.cfg.Channels[a.Channel]
	if by == nil {
		return channel.Errorf(channel.Denied, "channel %s is not configured here", a.Channel)
	}
	if ctx.Err() != nil {
		return channel.Errorf(channel.Refused, "out of time: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return channel.VerdictOf(by.Send(ctx, a, j.Message))
}

// prune removes an address that is gone. A failure costs one more attempt at it some day.
func (e *Engine) prune(ctx context.Context, user string, a channel.Address, since time.Time) {
	if since.IsZero() {
		since = e.cfg.Now()
	}
	if err := e.cfg.Store.Prune(ctx, user, a, since); err != nil {
		e.cfg.Logger.WarnContext(ctx, "an address that is gone stays", "address", a.ID(), "error", err)
	}
}

// finish stores the outcome of an attempt; again is why there must be another one.
func (e *Engine) finish(ctx context.Context, old *store.Record, r store.Record, j job, again *channel.Error) (store.Record, error) {
	now := e.cfg.Now()
	r.State, r.Due, r.Job = conclusion(r.Results), time.Time{}, nil
	if again != nil {
		due := now.Add(max(again.After, retries.Delay(r.Attempts-1))).UTC().Truncate(time.Millisecond)
		r.Why = again.Error()
		if due.Before(j.Message.Expires) {
			var err error
			if r.Job, err = j.encode(); err != nil {
				return r, err
			}
			r.State, r.Due = store.Deferred, due
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return e.cfg.Store.Save(ctx, old, r, nil, now)
}

// conclusion is the state of a notification whose attempts are over.
func conclusion(results map[string]string) store.State {
	state := store.Failed
	for _, result := range results {
		switch store.State(result) {
		case store.Sent:
			return store.Sent
		case store.Uncertain:
			state = store.Uncertain
		}
	}
	return state
}
