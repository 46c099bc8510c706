// Package verify compares both stores as a whole, in both directions, and repairs what
// differs: [Verifier.Run] of any number of processes. The cut-over and the rollback compare what changed since with the same
// comparison: [Verifier.CompareNow] and [Verifier.Recheck].
//
// What differs is compared again after the other side has followed to a barrier, and counts only
// when it then still differs and did not change meanwhile.
package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Options choose what Run does besides comparing.
type Options struct {
	// Repair writes what differs to the target again, from the source.
	Repair bool
	// OwnOnly has Repair leave alone what others wrote: without a stamp, or in a later epoch.
	OwnOnly bool
	// Pace, if set, is called before so many documents or items are compared, and waits until
	// they may be.
	Pace func(ctx context.Context, n int) error
	// Progress, if set, is called about once a second, and when one goes on where another
	// process was.
	Progress func(Progress)
	// Report is called for every mismatch, one at a time.
	Report func(side.Mismatch)

	beside bool
}

// Kind is under which key a verification with these options stands in the control table:
// only processes that repair share one with each other, and nobody waits for ranges that are
// compared slowly, beside other work.
func (o Options) Kind() string {
	kind := "compare"
	if o.Repair {
		kind = "repair"
	}
	if o.beside {
		kind += "-beside"
	}
	return kind
}

// ErrNotCopied is returned for verbs that need a complete copy.
var ErrNotCopied = errors.New("the copy is not complete; keep `banyan-migrate run` running until the phase is shadowing")

// ErrNotComparable is returned where the owner is about to change, or changes meanwhile, and
// once the migration is complete.
var ErrNotComparable = errors.New("the stores can be compared in the phases shadowing and switched only; run it again then")

// From is MongoDB. While it owns the entity its documents are right.
type From interface {
	// Divide calls each with ranges of about size documents; together they are the whole.
	Divide(ctx context.Context, size int, each func(n int, r side.Range) error) (int, error)
	// ReadRange returns up to limit documents from the beginning of a range.
	ReadRange(ctx context.Context, r side.Range, limit int) (side.Chunk, error)
	// Current reads documents as they are now, by side.IDKey.
	Current(ctx context.Context, ids []bson.RawValue) (map[string]bson.Raw, error)
	// Present returns which documents there are, by side.IDKey.
	Present(ctx context.Context, ids []bson.RawValue) (map[string]bool, error)
	// Now is a time that no later read is older than.
	Now(ctx context.Context) (stamp.ClusterTime, error)
}

// To is the table. What it keeps beside the documents, such as entries for unique values,
// it compares with them by itself.
type To interface {
	// Compare compares documents with those of this side. docs has those that exist, by
	// side.IDKey.
	Compare(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]side.Mismatch, error)
	// ScanIDs reads the identifiers of all documents of a segment, counts tombstones, and returns
	// what is not where its document should be.
	ScanIDs(ctx context.Context, s side.Segment,
		page func(ctx context.Context, ids []bson.RawValue, tombstones int, misplaced []side.Mismatch) error) error
	// ScanUnique counts the entries for unique values of a segment, and returns those that
	// are left over.
	ScanUnique(ctx context.Context, s side.Segment, page func(ctx context.Context, entries int, leftover []side.Mismatch) error) error
	// CompareLeftovers returns which entries among mismatches are still left over, and which items
	// still misplaced.
	CompareLeftovers(ctx context.Context, found []side.Mismatch) ([]side.Mismatch, error)
	// Apply writes a version unless what stands there is newer, or of others.
	Apply(ctx context.Context, v side.Version) error
	// Repair writes a version unless what stands there is newer, or the service's.
	Repair(ctx context.Context, v side.Version) error
	// DeleteLeftover removes an entry that is still left over, or an item still misplaced.
	DeleteLeftover(ctx context.Context, m side.Mismatch) error
	// Texts are what this side holds of documents, by side.IDKey: the same while nothing is
	// written.
	Texts(ctx context.Context, ids []bson.RawValue) (map[string]string, error)
	// Touch has the way back carry a document again, as it is on this side.
	Touch(ctx context.Context, id bson.RawValue) error
}

// Back is the way back, on which MongoDB follows while DynamoDB owns the entity.
type Back interface {
	// WhileFollowing runs fn while it is followed.
	WhileFollowing(ctx context.Context, fn func(context.Context) error) error
	// Drain returns when everything that was written to the table before is in MongoDB.
	Drain(ctx context.Context) error
	// Place is the place in the table's stream up to which all is in MongoDB.
	Place(ctx context.Context) ([]byte, error)
}

