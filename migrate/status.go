package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// Status is the state of a migration.
type Status struct {
	At     time.Time       `json:"at"`
	Entity string          `json:"entity"`
	Owner  ownership.Store `json:"owner"`
	Epoch  int64           `json:"epoch"`
	Phase  ownership.Phase `json:"phase"`
	// Collection is the name that the members use; "" is the public one.
	Collection string    `json:"collection,omitempty"`
	WritesHeld bool      `json:"writesHeld"`
	Generation int64     `json:"generation"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	// Ended is why the copy and its verifications no longer count, "" while they do.
	Ended    string `json:"ended,omitempty"`
	Paused   bool   `json:"paused"`
	Throttle int    `json:"throttle"`
	// MaxLag is how far the source's majority may be behind before copying waits, less than
	// 0 for no limit; SourceLag is how far it is. MaxQueue is how many operations may wait in its
	// primary, SourceQueue how many do, -1 where the user may not see that. Waits is why copying
	// waits, if it does.
	MaxLag      time.Duration     `json:"maxLagNanoseconds"`
	SourceLag   time.Duration     `json:"sourceLagNanoseconds"`
	MaxQueue    int               `json:"maxQueue"`
	SourceQueue int               `json:"sourceQueue"`
	Waits       string            `json:"waits,omitempty"`
	Copied      control.Copied    `json:"copied"`
	Changes     control.Following `json:"changes"`
	// OplogLeft is how long the position in the change stream stays in the oplog, by the
	// second, negative where it has left; nil where it is not known: the user may not read local.
	OplogLeft *time.Duration `json:"oplogLeftNanoseconds"`
	// Reverse is the way back. It begins when all is copied.
	Reverse      reverse.Health        `json:"reverse"`
	Verification *control.Verification `json:"verification"`
	// Verifying is the newest verification that is not finished, nil for none.
	Verifying *verify.Progress `json:"verifying"`
	// VerifiedUntil is when the verification expires; zero without a clean one.
	VerifiedUntil time.Time       `json:"verifiedUntil,omitzero"`
	Cutover       *control.Switch `json:"cutover"`
	// Misfits are the documents that are set aside because they do not fit.
	Misfits Misfits `json:"misfits"`
	// RollbackUntil is until when MongoDB can be made the owner again: as long as the way
	// back stays as it is. Zero while MongoDB is the owner, and where it is not known.
	RollbackUntil time.Time `json:"rollbackUntil,omitzero"`
	// Problems are why a cut-over, or a rollback, would be refused now, each with what to do.
	Problems []string `json:"problems"`
	// Warnings are what needs somebody's attention and refuses nothing, each with what to do.
	Warnings []string `json:"warnings,omitempty"`
	Workers  []Worker `json:"workers"`
	Members  []Member `json:"members"`
}

// Misfits sums up the documents that are set aside.
type Misfits struct {
	Count int             `json:"count"`
	First *control.Misfit `json:"first,omitempty"`
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
	// Shadow is what it has read from both stores, and compared.
	Shadow ownership.ShadowReads `json:"shadowReads"`
}

// Status reads the state of the migration. It changes nothing.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Status{}, err
	}
	j, err := e.control.Job(ctx)
	if err != nil {
		return Status{}, err
	}
	row, err := e.control.Changes(ctx)
	if err != nil {
		return Status{}, err
	}
	now := time.Now().UTC()
	s := Status{At: now, Entity: e.Plan.Entity, Owner: rec.Owner, Epoch: rec.Epoch, Phase: rec.Phase, Collection: rec.Collection, WritesHeld: holds(rec, now),
		Generation: j.Generation, StartedAt: j.StartedAt, Ended: j.Ended, Paused: j.Paused, Throttle: j.Throttle,
		MaxLag: cmp.Or(j.MaxLag, control.DefaultMaxLag), MaxQueue: cmp.Or(j.MaxQueue, control.DefaultMaxQueue),
		Changes: row.Following(now), Cutover: j.Cutover}
	load, err := e.collection("").Load(ctx)
	if err != nil {
		return s, err
	}
	if s.SourceLag, s.SourceQueue = load.Lag, load.Queue; !j.Copied {
		s.Waits = j.Waits(load)
	}
	s.OplogLeft = e.oplogLeft(ctx, row, rec)
	if s.Copied, err = e.control.Copied(ctx); err != nil {
		return s, err
	}
	misfits, err := e.control.Misfits(ctx)
	if err != nil {
		return s, err
	}
	if s.Misfits.Count = len(misfits); len(misfits) > 0 {
		s.Misfits.First = &misfits[0]
	}
	if err := e.addProblems(ctx, &s, rec); err != nil {
		return s, err
	}
	if s.Verifying, err = e.verifying(ctx, s.Verification); err != nil {
		return s, err
	}
	if v := s.Verification; v != nil && v.Mismatches == 0 && !v.IsAhead(now) {
		s.VerifiedUntil = v.FinishedAt.Add(e.Plan.Budgets.Verification)
	}
	return s, e.addParticipants(ctx, &s, row.Worker)
}

// verifying is how far the newest verification has come that is not finished, nil for none.
func (e *Engine) verifying(ctx context.Context, last *control.Verification) (*verify.Progress, error) {
	all, err := e.control.Verifyings(ctx)
	if err != nil {
		return nil, err
	}
	var newest control.Verifying
	for _, v := range all {
		if v.Result.ID > newest.Result.ID {
			newest = v
		}
	}
	if newest.Ranges == 0 || last != nil && last.ID >= newest.Result.ID || time.Since(newest.Result.StartedAt) > e.Plan.Budgets.Verification {
		return nil, nil
	}
	rows, err := e.control.Ranges(ctx, newest.Result.ID)
	p := verify.ProgressOf(&newest, rows)
	return &p, err
}

// oplogWarning is below which time left in the oplog the changes need somebody's attention: a
// run that is down for longer has to copy afresh.
const oplogWarning = 6 * time.Hour

// oplogLeft is how long the position of the changes stays in the oplog, as long as that is when
// it is full; nil where it is not known, or nothing is followed.
func (e *Engine) oplogLeft(ctx context.Context, row *control.Changes, rec ownership.Record) *time.Duration {
	at := max(row.Applied, row.Start)
	if at == 0 || rec.Owner != ownership.MongoDB {
		return nil
	}
	from, err := source.OplogStart(ctx, e.db)
	if err != nil {
		return nil
	}
	left := time.Unix(int64(at.Timestamp().T), 0).Sub(from)
	if full := source.OplogFill(ctx, e.db); full > 0 && full < 1 && left > 0 {
		left = time.Duration(float64(left) / full)
	}
	return &left
}

// addProblems adds why the next change of owner would be refused, and what is wrong with the names.
func (e *Engine) addProblems(ctx context.Context, s *Status, rec ownership.Record) (err error) {
	m, err := e.open(ctx)
	switch {
	case errors.Is(err, ErrNotEncapsulated) || errors.Is(err, binding.ErrDiffers) || errors.Is(err, target.ErrReplaced):
		s.Problems = append(s.Problems, err.Error())
		return nil
	case err != nil:
		return err
	case rec.Phase == ownership.Complete: // what is left in MongoDB is the operator's to drop
		return nil
	}
	if s.Reverse, err = m.reverse.Health(ctx); err != nil {
		return err
	}
	if h := s.Reverse; rec.Owner == ownership.DynamoDB && h.Ended == "" && h.TimeLeft > 0 {
		s.RollbackUntil = s.At.Add(h.TimeLeft)
	}
	s.Verification, s.Problems, err = m.cutover.UnmetPreconditions(ctx, rec, false)
	switch left := s.OplogLeft; {
	case left == nil || *left >= oplogWarning || s.Ended != "":
	case *left < 0:
		s.Problems = append(s.Problems, changes.ErrHistoryLost.Error())
	default:
		s.Warnings = append(s.Warnings, fmt.Sprintf("the position of the changes leaves the oplog in %s: keep `banyan-migrate run` running, and make "+
			"the oplog longer (replSetResizeOplog); once it has left, `banyan-migrate run --from-start` copies afresh", left.Round(time.Second)))
	}
	if err != nil || rec.Move == nil || !rec.Hold {
		return err
	}
	astray, err := m.fence.Check(ctx, rec)
	s.Problems = append(s.Problems, astray...)
	if s.At.After(rec.HoldUntil) {
		s.Problems = append(s.Problems, fmt.Sprintf("writes wait since %s, while %s is renamed to %s, and the process at it has not finished in "+
			"time: run `%s` to finish", rec.HeldAt.Format(time.RFC3339), rec.Move.From, rec.Move.To, finisher(rec.Phase)))
	}
	return err
}

// finisher is the command that finishes what a dead process began in a phase.
func finisher(phase ownership.Phase) string {
	switch phase {
	case ownership.Legacy:
		return "banyan-migrate encapsulate"
	case ownership.Abandoned:
		return "banyan-migrate abandon"
	}
	return "banyan-migrate run"
}

// holds reports whether writes wait: a hold without a move ends by itself before the switch.
func holds(rec ownership.Record, now time.Time) bool {
	return rec.Hold && (rec.Move != nil || rec.HoldUntil.IsZero() || now.Before(rec.HoldUntil))
}

// addParticipants adds the workers and the service's instances. A follower that
// died without releasing the changes does not follow them any more.
func (e *Engine) addParticipants(ctx context.Context, s *Status, follower string) error {
	workers, err := e.control.Workers(ctx)
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
		s.Members = append(s.Members, Member{ID: m.ID, Service: m.Service, Acked: m.Acked, Shadow: m.Shadow})
	}
	return nil
}

// History returns the last changes of the owner and of the phase, the oldest first: at most
// [ownership.MaxHistory] and one. It outlives the migration.
func (e *Engine) History(ctx context.Context) ([]ownership.Change, error) {
	if _, err := e.record(ctx); err != nil {
		return nil, err
	}
	return e.owners.History(ctx, e.Plan.Entity)
}

// Pause stops the backfill of all processes within a second; the changes are still
// followed.
func (e *Engine) Pause(ctx context.Context) error {
	return e.updateJob(ctx, func(j *control.Job) { j.Paused = true })
}

// Resume continues a paused backfill.
func (e *Engine) Resume(ctx context.Context) error {
	return e.updateJob(ctx, func(j *control.Job) { j.Paused = false })
}

// Throttle limits the backfill of each process.
type Throttle struct {
	PerSecond int // documents; 0 is unlimited
	// MaxLag has copying wait while the majority of the source's servers is behind by more, and
	// MaxQueue while more operations wait in its primary; 0 stands for [control.DefaultMaxLag] and
	// [control.DefaultMaxQueue], less for no limit, and nil leaves what there is.
	MaxLag   *time.Duration
	MaxQueue *int
}

// SetThrottle changes the limits of all processes, within a second.
func (e *Engine) SetThrottle(ctx context.Context, t Throttle) error {
	return e.updateJob(ctx, func(j *control.Job) {
		j.Throttle = max(0, t.PerSecond)
		if t.MaxLag != nil {
			j.MaxLag = *t.MaxLag
		}
		if t.MaxQueue != nil {
			j.MaxQueue = *t.MaxQueue
		}
	})
}

func (e *Engine) updateJob(ctx context.Context, change func(*control.Job)) error {
	if _, err := e.binder.Check(ctx); err != nil {
		return err
	}
	_, err := e.control.UpdateJob(ctx, func(j *control.Job) bool {
		change(j)
		return true
	})
	return err
}
