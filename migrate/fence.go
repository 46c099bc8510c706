package migrate

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// fence makes MongoDB itself refuse writes to the collection: the collection is renamed
// to the fenced name, and a read-only view takes its own name. A writer that slips in
// between recreates the collection; its documents are acknowledged writes, so that
// collection is set aside under a name that the changes follow too. There are as many
// attempts as the context has time for, each of two commands only.
//
// MongoDB's commands name a collection, not what the sender believes it to be. So a
// process fences or unfences within a lease only: for as long as the plan's hold,
// counted from before it wrote itself into the ownership record, while all others wait
// until the record was unchanged for longer than that. The driver passes the end of the
// lease on to the server.
type fence struct {
	e         *Engine
	epoch     int64
	lease     int64 // revision of the record; makes the names of recreated collections unique
	recreated int   // set aside so far
	clashed   map[string]bool
}

func (e *Engine) newFence(rec ownership.Record) *fence {
	return &fence{e: e, epoch: rec.Epoch, lease: rec.Revision, clashed: map[string]bool{}}
}

// fenceState is what there is of a fence.
type fenceState struct {
	fenced    bool   // the collection has its fenced name
	own       string // what has its own name: "collection", "view", or "" for nothing
	recreated []string
}

func (f *fence) inspect(ctx context.Context) (fenceState, error) {
	s := f.e.source
	kinds, err := s.Kinds(ctx)
	return fenceState{kinds[s.FencedName(f.epoch)] != "", kinds[s.Name], s.RecreatedIn(kinds)}, err
}

// raise puts the fence up, from whatever step it stands at.
func (f *fence) raise(ctx context.Context) error {
	s := f.e.source
	for {
		at, err := f.inspect(ctx)
		switch {
		case err != nil:
		case at.own == "view" && at.fenced:
			f.recreated = len(at.recreated)
			return nil
		case at.own == "view" || at.own == "" && !at.fenced:
			return fmt.Errorf("fence %s: there is no collection to fence", s.Name)
		case !at.fenced:
			if err = s.Rename(ctx, s.Name, s.FencedName(f.epoch)); err == nil {
				err = f.createView(ctx)
			}
		default:
			err = f.createView(ctx)
		}
		if err := retryable(ctx, err); err != nil {
			return fmt.Errorf("fence %s: %w", s.Name, err)
		}
	}
}

// createView puts the view in the place of the collection that has gone. It does not
// inspect in between: a writer that comes now recreates the collection.
func (f *fence) createView(ctx context.Context) error {
	s := f.e.source
	for {
		if err := f.e.crash("fence step"); err != nil {
			return err
		}
		err := s.CreateReadOnlyView(ctx, f.epoch)
		if err == nil {
			return f.e.crash("fence step")
		}
		if !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
			return err
		}
		f.recreated++
		made, err := f.setAside(ctx, s.RecreatedName(f.lease, f.recreated))
		if err != nil || made {
			return err
		}
	}
}

// fillers is how many connections wait to take a name as soon as it is free.
const fillers = 3

// setAside renames a recreated collection while others already try to create the view.
func (f *fence) setAside(ctx context.Context, name string) (made bool, err error) {
	s := f.e.source
	return swap(ctx, func(ctx context.Context) error { return s.Rename(ctx, s.Name, name) },
		func(ctx context.Context) error { return s.CreateReadOnlyView(ctx, f.epoch) })
}

