package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Job is a migration's state that is not a range's or the changes'.
type Job struct {
	Row
	Generation int64     `dynamodbav:"generation"` // raised when it is copied afresh; 0 before the first run
	StartedAt  time.Time `dynamodbav:"startedAt"`
	Planning   string    `dynamodbav:"planning"`  // the id of the ranges that are written down; "" for none yet
	Ranges     int       `dynamodbav:"ranges"`    // how many there are
	Estimated  int64     `dynamodbav:"estimated"` // documents when it was planned
	Copied     bool      `dynamodbav:"copied"`    // backfill complete
	CopiedAt   time.Time `dynamodbav:"copiedAt"`
	Paused     bool      `dynamodbav:"paused"`
	Throttle   int       `dynamodbav:"throttle"` // documents a second and process; 0 is unlimited
	// MaxLag is how far the majority of the source's servers may be behind before copying
	// waits; 0 stands for DefaultMaxLag, and less for no limit.
	MaxLag time.Duration `dynamodbav:"maxLag"`
	// MaxQueue is how many operations may wait in the source's primary, in the same way.
	MaxQueue int     `dynamodbav:"maxQueue"`
	Cutover  *Switch `dynamodbav:"cutover"` // the last one, nil before the first
	// Ended is why the copy no longer counts: what happened to the collection as a whole.
	// "" while it counts.
	Ended string `dynamodbav:"ended"`
	// EndedAt is when the last process of a migration that is being completed lost its lease.
	EndedAt time.Time `dynamodbav:"endedAt"`
	// Verifier is the worker that verifies while it follows, "" before the first.
	Verifier string `dynamodbav:"verifier"`
	// Changed counts what happened to the collection as a whole. A verification counts
	// only while it is as at its beginning.
	Changed int64 `dynamodbav:"changed"`
}

const jobKey = "job"

// DefaultMaxLag is how far the majority of the source's servers may be behind by default: by
// then what the copy reads has pushed what they work with out of memory.
const DefaultMaxLag = 10 * time.Second

// DefaultMaxQueue is how many operations may wait in the source's primary by default: with more
// of them it admits less than it is asked for, and the copy's reads are among what it admits.
const DefaultMaxQueue = 20

// Waits is why copying waits for the source, "" where it does not.
func (j *Job) Waits(l side.Load) string {
	lag, queue := cmp.Or(j.MaxLag, DefaultMaxLag), cmp.Or(j.MaxQueue, DefaultMaxQueue)
	switch {
	case lag >= 0 && l.Lag > lag:
		return fmt.Sprintf("the majority of MongoDB's servers is behind by %s, allowed are %s", l.Lag, lag)
	case queue >= 0 && l.Queue > queue:
		return fmt.Sprintf("%d operations wait in MongoDB to be admitted or for a lock, allowed are %d", l.Queue, queue)
	}
	return ""
}

// Job loads the job, the zero one before the first run.
func (s *Store) Job(ctx context.Context) (*Job, error) {
	j := &Job{}
	_, err := s.load(ctx, jobKey, j)
	return j, err
}

// UpdateJob changes the job and returns it as it then is. change runs again when another
// process changed the job at the same time, and returns false to leave it as it is.
func (s *Store) UpdateJob(ctx context.Context, change func(*Job) bool) (*Job, error) {
	for i := 0; ; i++ {
		j, err := s.Job(ctx)
		if err != nil {
			return nil, err
		}
		if !change(j) {
			return j, nil
		}
		err = s.Save(ctx, j)
		if !errors.Is(err, ErrConflict) || i > 50 {
			return j, err
		}
		if err := retry.Wait(ctx, min(i, 3)); err != nil {
			return nil, err
		}
	}
}

// ErrEnded says that the copy no longer counts: only one that is made afresh does.
var ErrEnded error = retry.Permanent("the copy no longer counts")

// CheckEnded fails with ErrEnded and the reason where the copy no longer counts.
func (j *Job) CheckEnded() error {
	if j.Ended == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrEnded, j.Ended)
}

// EndCopy notes that the copy of a generation and all its verifications no longer count, and
// why. The first reason stays.
func (s *Store) EndCopy(ctx context.Context, generation int64, why string) error {
	_, err := s.UpdateJob(ctx, func(j *Job) bool {
		if j.Generation != generation {
			return false
		}
		if j.Ended == "" {
			j.Ended = why
		}
		j.Changed++
		return true
	})
	return err
}

// EndVerifications notes that verifications that began until now no longer count.
func (s *Store) EndVerifications(ctx context.Context) error {
	_, err := s.UpdateJob(ctx, func(j *Job) bool {
		j.Changed++
		return true
	})
	return err
}
