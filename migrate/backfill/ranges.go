package backfill

import (
	"context"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
)

// Plan writes down the ranges of this generation, once. One process calls it at a time:
// the one that follows the changes, since what is read after the position in the change
// stream was chosen needs no other care. One that sleeps and wakes writes down ranges of its
// own, which never count: the job names those that do, set once.
func (b *Backfill) Plan(ctx context.Context) error {
	j, err := b.Control.Job(ctx)
	if err != nil || j.Planning != "" {
		return err
	}
	planning := uuid.NewString()
	estimated, err := b.From.EstimatedCount(ctx)
	if err != nil {
		return err
	}
	n, err := worker.Plan(ctx, b.Control, planning, b.Sizes.Range, b.From.Divide)
	if err != nil {
		return err
	}
	generation := j.Generation
	j, err = b.Control.UpdateJob(ctx, func(j *control.Job) bool {
		if j.Planning != "" || j.Generation != generation {
			return false
		}
		j.Planning, j.Ranges, j.Estimated = planning, n, estimated
		return true
	})
	if err != nil || j.Planning == planning {
		return err
	}
	return b.Control.DeleteRanges(ctx, planning) // only the own: nobody else's is known to be void
}