// swap frees a name while other connections already try to fill it: after the fact,
// a writer that writes all the time would mostly win. None of them is in flight any
// more when it returns.
func swap(ctx context.Context, free, fill func(context.Context) error) (filled bool, err error) {
	var done, gone atomic.Bool
	var g errgroup.Group // without a context: what one meets must not interrupt the freeing of another
	for range fillers {
		g.Go(func() error {
			for last := false; !last && !done.Load(); {
				last = gone.Load()
				err := fill(ctx)
				if err == nil {
					done.Store(true)
				} else if !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer gone.Store(true)
		return free(ctx)
	})
	err = g.Wait()
	return done.Load(), err
}

// lower removes the fence, from whatever step it stands at. The documents of recreated
// collections are copied back first, while no one can write.
func (f *fence) lower(ctx context.Context) error {
	s := f.e.source
	for {
		at, err := f.inspect(ctx)
		if err == nil && !at.fenced {
			return nil
		}
		if err == nil {
			err = f.lowerStep(ctx, at)
		}
		if err := retryable(ctx, err); err != nil {
			return fmt.Errorf("remove the fence of %s: %w", s.Name, err)
		}
		if err := f.e.crash("unfence step"); err != nil {
			return err
		}
	}
}

func (f *fence) lowerStep(ctx context.Context, at fenceState) error {
	s := f.e.source
	if at.own == "collection" { // recreated: the fence is needed until it is copied back
		return f.createView(ctx)
	}
	for _, name := range at.recreated {
		if !f.clashed[name] {
			return f.mergeRecreated(ctx, name)
		}
	}
	restore := func(ctx context.Context) error { return s.Rename(ctx, s.FencedName(f.epoch), s.Name) }
	if at.own == "" {
		return restore(ctx)
	}
	// Sent once, and not again without having looked: it could hit the collection.
	_, err := swap(ctx, func(ctx context.Context) error { return s.DB.Collection(s.Name).Drop(ctx) }, restore)
	return err
}

// retryable returns nil where another look may help.
func retryable(ctx context.Context, err error) error {
	switch {
	case err == nil || mongoerr.HasCode(err, mongoerr.NamespaceNotFound, mongoerr.NamespaceExists, mongoerr.CommandNotSupportedOnView):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case retry.IsPermanent(err):
		return err
	}
	return retry.Wait(ctx, 0)
}

// mergeRecreated copies the documents of a recreated collection, which are the newer,
// into the fenced collection and drops the former. One with a document that clashes
// with another's unique value is kept, and logged.
func (f *fence) mergeRecreated(ctx context.Context, name string) error {
	s := f.e.source
	var clash error
	for after := (bson.RawValue{}); ; {
		docs, err := s.ReadCollection(ctx, name, after, mergeBatch)
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			break
		}
		if err := f.copyBack(ctx, docs); mongo.IsDuplicateKeyError(err) {
			clash = err
		} else if err != nil {
			return err
		}
		after = docs[len(docs)-1].Lookup("_id")
	}
	if clash != nil {
		f.clashed[name] = true
		f.e.Log.Error("a write that slipped past the fence clashes with another document; its collection is kept", "collection", name, "error", clash)
		return nil
	}
	return retry.Do(ctx, "drop "+name, func(ctx context.Context) error { return s.DB.Collection(name).Drop(ctx) })
}

// mergeBatch is how many documents are copied back at once.
const mergeBatch = 500

// copyBack puts documents into the fenced collection; those that are there
// already are not written, since a lease may be too short and the next begins anew.
// It goes on past a clash, and returns the last one.
func (f *fence) copyBack(ctx context.Context, docs []bson.Raw) (clash error) {
	s, there := f.e.source, map[string]bson.Raw{}
	ids := make([]bson.RawValue, 0, len(docs))
	for _, doc := range docs {
		ids = append(ids, doc.Lookup("_id"))
	}
	if err := s.Lookup(ctx, s.FencedName(f.epoch), ids, there); err != nil {
		return err
	}
	var missing []bson.Raw
	for i, doc := range docs {
		if !bytes.Equal(there[source.IDKey(ids[i])], doc) {
			missing = append(missing, doc)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := s.DB.Collection(s.FencedName(f.epoch)).InsertMany(ctx, missing); !mongo.IsDuplicateKeyError(err) {
		return err
	}
	for _, doc := range missing { // some replace what is there, or clash with it
		err := retry.Do(ctx, "copy a document back to "+s.Name, func(ctx context.Context) error { return s.Upsert(ctx, s.FencedName(f.epoch), doc) })
		if mongo.IsDuplicateKeyError(err) {
			clash = err
		} else if err != nil {
			return err
		}
	}
	return clash
}
