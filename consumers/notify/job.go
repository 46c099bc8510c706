package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
)

// job is what is needed to send a notification, now or later, without its template.
type job struct {
	Channels []string          `json:"channels"`
	Delivery template.Delivery `json:"delivery"`
	Message  channel.Message   `json:"message"`
}

// newJob renders the texts. Errors are [ErrInvalid].
func newJob(t *template.Template, user store.User, n Notification) (job, error) {
	m, err := t.Render(user.Settings.Locale, n.Members)
	if err != nil {
		return job{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	m.ID = strconv.Quote(n.Event) + strconv.Quote(n.User) + n.Template // no two identities have the same
	m.User, m.Urgent, m.Expires = n.User, t.Urgent, n.At.Add(t.TTL)
	return job{t.Channels, t.Delivery, m}, nil
}

// encode is the job as a record keeps it.
func (j job) encode() (json.RawMessage, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("encode what is deferred: %w", err)
	}
	return text, nil
}

// addresses are those that have no outcome yet.
func (j job) addresses(user store.User, results map[string]string) []channel.Address {
	var out []channel.Address
	for _, a := range user.Addresses[:min(len(user.Addresses), store.MaxAddresses)] {
		if _, done := results[a.ID()]; !done && slices.Contains(j.Channels, a.Channel) && !slices.Contains(user.Settings.OptOut, a.Channel) {
			out = append(out, a)
		}
	}
	return out
}

// verdict is what is to be done with a notification now.
type verdict struct {
	state store.State // Sending, Deferred or Suppressed
	why   string
	due   time.Time
}

// decide is a pure function of what is known.
func (e *Engine) decide(r store.Record, j job, user store.User, now time.Time) verdict {
	optOut := user.Settings.OptOut
	switch {
	case !now.Before(j.Message.Expires):
		return verdict{state: store.Suppressed, why: "too late"}
	case slices.Contains(optOut, "*") || slices.Contains(optOut, r.Template):
		return verdict{state: store.Suppressed, why: "opted out"}
	case len(j.addresses(user, nil)) == 0:
		return verdict{state: store.Suppressed, why: "no address"}
	}
	due, quiet := e.quietUntil(r.User, user.Settings, now)
	switch {
	case !quiet || j.Message.Urgent:
		return verdict{state: store.Sending}
	case !due.Before(j.Message.Expires):
		return verdict{state: store.Suppressed, why: "too late after quiet hours"}
	}
	return verdict{state: store.Deferred, why: "quiet hours", due: due}
}
