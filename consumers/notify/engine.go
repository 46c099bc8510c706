package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
)

// Defaults of Config.
const (
	DefaultQuiet  = "22:00-07:00"
	DefaultSpread = 10 * time.Minute
	DefaultLease  = time.Minute
	sendTimeout   = 10 * time.Second // of one attempt at one address
)

// DefaultLimit is that of Config.
var DefaultLimit = store.Limit{Burst: 10, Every: 10 * time.Minute}

// Config configures New. Store and Channels are required.
type Config struct {
	Store *store.Store
	// Templates are required for all but [Engine.Sweep].
	Templates template.Set
	// Channels by their names; those of every template.
	Channels map[string]channel.Channel
	// Quiet are the hours in which users are left alone, as "22:00-07:00", or "off".
	Quiet string
	// Zone is that of users who have none. Default UTC.
	Zone *time.Location
	// Spread is over how long after quiet hours what was deferred is sent, each user at a
	// time of their own.
	Spread time.Duration
	// Limit is that of each user. Default DefaultLimit.
	Limit store.Limit
	// Lease is how long a claim lasts: an attempt at all addresses ends after four fifths of it.
	Lease time.Duration
	// Logger gets what goes wrong. Default slog.Default.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Engine sends notifications. It is safe for concurrent use.
type Engine struct {
	cfg   Config
	quiet hours
}

// New checks the configuration and makes an engine.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || len(cfg.Channels) == 0 {
		return nil, errors.New("notify: Config.Store and at least one of Config.Channels are required")
	}
	for _, t := range cfg.Templates {
		for _, name := range t.Channels {
			if cfg.Channels[name] == nil {
				return nil, fmt.Errorf("notify: template %s is sent by %s, which is not configured", t.Name, name)
			}
		}
	}
	quiet, err := parseHours(cmp.Or(cfg.Quiet, DefaultQuiet))
	if err != nil {
		return nil, fmt.Errorf("notify: Config.Quiet: %w", err)
	}
	cfg.Limit.Burst, cfg.Limit.Every = cmp.Or(cfg.Limit.Burst, DefaultLimit.Burst), cmp.Or(cfg.Limit.Every, DefaultLimit.Every)
	cfg.Spread, cfg.Lease = cmp.Or(cfg.Spread, DefaultSpread), cmp.Or(cfg.Lease, DefaultLease)
	cfg.Zone, cfg.Logger = cmp.Or(cfg.Zone, time.UTC), cmp.Or(cfg.Logger, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Engine{cfg, quiet}, nil
}

// Notification is a message for one user.
type Notification struct {
	// User is the recipient's id.
	User string
	// Template names the template, and Members are what its texts need.
	Template string
	Members  map[string]string
	// Event and At are the id and time of what it is about, part of the identity.
	// [Engine.Handler] fills them in.
	Event string
	At    time.Time
}

// maxEvent is how long an event's id may be: it is a part of a sort key.
const maxEvent = 512

// ErrInvalid is returned for a notification that can never be sent: an unknown template, a
// member that is missing, an id that is too long.
var ErrInvalid = errors.New("invalid notification")

// ErrClaimed is returned while another process sends the notification.
var ErrClaimed = errors.New("another process is sending the notification")

// Send sends a notification unless it was sent, or defers or suppresses it. It returns
// what is known of it, and whether this call decided that: false for one that was there.
// Errors are [ErrInvalid], [ErrClaimed], or those of the table; a provider's are in the
// record, since the notification is deferred then.
func (e *Engine) Send(ctx context.Context, n Notification) (r store.Record, decided bool, err error) {
	t := e.cfg.Templates[n.Template]
	if t == nil {
		return r, false, fmt.Errorf("%w: unknown template %q", ErrInvalid, n.Template)
	}
	if len(n.Event) == 0 || len(n.Event) > maxEvent || n.At.IsZero() || n.User == "" || len(n.User) > store.MaxUser {
		return r, false, fmt.Errorf("%w: template %s needs the id of an event (up to %d bytes), its time, and a user (up to %d bytes)",
			ErrInvalid, n.Template, maxEvent, store.MaxUser)
	}
	user, err := e.cfg.Store.User(ctx, n.User)
	if err != nil {
		return r, false, err
	}
	job, err := newJob(t, user, n)
	if err != nil {
		return r, false, err
	}
	r = store.Record{User: n.User, Event: n.Event, Template: n.Template, At: n.At.UTC().Truncate(time.Millisecond)}
	r, err = e.proceed(ctx, nil, r, job, user)
	if !errors.Is(err, store.ErrChanged) {
		return r, err == nil, err
	}
	return e.resume(ctx, r, job, user)
}

// resume continues a notification that is in the table.
func (e *Engine) resume(ctx context.Context, r store.Record, job job, user store.User) (store.Record, bool, error) {
	now := e.cfg.Now()
	switch {
	case r.Final(), r.State == store.Deferred && now.Before(r.Due):
		return r, false, nil
	case r.State == store.Sending && now.Before(r.Lock):
		return r, false, fmt.Errorf("%w %s of event %q until %v", ErrClaimed, r.Template, r.Event, r.Lock)
	}
	old := r
	var err error
	if r.State == store.Sending && job.Delivery == template.AtMostOnce {
		r.State, r.Why, r.Job, r.Due = store.Uncertain, "a process ended while it was sending", nil, time.Time{}
		r, err = e.cfg.Store.Save(ctx, &old, r, nil, now)
	} else {
		r, err = e.proceed(ctx, &old, r, job, user)
	}
	if errors.Is(err, store.ErrChanged) { // by whoever goes on with it
		err = fmt.Errorf("%w: %w", ErrClaimed, err)
	}
	return r, err == nil, err
}
