package entity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/direct"
)

// Tell makes the events of a write: of a document that is made there is no before, of one that
// is deleted no after. The events' partition keys must be the same for all events of one document.
type Tell func(ctx context.Context, before, after bson.Raw) ([]events.Event, error)

// Options of a write. The zero value asks for nothing.
type Options struct {
	// IfVersion is the version that the document must have.
	IfVersion *int64
	// Tell makes the events of the write.
	Tell Tell
	// Mark changes a document, without the outbox's fields, before it is stored as a version.
	Mark func(doc bson.Raw, version int64) (bson.Raw, error)
}

// Written is the outcome of a write.
type Written struct {
	// Doc is the document as it is stored, or as it was where it is deleted.
	Doc     bson.Raw
	Version int64
	// Position is that of the last event of the write; zero where there is none, or it is
	// not known, as the write is a repeated one.
	Position events.Position
	// Repeated says that the effect was there before.
	Repeated bool
}

// ErrUnchanged is for a change to return that has nothing to do: nothing is written, and the
// document is returned as one that is Repeated.
var ErrUnchanged = errors.New("unchanged")

// attempts bounds how often a write is tried again that lost a race.
const attempts = 16

// betweenRaces is the pause before a write that lost a race is made anew.
var betweenRaces = backoff.Backoff{Min: time.Millisecond, Max: 200 * time.Millisecond}

// Create makes a document, with the version 1 if its id is a new one. Where the very document is
// there, it is Repeated. ErrInvalid, ErrExists with the document that there is, [TakenError],
// ErrUnfit, ErrNotPublished.
func (s *Store) Create(ctx context.Context, doc bson.Raw, o Options) (Written, error) {
	id, err := s.idOf(doc.Lookup("_id"))
	if err != nil {
		return Written{}, err
	}
	w := write{s: s, id: id, o: o}
	version := int64(1)
	err = w.run(ctx, func(ctx context.Context, b Backend, g ownership.Grant) error {
		change := Write{ID: id}
		if change.After, err = w.next(nil, doc, version); err != nil {
			return err
		}
		left, err := w.attempt(ctx, change, func(change Write) (direct.Write, error) { return b.Insert(ctx, g, change) })
		if deleted := (*DeletedError)(nil); errors.As(err, &deleted) {
			version = deleted.Version + 1
			return ErrChanged
		}
		if !errors.Is(err, ErrExists) {
			return w.done(change.After, left, err)
		}
		docs, readErr := b.Get(ctx, g, id)
		switch {
		case readErr != nil:
			return readErr
		case len(docs) == 0:
			return ErrChanged
		}
		// It may have been made before as another version, behind one that was deleted.
		if again, err := w.next(nil, doc, s.Version(docs[0])); err == nil && s.same(docs[0], again) {
			return w.found(b, docs[0])
		}
		w.result = Written{Doc: s.clean(docs[0]), Version: s.Version(docs[0]), Repeated: true}
		return err
	})
	return w.result, s.told(err, "create", id)
}

// Update changes a document by a function of the current one, without the outbox's fields. The
// version is the store's. ErrNotFound, [VersionError], [TakenError], ErrUnfit, ErrConflict,
// ErrNotPublished, and what change returns; with ErrUnchanged there is no error.
func (s *Store) Update(ctx context.Context, id any, change func(current bson.Raw) (bson.Raw, error), o Options) (Written, error) {
	v, err := s.idOf(id)
	if err != nil {
		return Written{}, err
	}
	w := write{s: s, id: v, o: o}
	err = w.run(ctx, func(ctx context.Context, b Backend, g ownership.Grant) error {
		before, err := w.before(ctx, b, g)
		if err != nil {
			return err
		}
		next, err := change(s.clean(before))
		if errors.Is(err, ErrUnchanged) {
			return w.found(b, before)
		}
		if err := w.check(before); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		if got := next.Lookup("_id"); codec.Identity(got) != codec.Identity(v) {
			return fmt.Errorf("%w: a change cannot give a document another id", ErrInvalid)
		}
		c := Write{ID: v, Before: before}
		if c.After, err = w.next(before, next, s.Version(before)+1); err != nil {
			return err
		}
		left, err := w.attempt(ctx, c, func(c Write) (direct.Write, error) { return b.Replace(ctx, g, c) })
		return w.done(c.After, left, err)
	})
	return w.result, s.told(err, "change", v)
}

// Delete removes a document, and returns it. ErrNotFound, [VersionError], ErrNotPublished.
func (s *Store) Delete(ctx context.Context, id any, o Options) (Written, error) {
	v, err := s.idOf(id)
	if err != nil {
		return Written{}, err
	}
	w := write{s: s, id: v, o: o}
	err = w.run(ctx, func(ctx context.Context, b Backend, g ownership.Grant) error {
		before, err := w.before(ctx, b, g)
		if err == nil {
			err = w.check(before)
		}
		if err != nil {
			return err
		}
		c := Write{ID: v, Before: before}
		left, err := w.attempt(ctx, c, func(c Write) (direct.Write, error) { return b.Delete(ctx, g, c) })
		return w.done(before, left, err)
	})
	return w.result, s.told(err, "delete", v)
}

func (s *Store) told(err error, what string, id bson.RawValue) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %s: %w", what, s.cfg.Plan.Entity, codec.Show(id), err)
}

