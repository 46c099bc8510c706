package users

import (
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/events"
)

// MakeEvents makes the events of a write from the user as it will be stored.
type MakeEvents func(User) ([]events.Event, error)

// Pending holds the events that a store keeps until they are on the stream.
type Pending struct {
	// Events of the write, empty where the store keeps none, or where nothing was
	// written because an earlier attempt had done it.
	Events []events.Event
	// Acknowledge is called once all of them are on the stream; nil where there are
	// none. It returns at once.
	Acknowledge func()
}

// EventKeeper is a [Store] that keeps the events of a write in the same atomic step
// as the write, so that another process can publish them if this one dies before it
// does. MakeEvents is called again for each attempt at a write.
type EventKeeper interface {
	// CreateWithEvents is Store.Create.
	CreateWithEvents(ctx context.Context, epoch int64, u User, makeEvents MakeEvents) (User, bool, Pending, error)
	// UpdateWithEvents is Store.Update.
	UpdateWithEvents(ctx context.Context, epoch int64, id string, c Change, makeEvents MakeEvents) (User, Pending, error)
}

// createUser stores a user, with its events if the store keeps events.
func createUser(ctx context.Context, store Store, epoch int64, u User, makeEvents MakeEvents) (User, bool, Pending, error) {
	if k, ok := store.(EventKeeper); ok {
		return k.CreateWithEvents(ctx, epoch, u, makeEvents)
	}
	stored, created, err := store.Create(ctx, epoch, u)
	return stored, created, Pending{}, err
}

// updateUser changes a user, with its events if the store keeps events.
func updateUser(ctx context.Context, store Store, epoch int64, id string, c Change, makeEvents MakeEvents) (User, Pending, error) {
	if k, ok := store.(EventKeeper); ok {
		return k.UpdateWithEvents(ctx, epoch, id, c, makeEvents)
	}
	u, err := store.Update(ctx, epoch, id, c)
	return u, Pending{}, err
}

// eventsOfCreate makes the events that say that a user exists. A repeated create may
// find a user that has changed since: its profile is published too.
func (s *Service) eventsOfCreate(ctx context.Context) MakeEvents {
	return func(u User) ([]events.Event, error) {
		facts := []events.Payload{joined(u)}
		if u.Bio != "" || u.Version > 1 {
			facts = append(facts, profileUpdated(u))
		}
		return s.newEvents(ctx, facts...)
	}
}

func (s *Service) eventsOfUpdate(ctx context.Context) MakeEvents {
	return func(u User) ([]events.Event, error) { return s.newEvents(ctx, profileUpdated(u)) }
}

func (s *Service) newEvents(ctx context.Context, facts ...events.Payload) ([]events.Event, error) {
	all := make([]events.Event, len(facts))
	for i, fact := range facts {
		e, err := events.New(ctx, s.cfg.Source, fact)
		if err != nil {
			return nil, err
		}
		all[i] = e
	}
	return all, nil
}

// publish puts the events of a write on the stream, in order, and returns the
// position of the last: those that the store keeps, or else what makeEvents makes.
func (s *Service) publish(ctx context.Context, pending Pending, u User, makeEvents MakeEvents) (events.Position, error) {
	all := pending.Events
	if len(all) == 0 {
		var err error
		if all, err = makeEvents(u); err != nil {
			return events.Position{}, fmt.Errorf("make the events of user %s: %w: %w", u.ID, ErrNotPublished, err)
		}
	}
	var last events.Position
	for _, e := range all {
		var err error
		if last, err = s.cfg.Publisher.Publish(ctx, e); err != nil {
			return events.Position{}, fmt.Errorf("publish %s of %s: %w: %w", e.Type, e.Subject, ErrNotPublished, err)
		}
		s.published.Add(1)
	}
	if pending.Acknowledge != nil {
		pending.Acknowledge()
	}
	return last, nil
}
