package changes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// Acquire implements mongostream.Checkpoint: the changes are free unless a live worker holds
// them, in the epoch of their position, which MongoDB must own. So what they write never
// carries an epoch in which the documents here did not count.
func (s *session) Acquire(ctx context.Context) (mongostream.Position, bool, error) {
	acquired, err := s.acquireChanges(ctx)
	if err != nil {
		return mongostream.Position{}, false, fmt.Errorf("%w: %w", mongostream.ErrCheckpointRefused, err)
	}
	p := mongostream.Position{
		Start: s.row.Start.Timestamp(), Token: s.row.Token, Invalidated: s.row.Invalidated,
		At: s.row.Applied.Timestamp(), Index: -1, CaughtUp: s.row.CaughtUp, Changes: s.row.Events,
	}
	if len(s.row.Token) == 0 {
		p.Token = nil
	}
	return p, acquired, nil
}

func (s *session) acquireChanges(ctx context.Context) (bool, error) {
	if !s.worker.HoldsLease() {
		return false, worker.ErrLeaseLost
	}
	row, err := s.Control.Changes(ctx)
	if err != nil {
		return false, err
	}
	if row.Worker != s.worker.ID {
		if dead, err := s.worker.IsDead(ctx, row.Worker); err != nil || !dead {
			return false, err
		}
	}
	rec, err := s.Owners.Load(ctx, s.Plan.Entity)
	if err != nil {
		return false, err
	}
	row.Epoch = cmp.Or(row.Epoch, rec.Epoch)
	if rec.Owner != ownership.MongoDB || rec.Epoch != row.Epoch {
		return false, nil
	}
	row.Worker, row.Error = s.worker.ID, ""
	if row.Start == 0 {
		if row.Start, row.Collection, err = Beginning(ctx, s.Source); err != nil {
			return false, err
		}
	}
	if err := s.Control.Save(ctx, row); err != nil {
		if errors.Is(err, control.ErrConflict) {
			err = nil
		}
		return false, err
	}
	s.resetLocalState(*row)
	return true, nil
}

// resetLocalState makes what belongs to one acquisition: the queues of the appliers
// and the counters.
func (s *session) resetLocalState(row control.Changes) {
	s.row, s.to = row, s.To(row.Epoch)
	s.appliers = newAppliers(s.Follower.Appliers, s.applyUntilDone)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barriers, s.outOfBand, s.strays = row.Barriers, row.OutOfBand, row.Strays
	s.place = Place{Names: s.Source.Names, Database: s.Source.DB.Name(), UUID: s.Source.UUID, Name: row.Collection}
	s.renames = nil
}

// Save implements mongostream.Checkpoint.
func (s *session) Save(ctx context.Context, p mongostream.Position) error {
	s.row.Token, s.row.Invalidated = p.Token, p.Invalidated
	s.row.Applied = max(s.row.Applied, stamp.ClusterTimeOf(p.At))
	s.row.CaughtUp, s.row.Events = p.CaughtUp, p.Changes
	s.mu.Lock()
	s.row.Barriers, s.row.OutOfBand, s.row.Strays = slices.Clone(s.barriers), s.outOfBand, s.strays
	s.row.Collection = cmp.Or(s.nameAtLocked(s.row.Applied), s.row.Collection)
	s.mu.Unlock()
	return s.saveRow(ctx)
}

func (s *session) saveRow(ctx context.Context) error {
	s.row.SavedAt = time.Now().UTC()
	err := s.Control.Save(ctx, &s.row)
	switch {
	case errors.Is(err, control.ErrConflict):
		return fmt.Errorf("%w: %w", mongostream.ErrLeaseLost, err)
	case retry.IsPermanent(err):
		return fmt.Errorf("%w: %w", mongostream.ErrCheckpointRefused, err)
	}
	return err
}

// Release implements mongostream.Checkpoint. The cause stays for status.
func (s *session) Release(ctx context.Context, cause error) error {
	if cause != nil && !errors.Is(cause, ErrDone) {
		s.row.Error = s.explain(cause).Error()
	}
	s.row.Worker = ""
	return s.saveRow(ctx)
}

// Held implements mongostream.Checkpoint.
func (s *session) Held() bool { return s.worker.HoldsLease() }

// Holder implements mongostream.Checkpoint. The state's revision, and not a number
// of the holder, makes saves conditional.
func (s *session) Holder() (owner string, epoch int64) { return s.worker.ID, 0 }
