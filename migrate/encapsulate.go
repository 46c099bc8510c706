package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/preflight"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
)

// EncapsulateOptions say what an operator knows and accepts.
type EncapsulateOptions struct {
	// DryRun only looks whether it would be refused.
	DryRun bool
	// Watch is for how long others who use the collection are looked for before; 0 means
	// 10 s.
	Watch time.Duration
	// NoMembers accepts that no instance of the owning service is registered.
	NoMembers bool
	// AcceptUnseen accepts that the plan names no versionField, so that the service's
	// writes cannot be told from others'.
	AcceptUnseen bool
	// AcceptGap accepts what is left of risk: for as long as two commands take, the public
	// name is vacant. Whoever writes there then creates a stray; whoever reads finds nothing.
	AcceptGap bool
	// Step, if set, is called as each of [fence.EncapsulationSteps] begins.
	Step func(step string)
}

// ErrRefused says that a precondition of the encapsulation is not met; nothing was touched.
var ErrRefused = errors.New("the encapsulation is refused")

// Encapsulate gives the collection a physical name that only the members of the ownership
// are told, and puts a read-only view under its public name: from then on MongoDB refuses
// the writes of everyone who does not go through the service. It may be killed at any
// instant and called again.
func (e *Engine) Encapsulate(ctx context.Context, opts EncapsulateOptions) (Status, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Status{}, err
	}
	if rec.Phase == ownership.Abandoned && (rec.Collection != "" || rec.Move != nil) {
		return Status{}, fmt.Errorf("%w: %w", ErrRefused, fence.ErrAbandoning)
	}
	if rec.Owner == ownership.DynamoDB || rec.Collection != "" { // it is
		return e.mendEncapsulation(ctx, rec, opts)
	}
	m, err := e.toEncapsulate(ctx, rec)
	if err != nil {
		return Status{}, err
	}
	defer m.fence.DDL.Close()
	if m.fence.GivesBack(rec) {
		if _, err := m.fence.GiveBack(ctx); err != nil {
			return Status{}, fmt.Errorf("encapsulate %s: undo an earlier attempt: %w", e.Plan.Entity, err)
		}
		return e.Encapsulate(ctx, opts)
	}
	if rec.Move == nil || !rec.Hold { // else it was begun
		if err := e.checkEncapsulation(ctx, m, opts); err != nil || opts.DryRun {
			return Status{Entity: e.Plan.Entity, Phase: rec.Phase}, err
		}
		if err := e.binder.Bind(ctx, m.source.UUID); err != nil {
			return Status{}, err
		}
	}
	m.fence.Step = opts.Step
	_, err = m.fence.Encapsulate(ctx)
	if errors.Is(err, source.ErrGone) {
		return Status{}, fmt.Errorf("encapsulate %s: %s was dropped or replaced since it was looked at; run `banyan-migrate encapsulate` again "+
			"for what stands there now", e.Plan.Entity, m.source.Names)
	}
	if err != nil {
		return Status{}, fmt.Errorf("encapsulate %s: %w", e.Plan.Entity, err)
	}
	return e.Status(ctx)
}

// mendEncapsulation has views occupy the vacated names, unless the owner has switched, and
// fails where the collection is not what it should be.
func (e *Engine) mendEncapsulation(ctx context.Context, rec ownership.Record, opts EncapsulateOptions) (Status, error) {
	m, err := e.open(ctx)
	if err != nil {
		return Status{}, err
	}
	if rec.Owner == ownership.MongoDB && !opts.DryRun {
		if err := m.fence.Mend(ctx, rec); err != nil {
			return Status{}, err
		}
	}
	if rec.Owner == ownership.MongoDB && rec.Move == nil {
		if err := m.fence.Confirm(ctx, rec.Collection, rec.Generation); err != nil {
			return Status{}, fmt.Errorf("encapsulate %s: it was before, but: %w", e.Plan.Entity, err)
		}
	}
	return e.Status(ctx)
}

// toEncapsulate assembles the migration of what stands under the public name, or of what
// an encapsulation that was begun has bound.
func (e *Engine) toEncapsulate(ctx context.Context, rec ownership.Record) (*migration, error) {
	if rec.Move != nil && rec.Hold {
		return e.open(ctx)
	}
	// What an earlier attempt was bound to does not matter; whose the collection is does.
	if err := e.binder.CheckClaim(ctx); err != nil {
		return nil, err
	}
	entry, err := e.collection("").Find(ctx)
	if err != nil {
		return nil, err
	}
	return e.assemble(ctx, entry.UUID)
}

