package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/export"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// CompleteOptions change how Complete goes about it.
type CompleteOptions struct {
	// DryRun lists what Complete would do. It changes nothing.
	DryRun bool
	// PerSecond limits how many tombstones are removed a second; 0 is unlimited.
	PerSecond int
	// Wait is how long nothing may have been sent by a process of the migration before
	// tombstones are removed; 0 means [target.SignatureLifetime], and less is not safe.
	Wait time.Duration
}

// Completed is what Complete did, or would do.
type Completed struct {
	Entity     string       `json:"entity"`
	DryRun     bool         `json:"dryRun,omitempty"`
	Tombstones int64        `json:"tombstonesRemoved"`
	Exported   *export.File `json:"exported,omitempty"` // of a dry run, without a checksum
	Dropped    []string     `json:"dropped,omitempty"`  // names in MongoDB
	// Left are the names in MongoDB that stay, for the operator to drop.
	Left []string `json:"leftInMongoDB"`
}

// ErrNotSwitched is returned by Complete before the owner has switched.
var ErrNotSwitched = errors.New("the owner has not switched; run `banyan-migrate cutover` first, or `banyan-migrate abandon`")

// Complete ends a migration after its switch: from then on the service may delete items
// plainly, and the tombstones that refused late copies are removed, so that other readers of
// the table need not know of them; DynamoDB deletes by the plan's ttl from then on. It first
// ends all other processes of the migration, and waits until nothing that they sent can
// arrive any more. Then the collection is exported and dropped, as the plan says; else what
// is in MongoDB stays. It may be killed at any instant and called again.
func (e *Engine) Complete(ctx context.Context, opts CompleteOptions) (Completed, error) {
	done := Completed{Entity: e.Plan.Entity, DryRun: opts.DryRun}
	rec, err := e.record(ctx)
	switch {
	case err != nil:
		return done, err
	case rec.Owner != ownership.DynamoDB || rec.Hold:
		return done, fmt.Errorf("complete %s in phase %s: %w", e.Plan.Entity, rec.Phase, ErrNotSwitched)
	}
	m, err := e.open(ctx)
	if err != nil {
		return done, err
	}
	defer m.fence.DDL.Close()
	if opts.DryRun {
		return done, e.rehearse(ctx, m, &done)
	}
	e.restoreProfilers(ctx)
	if err := e.endWorkers(ctx, rec, cmp.Or(opts.Wait, target.SignatureLifetime)); err != nil {
		return done, err
	}
	if rec, err = e.movePhase(ctx, ownership.Switched, ownership.Complete); err != nil {
		return done, err
	}
	if err := e.owners.AwaitAck(ctx, e.Plan.Entity, rec.Revision); err != nil {
		return done, fmt.Errorf("complete %s: not every instance knows of it yet; run it again: %w", e.Plan.Entity, err)
	}
	if err := e.target.EnableExpiry(ctx); err != nil {
		return done, err
	}
	if done.Tombstones, err = e.target.RemoveTombstones(ctx, opts.PerSecond); err != nil {
		return done, err
	}
	clearBack, err := m.reverse.Clear(ctx)
	if err == nil {
		err = clearBack(ctx)
	}
	if err != nil {
		return done, err
	}
	if err := e.leaveMongoDB(ctx, m, rec, &done); err != nil {
		return done, err
	}
	done.Left, err = left(ctx, m)
	return done, err
}

// rehearse lists what Complete would do now.
func (e *Engine) rehearse(ctx context.Context, m *migration, done *Completed) (err error) {
	if done.Tombstones, err = e.target.CountTombstones(ctx); err != nil {
		return err
	}
	if done.Left, err = left(ctx, m); err != nil {
		return err
	}
	if x := e.exportOf(m, m.source.UUID); x.Directory != "" {
		at, err := m.source.Locate(ctx)
		if err != nil {
			return err
		}
		n, err := e.db.Collection(at).EstimatedDocumentCount(ctx)
		if err != nil {
			return fmt.Errorf("count %s: %w", at, err)
		}
		done.Exported = &export.File{Path: x.Path(), Documents: n}
	}
	if !e.Plan.Complete.Drop {
		return nil
	}
	if done.Dropped, err = m.fence.Removable(ctx); err != nil {
		return err
	}
	done.Left = slices.DeleteFunc(done.Left, func(name string) bool { return slices.Contains(done.Dropped, name) })
	return nil
}

// leaveMongoDB exports the collection and drops it, as the plan says. A collection that was
// dropped before is not exported again.
func (e *Engine) leaveMongoDB(ctx context.Context, m *migration, rec ownership.Record, done *Completed) error {
	l, err := m.source.Look(ctx)
	if err != nil {
		return err
	}
	if at := l.Locate(m.source.UUID); at != "" && e.Plan.Complete.ExportTo != "" {
		x := e.exportOf(m, at)
		x.Progress = func(n int64) {
			e.Progress(Progress{At: time.Now(), Entity: e.Plan.Entity, Phase: rec.Phase, Message: fmt.Sprintf("exporting %s: %d documents", at, n)})
		}
		file, err := x.Write(ctx)
		if err != nil {
			return fmt.Errorf("complete %s: %w; nothing was dropped: run it again", e.Plan.Entity, err)
		}
		done.Exported = &file
	}
	if !e.Plan.Complete.Drop {
		return nil
	}
	release, err := e.binder.Release(ctx)
	if err != nil {
		return err
	}
	if done.Dropped, err = m.fence.Remove(ctx, rec); err != nil {
		return err
	}
	return release(ctx)
}

// exportOf is the export of the collection that is called at. The name of its files tells
// collections of one public name apart.
func (e *Engine) exportOf(m *migration, at string) export.Export {
	return export.Export{Collection: e.db.Collection(at), UUID: m.source.UUID, Directory: e.Plan.Complete.ExportTo,
		Name: e.Plan.Source.Collection + "." + m.source.UUID[:min(8, len(m.source.UUID))]}
}

// left are the names of the entity that something has in MongoDB.
func left(ctx context.Context, m *migration) ([]string, error) {
	l, err := m.source.Look(ctx)
	var all []string
	for entry := range l.Entries() {
		all = append(all, entry.Name)
	}
	slices.SortFunc(all, source.CompareNames)
	return all, err
}

// endWorkers takes the leases of all processes of the migration away, and waits until what
// they sent before has arrived or is refused.
func (e *Engine) endWorkers(ctx context.Context, rec ownership.Record, wait time.Duration) error {
	workers, err := e.control.Workers(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		if err := e.control.DeleteWorker(ctx, w.ID); err != nil {
			return err
		}
	}
	j, err := e.control.UpdateJob(ctx, func(j *control.Job) bool {
		if !j.EndedAt.IsZero() && len(workers) == 0 {
			return false
		}
		j.EndedAt = time.Now().UTC()
		return true
	})
	if err != nil {
		return err
	}
	for left := time.Until(j.EndedAt.Add(wait)); left > 0; left = time.Until(j.EndedAt.Add(wait)) {
		e.Progress(Progress{At: time.Now(), Entity: e.Plan.Entity, Phase: rec.Phase,
			Message: fmt.Sprintf("waiting for %s: until then DynamoDB accepts what a process of the migration has signed", left.Round(time.Second))})
		if err := backoff.Sleep(ctx, min(left, time.Second)); err != nil {
			return fmt.Errorf("complete %s: interrupted; run it again: %w", e.Plan.Entity, err)
		}
	}
	return nil
}
