package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/target"
)

// Verification is what one verification covered, as of when, and what it found.
type Verification struct {
	state.Row
	ID         string    `dynamodbav:"id" json:"id"`
	StartedAt  time.Time `dynamodbav:"startedAt" json:"startedAt"`
	FinishedAt time.Time `dynamodbav:"finishedAt" json:"finishedAt"`
	// AsOf is the source's cluster time: what has not changed since was compared.
	AsOf       stamp.ClusterTime `dynamodbav:"asOf" json:"asOf"`
	Token      []byte            `dynamodbav:"token" json:"-"` // of the change stream, at AsOf
	Generation int64             `dynamodbav:"generation" json:"generation"`
	Covered    string            `dynamodbav:"covered" json:"covered"` // "whole"
	Documents  int64             `dynamodbav:"documents" json:"documents"`
	Items      int64             `dynamodbav:"items" json:"items"`
	Tombstones int64             `dynamodbav:"tombstones" json:"tombstones"`
	Unique     int64             `dynamodbav:"unique" json:"uniqueEntries"`
	Rechecked  int64             `dynamodbav:"rechecked" json:"rechecked"` // differed at first, perhaps only in flight
	Mismatches int64             `dynamodbav:"mismatches" json:"mismatches"`
	Repaired   int64             `dynamodbav:"repaired" json:"repaired"`
}

const verificationPrefix = "verification#"

// keptVerifications is how many verifications are kept in the control table.
const keptVerifications = 10

// VerifyOptions choose what Verify does besides comparing.
type VerifyOptions struct {
	// Repair writes what differs to the target again, from the source.
	Repair bool
	// Report is called for every mismatch, one at a time.
	Report func(target.Mismatch)
}

// ErrNotCopied is returned for verbs that need a complete copy.
var ErrNotCopied = errors.New("the copy is not complete; keep `banyan-migrate run` running until the phase is shadowing")

// ErrSwitched is returned for verbs that are not possible after the switch.
var ErrSwitched = errors.New("the owner has switched to DynamoDB; MongoDB no longer has the newest documents")

// Verify compares all documents with all items, in both directions, and the unique
// tables too. What differs is compared again after the changes have passed a barrier,
// so that changes in flight do not count. The result is stored, and a cut-over accepts
// it until it expires.
func (e *Engine) Verify(ctx context.Context, opts VerifyOptions) (Verification, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Verification{}, err
	}
	j := &job{}
	if _, err := e.state.Load(ctx, jobKey, j); err != nil {
		return Verification{}, err
	}
	if rec.Owner == ownership.DynamoDB {
		return Verification{}, fmt.Errorf("verify %s: %w", e.Plan.Entity, ErrSwitched)
	}
	if rec.Phase != ownership.Shadowing || !j.Copied {
		return Verification{}, fmt.Errorf("verify %s in phase %s: %w", e.Plan.Entity, rec.Phase, ErrNotCopied)
	}
	v := &verifier{opts: opts, epoch: rec.Epoch, suspects: make(chan target.Mismatch, 1000)}
	v.result.Generation = j.Generation
	err = e.whileFollowing(ctx, func(ctx context.Context, e *Engine) error {
		v.e = e
		return v.run(ctx)
	})
	return v.result, err
}

type verifier struct {
	e        *Engine
	opts     VerifyOptions
	epoch    int64
	suspects chan target.Mismatch
	result   Verification

	documents, items, tombstones, unique atomic.Int64
}

// verifyWorkers is how many readers each of the passes has.
const verifyWorkers = 4

func (v *verifier) run(ctx context.Context) error {
	v.result.ID, v.result.StartedAt, v.result.Covered = newestLast(), time.Now().UTC(), "whole"
	from, err := v.e.awaitBarrier(ctx, v.epoch, 20*time.Millisecond)
	if err != nil {
		return err
	}
	v.result.AsOf, v.result.Token = from.Applied, from.Token
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return v.recheckSuspects(ctx) })
	g.Go(func() error {
		defer close(v.suspects)
		passes, ctx := errgroup.WithContext(ctx)
		passes.Go(func() error { return v.compareDocuments(ctx) })
		passes.Go(func() error { return v.findExtraItems(ctx) })
		for i := range v.e.Plan.Unique {
			passes.Go(func() error { return v.findLeftovers(ctx, i) })
		}
		return passes.Wait()
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return v.storeResult(context.WithoutCancel(ctx))
}

// newestLast is an id whose text order is time order.
func newestLast() string {
	if id, err := uuid.NewV7(); err == nil {
		return id.String()
	}
	return fmt.Sprintf("%016x", time.Now().UnixNano())
}

// storeResult stores the result and deletes the oldest ones.
func (v *verifier) storeResult(ctx context.Context) error {
	if err := v.e.crash("verification"); err != nil {
		return err
	}
	r := &v.result
	r.Documents, r.Items, r.Tombstones, r.Unique = v.documents.Load(), v.items.Load(), v.tombstones.Load(), v.unique.Load()
	r.FinishedAt = time.Now().UTC()
	r.Row = state.Row{PK: v.e.state.PK, SK: verificationPrefix + r.ID}
	if err := v.e.state.Save(ctx, r); err != nil {
		return err
	}
	all, err := state.List[Verification](ctx, v.e.state, verificationPrefix)
	if err != nil {
		return err
	}
	for i := range max(0, len(all)-keptVerifications) {
		if err := v.e.state.Delete(ctx, all[i].SK); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) deleteVerifications(ctx context.Context) error {
	all, err := state.List[Verification](ctx, e.state, verificationPrefix)
	if err != nil {
		return err
	}
	for _, v := range all {
		if err := e.state.Delete(ctx, v.SK); err != nil {
			return err
		}
	}
	return nil
}

// lastVerification is the newest one, nil if there is none.
func (e *Engine) lastVerification(ctx context.Context) (*Verification, error) {
	all, err := state.List[Verification](ctx, e.state, verificationPrefix)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[len(all)-1], nil
}

func (v *verifier) reportSuspects(ctx context.Context, found []target.Mismatch) error {
	for _, m := range found {
		select {
		case v.suspects <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
