package migrate

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Status is the state of a migration.
type Status struct {
	At           time.Time       `json:"at"`
	Entity       string          `json:"entity"`
	Owner        ownership.Store `json:"owner"`
	Epoch        int64           `json:"epoch"`
	Phase        ownership.Phase `json:"phase"`
	WritesHeld   bool            `json:"writesHeld"`
	Generation   int64           `json:"generation"`
	StartedAt    time.Time       `json:"startedAt,omitzero"`
	Paused       bool            `json:"paused"`
	Throttle     int             `json:"throttle"`
	Copied       Copied          `json:"copied"`
	Changes      Changes         `json:"changes"`
	Verification *Verification   `json:"verification"`
	// VerifiedUntil is when the verification expires; zero without a clean one.
	VerifiedUntil time.Time `json:"verifiedUntil,omitzero"`
	Cutover       *Switch   `json:"cutover"`
	// Problems are why a cut-over would be refused now, each with what to do.
	Problems []string `json:"problems"`
	Workers  []Worker `json:"workers"`
	Members  []Member `json:"members"`
}

// Worker is a process that takes part in the migration.
type Worker struct {
	ID     string    `json:"id"`
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	SeenAt time.Time `json:"seenAt"`
}

// Member is an instance of the owning service.
type Member struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Acked   int64  `json:"acknowledgedRevision"`
}

// Status reads the state of the migration. It changes nothing.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Status{}, err
	}
	j, row := &job{}, &changesRow{}
	if _, err := e.state.Load(ctx, jobKey, j); err != nil {
		return Status{}, err
	}
	if _, err := e.state.Load(ctx, changesKey, row); err != nil {
		return Status{}, err
	}
	now := time.Now().UTC()
	s := Status{At: now, Entity: e.Plan.Entity, Owner: rec.Owner, Epoch: rec.Epoch, Phase: rec.Phase, WritesHeld: holds(rec, now),
		Generation: j.Generation, StartedAt: j.StartedAt, Paused: j.Paused, Throttle: j.Throttle, Changes: row.summary(now), Cutover: j.Cutover}
	if s.Copied, err = e.copied(ctx); err != nil {
		return s, err
	}
	if s.Verification, s.Problems, err = e.unmetPreconditions(ctx, rec); err != nil {
		return s, err
	}
	if rec.Owner == ownership.DynamoDB {
		s.Problems = nil
	}
	if v := s.Verification; v != nil && v.Mismatches == 0 {
		s.VerifiedUntil = v.FinishedAt.Add(e.Plan.Budgets.Verification)
	}
	return s, e.addParticipants(ctx, &s, row.Worker)
}

// holds reports whether writes wait: a hold before the switch ends by itself.
func holds(rec ownership.Record, now time.Time) bool {
	return rec.Hold && (rec.HoldUntil.IsZero() || now.Before(rec.HoldUntil))
}

// addParticipants adds the workers and the service's instances. A follower that
// died without releasing the changes does not follow them any more.
func (e *Engine) addParticipants(ctx context.Context, s *Status, follower string) error {
	workers, err := state.List[workerRow](ctx, e.state, workerPrefix)
	if err != nil {
		return err
	}
	s.Changes.Followed = false
	for _, w := range workers {
		if w.ID == follower && s.At.Sub(w.At) < 2*w.Lease {
			s.Changes.Followed = true
		}
		s.Workers = append(s.Workers, Worker{ID: w.ID, Host: w.Host, PID: w.PID, SeenAt: w.At})
	}
	members, err := e.owners.Members(ctx, e.Plan.Entity)
	if err != nil {
		return err
	}
	for _, m := range members {
		s.Members = append(s.Members, Member{ID: m.ID, Service: m.Service, Acked: m.Acked})
	}
	return nil
}

// Pause stops the backfill of all processes within a second; the changes are still
// followed.
func (e *Engine) Pause(ctx context.Context) error { return e.setPaused(ctx, true) }

// Resume continues a paused backfill.
func (e *Engine) Resume(ctx context.Context) error { return e.setPaused(ctx, false) }

func (e *Engine) setPaused(ctx context.Context, paused bool) error {
	if _, err := e.record(ctx); err != nil {
		return err
	}
	_, err := e.updateJob(ctx, func(j *job) bool {
		j.Paused = paused
		return true
	})
	return err
}

// SetThrottle limits the backfill of each process to so many documents a
// second, within a second; 0 removes the limit.
func (e *Engine) SetThrottle(ctx context.Context, perSecond int) error {
	if _, err := e.record(ctx); err != nil {
		return err
	}
	_, err := e.updateJob(ctx, func(j *job) bool {
		j.Throttle = max(0, perSecond)
		return true
	})
	return err
}
