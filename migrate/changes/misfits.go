package changes

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Everything that is set aside is tried again from time to time, and not only when a change
// of it comes: a slow backfill may set aside what was repaired meanwhile, and a plan may be
// corrected.
const (
	retryMisfitsEvery = 2 * time.Second
	retryMisfitsBatch = 100
)

// setAside sets a document aside if err says that its version as of at does not fit.
func (s *session) setAside(ctx context.Context, at stamp.ClusterTime, err error) error {
	if m, misfit := errors.AsType[*side.Misfit](err); misfit {
		return s.Control.SetAside(ctx, m, at)
	}
	return err
}

// beside runs WhileHeld, and tries again what is set aside, until ctx ends.
func (s *session) beside(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.WhileHeld != nil {
		g.Go(func() error { return s.WhileHeld(ctx) })
	}
	g.Go(func() error {
		for {
			err := s.retryMisfits(ctx)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, worker.ErrLeaseLost):
				return err
			case err != nil:
				s.Log.Warn("try again what is set aside: failed, retrying", "error", err)
			}
			if err := backoff.Sleep(ctx, retryMisfitsEvery); err != nil {
				return err
			}
		}
	})
	return g.Wait()
}

func (s *session) retryMisfits(ctx context.Context) error {
	all, err := s.Control.Misfits(ctx)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(all, retryMisfitsBatch) {
		if err := s.retryBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// retryBatch applies documents as they are now, as of a time before they were read, so
// that changes in flight are applied after it, and ends that those are set aside which fit.
// What was deleted is left to the changes.
func (s *session) retryBatch(ctx context.Context, batch []control.Misfit) error {
	var ids []bson.RawValue
	for _, m := range batch {
		ids = append(ids, m.DocumentID())
	}
	at, err := s.Source.Now(ctx)
	if err != nil {
		return err
	}
	docs, err := s.Source.Current(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.mayWrite(); err != nil {
			return err
		}
		var err error
		if doc := docs[side.IDKey(id)]; doc != nil {
			err = s.applyVersion(ctx, side.Version{ID: id, Doc: doc, At: at, Read: true})
		}
		if _, misfit := errors.AsType[*side.Misfit](err); misfit {
			continue
		}
		if err == nil {
			err = s.Control.RemoveMisfit(ctx, id, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
