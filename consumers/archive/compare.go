package archive

import (
	"context"
	"time"
)

// Comparison is what [Compare] counted.
type Comparison struct {
	Records int // of the stream
	// Pending are those that are not archived, and arrived so late that they need not be.
	Pending int
}

// Compare makes sure that an archive has all records of a stream, which Cursor stream gives in
// the order of their sequence numbers. missing is called for each that arrived before settled and is
// not in the archive. The error is [ErrDifferent] where it has another one.
func Compare(ctx context.Context, store Store, stream Cursor, settled time.Time, missing func(Record)) (Comparison, error) {
	var c Comparison
	var archived *Reader
	merge := NewMerge()
	for r, err := range All(ctx, stream) {
		if err != nil {
			return c, err
		}
		if archived == nil { // the first of all: what is before it has left the stream
			from := Range{From: r.Arrived.Add(-time.Hour), FromSequence: r.Sequence}
			if archived, err = NewReader(ctx, store, from); err != nil {
				return c, err
			}
			defer archived.Close()
			merge.Add(archived)
		}
		c.Records++
		found, err := find(ctx, merge, r)
		switch {
		case err != nil:
			return c, err
		case found:
		case r.Arrived.Before(settled):
			missing(r)
		default:
			c.Pending++
		}
	}
	return c, nil
}

// find reads until a record, or what comes in its place.
func find(ctx context.Context, merge *Merge, want Record) (bool, error) {
	for {
		next, err := merge.first(ctx)
		if err != nil || next == "" || next > pad(want.Sequence) {
			return false, err
		}
		got, err := merge.Next(ctx)
		if err != nil {
			return false, err
		}
		if got.Sequence == want.Sequence {
			if !isSame(got, want) {
				return false, &differentError{want}
			}
			return true, nil
		}
	}
}
