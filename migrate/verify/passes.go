package verify

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/side"
)

const (
	comparers   = 8   // ranges that are compared at once, of the source and of the target
	maxSuspects = 200 // that are compared again together
)

// unit is a range that is compared, and finished, as one.
type unit struct {
	*verification
	found    control.Counts
	bad      []side.Mismatch
	suspects []side.Mismatch
}

// compareUnit compares a range of the source, or a segment of the target.
func (v *verification) compareUnit(ctx context.Context, r *control.Range) (err error) {
	u := &unit{verification: v}
	switch n := r.N - v.row.Ranges; {
	case n < 0:
		err = u.compareRange(ctx, side.Range{From: r.From, To: r.To})
	case n < v.row.Segments:
		err = u.findExtra(ctx, side.Segment{N: n, Of: v.row.Segments})
	default:
		err = u.findLeftovers(ctx, side.Segment{N: n - v.row.Segments, Of: v.row.Unique})
	}
	if err == nil {
		err = u.recheckSuspects(ctx)
	}
	if err != nil {
		return err
	}
	r.Done, r.Found, r.Mismatches = true, &u.found, u.bad
	if err := v.Control.Save(ctx, r); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.compared[r.N] = true
	return nil
}

// compareRange compares every document with that of the other side.
func (u *unit) compareRange(ctx context.Context, r side.Range) error {
	read := func(ctx context.Context, r side.Range) (side.Chunk, error) {
		return u.From.ReadRange(ctx, r, u.ChunkSize)
	}
	return side.ReadAhead(ctx, r, read, func(c side.Chunk) error {
		if err := u.pace(ctx, len(c.Docs)); err != nil {
			return err
		}
		found, err := u.compareChunk(ctx, c.Docs)
		if err != nil {
			return err
		}
		u.found.Documents += int64(len(c.Docs))
		return u.suspect(ctx, found)
	})
}

// comparePage is how many documents of a chunk are compared by one call: about as many as
// the other side answers at once, so that the calls of a chunk wait beside each other.
const comparePage = 100

func (u *unit) compareChunk(ctx context.Context, chunk []bson.Raw) (bad []side.Mismatch, err error) {
	ids, docs := make([]bson.RawValue, 0, len(chunk)), make(map[string]bson.Raw, len(chunk))
	for _, doc := range chunk {
		id := doc.Lookup("_id")
		ids, docs[side.IDKey(id)] = append(ids, id), doc
	}
	found := make([][]side.Mismatch, (len(ids)+comparePage-1)/comparePage)
	g, ctx := errgroup.WithContext(ctx)
	for i := range found {
		g.Go(func() (err error) {
			found[i], err = u.To.Compare(ctx, ids[i*comparePage:min(len(ids), (i+1)*comparePage)], docs)
			return err
		})
	}
	err = g.Wait()
	return slices.Concat(found...), err
}

// findExtra looks for documents that are not in the side whose documents are right.
func (u *unit) findExtra(ctx context.Context, s side.Segment) error {
	return u.To.ScanIDs(ctx, s, func(ctx context.Context, ids []bson.RawValue, tombstones int, misplaced []side.Mismatch) error {
		if err := u.pace(ctx, len(ids)+tombstones); err != nil {
			return err
		}
		if err := u.suspect(ctx, misplaced); err != nil {
			return err
		}
		u.found.Items += int64(len(ids))
		u.found.Tombstones += int64(tombstones)
		for part := range slices.Chunk(ids, 500) {
			there, err := u.From.Present(ctx, part)
			if err != nil {
				return err
			}
			var extra []side.Mismatch
			for _, id := range part {
				if !there[side.IDKey(id)] {
					extra = append(extra, side.Mismatch{ID: codec.Show(id), Kind: side.MismatchExtra, DocumentID: id})
				}
			}
			if err := u.suspect(ctx, extra); err != nil {
				return err
			}
		}
		return nil
	})
}

// findLeftovers looks for unique entries whose document does not have their value.
func (u *unit) findLeftovers(ctx context.Context, s side.Segment) error {
	return u.To.ScanUnique(ctx, s, func(ctx context.Context, entries int, leftover []side.Mismatch) error {
		if err := u.pace(ctx, entries); err != nil {
			return err
		}
		u.found.Unique += int64(entries)
		return u.suspect(ctx, leftover)
	})
}
