package notify

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
)

// MaxPerEvent is how many notifications one event may cause.
const MaxPerEvent = 100

// Rule says who is notified of an event, and of what. It decides by the message alone, so
// that each delivery gives the same. At most one notification for a user and a template.
type Rule func(consumers.Message) []Notification

// Handler sends what a rule gives. Every notification of an event is tried before an
// error is returned: [consumers.Permanent] for those that can never be sent, and
// [consumers.Unavailable] for the table's, and for one that another process is sending.
func (e *Engine) Handler(rule Rule) consumers.Handler {
	return func(ctx context.Context, m consumers.Message) error {
		all := rule(m)
		if len(all) > MaxPerEvent {
			return consumers.Permanent(fmt.Errorf("notify: %s %s has %d recipients, more than %d: send a list", m.Event.Type, m.Event.ID, len(all), MaxPerEvent))
		}
		var invalid, unavailable []error
		stale := len(all) > 0
		for _, n := range all {
			n.Event, n.At = m.Event.ID, m.Event.Time
			_, decided, err := e.Send(ctx, n)
			stale = stale && !decided && err == nil
			switch {
			case errors.Is(err, ErrInvalid):
				invalid = append(invalid, err)
			case err != nil:
				unavailable = append(unavailable, err)
			}
		}
		switch {
		case len(unavailable) > 0:
			return classify(errors.Join(unavailable...))
		case len(invalid) > 0:
			return consumers.Permanent(errors.Join(invalid...))
		case stale:
			return consumers.ErrStale
		}
		return nil
	}
}

// classify is that of package once but for a claim, which is over after its lease.
func classify(err error) error {
	if errors.Is(err, ErrClaimed) {
		return consumers.Unavailable(err)
	}
	return once.Classify(err)
}
