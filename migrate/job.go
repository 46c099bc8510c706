package migrate

import (
	"context"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/state"
)

// job is a migration's state that is not a range's or the changes'.
type job struct {
	state.Row
	Generation int64     `dynamodbav:"generation"` // raised when it is copied afresh
	StartedAt  time.Time `dynamodbav:"startedAt"`
	Planned    bool      `dynamodbav:"planned"` // the ranges are written down
	Ranges     int       `dynamodbav:"ranges"`
	Estimated  int64     `dynamodbav:"estimated"` // documents when it was planned
	Copied     bool      `dynamodbav:"copied"`    // backfill complete
	CopiedAt   time.Time `dynamodbav:"copiedAt"`
	Paused     bool      `dynamodbav:"paused"`
	Throttle   int       `dynamodbav:"throttle"` // documents a second and process; 0 is unlimited
	Cutover    *Switch   `dynamodbav:"cutover"`
}

const jobKey = "job"

// updateJob changes the job. change runs again when another process changed the job at
// the same time, and returns false to leave it as it is.
func (e *Engine) updateJob(ctx context.Context, change func(*job) bool) (*job, error) {
	for i := 0; ; i++ {
		j := &job{}
		if _, err := e.state.Load(ctx, jobKey, j); err != nil {
			return nil, err
		}
		if !change(j) {
			return j, nil
		}
		err := e.state.Save(ctx, j)
		if !errors.Is(err, state.ErrConflict) || i > 50 {
			return j, err
		}
		if err := retry.Wait(ctx, min(i, 3)); err != nil {
			return nil, err
		}
	}
}
