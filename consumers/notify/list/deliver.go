package list

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
)

// What becomes of a recipient, besides the states of package store and the verdicts of
// package channel.
const (
	Invalid   = "invalid"   // the row cannot be read, or lacks a member
	Duplicate = "duplicate" // the recipient was further up in the list
	Ready     = "ready"     // by a dry run
)

// Campaign is what is sent.
type Campaign struct {
	// Name is the event's id of notifications to users.
	Name string
	// Template is sent.
	Template *template.Template
	// Channels are for rows with a token.
	Channels map[string]channel.Channel
	// Engine is for rows with a user; nil refuses them.
	Engine *notify.Engine
}

// deliver makes one attempt at a recipient. It returns what became of it, or an error that
// says whether there may be another attempt.
func (c Campaign) deliver(ctx context.Context, r Row, started time.Time) (string, *channel.Error) {
	if r.User != "" {
		return c.toUser(ctx, r, started)
	}
	m, err := c.render(r)
	if err != nil {
		return Invalid, nil
	}
	m.ID, m.Urgent, m.Expires = c.Name+"\x00"+c.Template.Name+"\x00"+r.Token, c.Template.Urgent, started.Add(c.Template.TTL)
	failed := channel.VerdictOf(c.Channels[r.Channel].Send(ctx, r.Address, m))
	switch {
	case failed == nil:
		return string(store.Sent), nil
	case failed.Verdict == channel.Gone, failed.Verdict == channel.Rejected:
		return failed.Verdict.String(), nil
	}
	return "", failed
}

// render checks what can be checked without sending.
func (c Campaign) render(r Row) (channel.Message, error) {
	if err := r.Validate(); err != nil {
		return channel.Message{}, err
	}
	switch {
	case r.User != "" && c.Engine == nil:
		return channel.Message{}, errors.New("users need a table")
	case r.User == "" && c.Channels[r.Channel] == nil:
		return channel.Message{}, fmt.Errorf("channel %s is not configured", r.Channel)
	}
	return c.Template.Render(r.Locale, r.Members)
}

// toUser sends by the engine, which knows whether it was sent before: any failure may be
// tried again.
func (c Campaign) toUser(ctx context.Context, r Row, started time.Time) (string, *channel.Error) {
	if _, err := c.render(r); err != nil {
		return Invalid, nil
	}
	record, _, err := c.Engine.Send(ctx, notify.Notification{
		User: r.User, Template: c.Template.Name, Members: r.Members, Event: c.Name, At: started,
	})
	switch {
	case errors.Is(err, notify.ErrInvalid):
		return Invalid, nil
	case err != nil:
		return "", channel.Errorf(channel.Refused, "%w", err)
	}
	return string(record.State), nil
}