// Verifier compares the stores of one entity. It is safe for concurrent use.
//
// In the epochs of MongoDB's, its documents are right, and the table follows them by way of
// the changes; in those of DynamoDB's it is the other way round, and the repair has the way
// back carry what differs again.
type Verifier struct {
	Epoch     int64 // of the entity, which decides the direction
	Plan      *plan.Plan
	UUID      string // of the collection that is verified
	From      From
	To        To
	Control   *control.Store
	Changes   *changes.Follower // followed while a verification runs in an epoch of MongoDB's
	Back      Back              // followed in one of DynamoDB's
	Barriers  changes.Barriers
	RangeSize int // documents in a range; 0 chooses by the size of the collection
	ChunkSize int // documents read at once
}

// Run compares all documents with all items, in both directions, and the unique
// tables too. What differs is compared again after the changes have passed a barrier,
// so that changes in flight do not count. The result is stored, and a cut-over accepts
// it until it expires.
//
// Any number of processes may run it at once, with the same Repair: they divide one
// verification, and each returns its result, and reports what all have found (of others the
// first [control.MaxShown] of a range). Where one is killed at any instant the others take
// over, or whoever runs it again goes on with what is not finished, as long as what is
// finished counts. Mismatches may be reported twice where a lease was lost.
func (v *Verifier) Run(ctx context.Context, rec ownership.Record, opts Options) (control.Verification, error) {
	j, err := v.Control.Job(ctx)
	if err != nil {
		return control.Verification{}, err
	}
	switch {
	case rec.Epoch != v.Epoch, rec.Owner == ownership.DynamoDB && rec.Phase != ownership.Switched:
		return control.Verification{}, fmt.Errorf("verify %s in phase %s: %w", v.Plan.Entity, rec.Phase, ErrNotComparable)
	case rec.Owner == ownership.DynamoDB:
	case rec.Phase != ownership.Shadowing || !j.Copied:
		return control.Verification{}, fmt.Errorf("verify %s in phase %s: %w", v.Plan.Entity, rec.Phase, ErrNotCopied)
	case j.Ended != "":
		return control.Verification{}, fmt.Errorf("verify %s: %w", v.Plan.Entity, j.CheckEnded())
	}
	whileFollowing := v.Changes.WhileFollowing
	if v.isBack() {
		whileFollowing = v.Back.WhileFollowing
	}
	return v.run(ctx, opts, whileFollowing)
}

// RunBeside is Run in a process that follows already, as the worker that ctx is bound to, where
// there is a copy to compare.
func (v *Verifier) RunBeside(ctx context.Context, opts Options) (control.Verification, error) {
	opts.beside = true
	return v.run(ctx, opts, func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) })
}

func (v *Verifier) run(ctx context.Context, opts Options,
	whileFollowing func(context.Context, func(context.Context) error) error) (control.Verification, error) {
	for restarts := 0; ; restarts++ {
		r := &verification{Verifier: v, opts: opts, compared: map[int]bool{}}
		err := whileFollowing(ctx, r.run)
		if !errors.Is(err, worker.ErrLeaseLost) && !errors.Is(err, errReplaced) || ctx.Err() != nil || restarts == maxRestarts {
			return r.result, err
		}
	}
}

// isBack reports whether the table is right.
func (v *Verifier) isBack() bool { return !stamp.IsMongoDBs(v.Epoch) }

// maxRestarts is how often a verification that could not reach the control table for longer
// than its lease goes on by itself.
const maxRestarts = 10

// verification is one run of a verifier.
type verification struct {
	*Verifier
	opts   Options
	row    control.Verifying // that this process takes part in
	result control.Verification

	mu       sync.Mutex
	compared map[int]bool // ranges of which this process has reported what differs
}

func (v *verification) run(ctx context.Context) error {
	if err := v.join(ctx); err != nil {
		return err
	}
	var rows []control.Range
	g, comparing := errgroup.WithContext(ctx)
	compared := make(chan struct{})
	g.Go(func() error { return v.reportAsFinished(comparing, compared) })
	g.Go(func() (err error) {
		defer close(compared)
		rows, err = v.compare(comparing)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, r := range rows {
		if !v.compared[r.N] {
			for _, m := range r.Mismatches {
				v.report(m)
			}
		}
	}
	v.result = v.row.Result
	v.result.Counts, v.result.FinishedAt = sumOf(rows), time.Now().UTC()
	var err error
	v.result, err = v.Control.AddVerification(context.WithoutCancel(ctx), v.result)
	return err
}

// newestLast is an id whose text order is time order.
func newestLast() string {
	if id, err := uuid.NewV7(); err == nil {
		return id.String()
	}
	return fmt.Sprintf("%016x", time.Now().UnixNano())
}

// pace waits until so many documents or items may be compared.
func (v *verification) pace(ctx context.Context, n int) error {
	if v.opts.Pace == nil {
		return nil
	}
	return v.opts.Pace(ctx, n)
}

// report reports one mismatch.
func (v *verification) report(m side.Mismatch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.opts.Report != nil {
		v.opts.Report(m)
	}
}
