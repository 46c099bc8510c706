package users

import (
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/events"
)

// Tell makes the events of a write from the user as it will be stored.
type Tell func(User) ([]events.Event, error)

// Kept is the events that a store keeps until they are on the stream.
type Kept struct {
	// Events of the write, empty where the store keeps none: nothing was written,
	// because an earlier attempt had done it.
	Events []events.Event
	// Forget is called once all of them are on the stream; nil where there are
	// none. It returns at once.
	Forget func()
}

// Teller is a [Store] that keeps the events of a write in the same atomic step
// as the write, for somebody to publish should this process not get to it. Tell
// is called anew for each attempt at a write.
type Teller interface {
	// CreateTelling is Store.Create.
	CreateTelling(ctx context.Context, epoch int64, u User, tell Tell) (User, bool, Kept, error)
	// UpdateTelling is Store.Update.
	UpdateTelling(ctx context.Context, epoch int64, id string, c Change, tell Tell) (User, Kept, error)
}

// create stores a user, with its events where the store can.
func create(ctx context.Context, store Store, epoch int64, u User, tell Tell) (User, bool, Kept, error) {
	if t, ok := store.(Teller); ok {
		return t.CreateTelling(ctx, epoch, u, tell)
	}
	stored, created, err := store.Create(ctx, epoch, u)
	return stored, created, Kept{}, err
}

// update changes a user, with its events where the store can.
func update(ctx context.Context, store Store, epoch int64, id string, c Change, tell Tell) (User, Kept, error) {
	if t, ok := store.(Teller); ok {
		return t.UpdateTelling(ctx, epoch, id, c, tell)
	}
	u, err := store.Update(ctx, epoch, id, c)
	return u, Kept{}, err
}

// tellCreate tells that a user is there, as much of it as a repeated create finds.
func (s *Service) tellCreate(ctx context.Context) Tell {
	return func(u User) ([]events.Event, error) {
		facts := []events.Payload{joined(u)}
		if u.Bio != "" || u.Version > 1 {
			facts = append(facts, profileUpdated(u))
		}
		return s.mint(ctx, facts...)
	}
}

func (s *Service) tellUpdate(ctx context.Context) Tell {
	return func(u User) ([]events.Event, error) { return s.mint(ctx, profileUpdated(u)) }
}

func (s *Service) mint(ctx context.Context, facts ...events.Payload) ([]events.Event, error) {
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
// position of the last: those that the store keeps, or else what tell makes.
func (s *Service) publish(ctx context.Context, kept Kept, u User, tell Tell) (events.Position, error) {
	all := kept.Events
	if len(all) == 0 {
		var err error
		if all, err = tell(u); err != nil {
			return events.Position{}, fmt.Errorf("tell of user/%s: %w: %w", u.ID, ErrNotPublished, err)
		}
	}
	var last events.Position
	for _, e := range all {
		var err error
		if last, err = s.cfg.Publisher.Publish(ctx, e); err != nil {
			return events.Position{}, fmt.Errorf("%s of %s: %w: %w", e.Type, e.Subject, ErrNotPublished, err)
		}
		s.published.Add(1)
	}
	if kept.Forget != nil {
		kept.Forget()
	}
	return last, nil
}