// write is one write under way.
type write struct {
	s      *Store
	id     bson.RawValue
	o      Options
	events []events.Event
	left   direct.Write
	again  bool // its events may be published already, at a position that is not known
	result Written
}

// run makes attempts until one does not lose a race, and publishes.
func (w *write) run(ctx context.Context, attempt func(context.Context, Backend, ownership.Grant) error) error {
	release, err := w.s.lock(ctx, w.id)
	if err != nil {
		return err
	}
	defer release()
	err = w.s.write(ctx, func(ctx context.Context, b Backend, g ownership.Grant) (err error) {
		for i := range attempts {
			if err = attempt(ctx, b, g); !errors.Is(err, ErrChanged) {
				return err
			}
			if waitErr := betweenRaces.Wait(ctx, i); waitErr != nil {
				return errors.Join(err, waitErr)
			}
		}
		return fmt.Errorf("%w: %w", ErrConflict, err)
	})
	if err != nil {
		return err
	}
	return w.publish(ctx)
}

// before is the document as it is.
func (w *write) before(ctx context.Context, b Backend, g ownership.Grant) (bson.Raw, error) {
	docs, err := b.Get(ctx, g, w.id)
	if err == nil && len(docs) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return docs[0], nil
}

func (w *write) check(before bson.Raw) error {
	if is := w.s.Version(before); w.o.IfVersion != nil && *w.o.IfVersion != is {
		return &VersionError{Version: is}
	}
	return nil
}

// attempt sends a write with its events.
func (w *write) attempt(ctx context.Context, c Write, send func(Write) (direct.Write, error)) (direct.Write, error) {
	c.Final = w.s.cfg.Member.Record().Phase == ownership.Complete
	if w.o.Tell == nil {
		return send(c)
	}
	if w.s.cfg.Outbox == nil {
		return direct.Write{}, fmt.Errorf("%w: the store has no outbox for the events of the write", ErrInvalid)
	}
	if err := w.tell(ctx, c.Before, c.After); err != nil {
		return direct.Write{}, err
	}
	c.Events = w.events
	return send(c)
}

func (w *write) tell(ctx context.Context, before, after bson.Raw) (err error) {
	if w.events, err = w.o.Tell(ctx, w.s.clean(before), after); err != nil {
		return fmt.Errorf("make the events: %w", err)
	}
	return nil
}

// done ends an attempt.
func (w *write) done(doc bson.Raw, left direct.Write, err error) error {
	if err == nil {
		w.left, w.result = left, Written{Doc: w.s.clean(doc), Version: w.s.Version(doc)}
	}
	return err
}

// found ends a write whose effect is there.
func (w *write) found(b Backend, doc bson.Raw) (err error) {
	w.left, err = b.Waiting(w.id)
	w.again = true
	w.result = Written{Doc: w.s.clean(doc), Version: w.s.Version(doc), Repeated: true}
	return err
}

// publish publishes the events of the write.
func (w *write) publish(ctx context.Context) (err error) {
	if w.o.Tell == nil || w.s.cfg.Outbox == nil || !w.again && len(w.events) == 0 {
		return nil
	}
	w.result.Position, err = w.s.cfg.Outbox.Publish(ctx, w.left)
	switch {
	case err == nil:
		return nil
	case !w.again || !errors.Is(err, direct.ErrElsewhere):
		return fmt.Errorf("%w: %w", ErrNotPublished, err)
	case w.s.cfg.Publisher == nil:
		return nil
	}
	if w.events == nil {
		if err := w.tell(ctx, w.result.Doc, w.result.Doc); err != nil {
			return fmt.Errorf("%w: %w", ErrNotPublished, err)
		}
	}
	for _, e := range w.events {
		if w.result.Position, err = w.s.cfg.Publisher.Publish(ctx, e); err != nil {
			return fmt.Errorf("publish %s of %s again: %w: %w", e.Type, e.Subject, ErrNotPublished, err)
		}
	}
	return nil
}

// next is a document as it will be stored, with a version and without what is the outbox's. It
// must fit into both databases.
func (w *write) next(before, doc bson.Raw, version int64) (_ bson.Raw, err error) {
	s := w.s
	if doc = s.clean(doc); w.o.Mark != nil {
		if doc, err = w.o.Mark(doc, version); err != nil {
			return nil, err
		}
	}
	doc, err = withVersion(doc, s.cfg.Plan.VersionField, version)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, _, err := s.cfg.Plan.Fit(doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return doc, s.checkNulls(before, doc)
}

// checkNulls refuses a null that comes into a unique field: an index of MongoDB takes it for a
// value, of which there is one, and the plan does not.
func (s *Store) checkNulls(before, after bson.Raw) error {
	for i := range s.cfg.Plan.Unique {
		for _, name := range s.cfg.Plan.Unique[i].Names() {
			if after.Lookup(name).Type == bson.TypeNull && before.Lookup(name).Type != bson.TypeNull {
				return fmt.Errorf("%w: %q is unique, and cannot become null: leave it out", ErrInvalid, name)
			}
		}
	}
	return nil
}

// same reports whether two documents are the same for whoever reads them.
func (s *Store) same(a, b bson.Raw) bool { return s.differ(s.codec.Kept(a), s.codec.Kept(b)) == "" }