// checkEncapsulation fails with ErrRefused and all reasons.
func (e *Engine) checkEncapsulation(ctx context.Context, m *migration, opts EncapsulateOptions) error {
	var refusals []string
	add := func(format string, args ...any) { refusals = append(refusals, fmt.Sprintf(format, args...)) }
	found, err := preflight.Look(ctx, preflight.Config{Plan: e.Plan, DB: e.db, DynamoDB: e.DynamoDB, ControlTable: e.ControlTable})
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Blocks() {
			add("%s", f)
		}
	}
	members, err := e.owners.Members(ctx, e.Plan.Entity)
	if err != nil {
		return err
	}
	for _, member := range members {
		if problem := member.CannotFollow(); problem != "" {
			add("%s", problem)
		}
	}
	if !ownership.HasOwner(members) && !opts.NoMembers {
		add("no instance of the owning service is registered in the control table %s: start it with this table, account and region, or say "+
			"--no-members if none runs", e.ControlTable)
	}
	if !opts.AcceptGap {
		add("for as long as a rename and a view take, %s is vacant: whoever reads it then finds nothing, and whoever writes creates a "+
			"collection that is kept aside; choose a quiet time, and say --accept-gap", m.source.Names)
	}
	if e.Plan.VersionField == "" && !opts.AcceptUnseen {
		add("the plan names no versionField, so the service's writes cannot be told from others': name it, or say --accept-unseen")
	}
	others, err := e.watchOthers(ctx, string(m.source.Names), opts.Watch, opts.DryRun)
	if err != nil {
		return err
	}
	refusals = append(refusals, others.Refusals...)
	for _, text := range append(others.Summary(), others.Warnings...) {
		e.Progress(Progress{At: time.Now(), Entity: e.Plan.Entity, Phase: ownership.Legacy, Message: text})
	}
	if len(refusals) > 0 {
		return fmt.Errorf("%w:%s", ErrRefused, cutover.Reasons(refusals))
	}
	return nil
}

// Abandon ends a migration before its switch: the collection gets its public name back, and
// what the migration stored in the control table is removed. The target's tables stay. It
// may be killed at any instant and called again.
func (e *Engine) Abandon(ctx context.Context) (ownership.Record, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return rec, err
	}
	m, err := e.bound(ctx)
	if err != nil {
		return rec, fmt.Errorf("abandon %s: %w", e.Plan.Entity, err)
	}
	defer m.fence.DDL.Close()
	e.restoreProfilers(ctx)
	// What is removed in the end is known before: another migration may have begun by then.
	bound, err := e.control.Binding(ctx)
	if err != nil {
		return rec, err
	}
	release, err := e.binder.Release(ctx)
	if err != nil {
		return rec, err
	}
	clearBack, err := m.reverse.Clear(ctx)
	if err != nil {
		return rec, err
	}
	if rec, err = m.fence.Abandon(ctx); err != nil {
		return rec, fmt.Errorf("abandon %s: %w", e.Plan.Entity, err)
	}
	if err := errors.Join(clearBack(ctx), release(ctx)); err != nil {
		return rec, err
	}
	return rec, e.control.Clear(ctx, bound, func(ctx context.Context) (bool, error) {
		now, err := e.record(ctx)
		return now.Phase == ownership.Abandoned && now.Revision == rec.Revision, err
	})
}

// Strays calls each for every document that somebody wrote under a vacated name, and
// returns the names of the collections that hold such. It changes nothing.
//
// It also shows what an abandonment has left, beside what has the public name now.
func (e *Engine) Strays(ctx context.Context, each func(fence.StrayDocument) error) ([]string, error) {
	m, err := e.openWithStrays(ctx)
	if err != nil {
		return nil, err
	}
	return m.fence.Strays(ctx, each)
}

// openWithStrays is open, also once the migration is abandoned: what was set aside is still
// there, and nothing is bound any more.
func (e *Engine) openWithStrays(ctx context.Context) (*migration, error) {
	rec, err := e.record(ctx)
	if err != nil || rec.Phase != ownership.Abandoned || rec.Collection != "" || rec.Move != nil {
		m, _, err := e.openWithRecord(ctx)
		return m, err
	}
	if err := e.binder.CheckClaim(ctx); err != nil {
		return nil, err
	}
	l, err := e.collection("").Look(ctx)
	if err != nil {
		return nil, err
	}
	home, _ := l.At(e.Plan.Source.Collection)
	return e.assemble(ctx, home.UUID)
}

// LateWrites are what was written to the table although MongoDB owned the entity, and the
// items that do not fit MongoDB on the way back.
func (e *Engine) LateWrites(ctx context.Context) ([]reverse.LateWrite, []reverse.Misfit, error) {
	m, err := e.openWithStrays(ctx)
	if err != nil {
		return nil, nil, err
	}
	late, err := m.reverse.ListLateWrites(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	misfits, err := m.reverse.ListMisfits(ctx, 0)
	return late, misfits, err
}

// Discard drops a collection of strays that was set aside, or forgets a late write by its
// name, a number.
func (e *Engine) Discard(ctx context.Context, name string) error {
	m, err := e.openWithStrays(ctx)
	if err != nil {
		return err
	}
	defer m.fence.DDL.Close()
	if strings.Trim(name, "0123456789") == "" {
		return m.reverse.DiscardLateWrite(ctx, name)
	}
	return m.fence.Discard(ctx, name)
}
