package control

import (
	"context"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/migrate/side"
)

// Range is one range to copy, or to compare: behind From, up to To, in the order of the side
// that is read; empty is open. How far it is, and what was copied or found until there, is
// saved together, so that what is shown after a resume is true.
type Range struct {
	Row
	N      int    `dynamodbav:"n"` // counted from 0, in the order of the ranges
	From   []byte `dynamodbav:"from"`
	To     []byte `dynamodbav:"to"`
	After  []byte `dynamodbav:"after"`  // everything up to here is copied
	Copied int64  `dynamodbav:"copied"` // documents
	Bytes  int64  `dynamodbav:"bytes"`  // by the measure of the side that is written
	Done   bool   `dynamodbav:"done"`
	Worker string `dynamodbav:"worker"` // who works on it, "" for nobody yet
	// Of a verification that has compared it.
	Found      *Counts         `dynamodbav:"found,omitempty"`
	Mismatches []side.Mismatch `dynamodbav:"mismatches,omitempty"` // at most MaxShown
}

// MaxShown is how many mismatches are stored with a range: an item has at most 400 KB, and
// an identifier 2 KB.
const MaxShown = 50

const rangePrefix = "range#"

// Ranges loads the ranges of a planning, in their order; none for "".
func (s *Store) Ranges(ctx context.Context, planning string) ([]Range, error) {
	if planning == "" {
		return nil, nil
	}
	return list[Range](ctx, s, rangePrefix+planning+"#")
}

// AddRange stores the nth range of a planning.
func (s *Store) AddRange(ctx context.Context, planning string, n int, from, to []byte) error {
	r := &Range{N: n, From: from, To: to, After: from}
	r.Row = Row{PK: s.pk, SK: fmt.Sprintf("%s%s#%08d", rangePrefix, planning, n)}
	return s.Save(ctx, r)
}

// DeleteRanges deletes the ranges of a planning that does not count any more.
func (s *Store) DeleteRanges(ctx context.Context, planning string) error {
	rows, err := s.Ranges(ctx, planning)
	if err != nil {
		return err
	}
	for i := range rows {
		if err := s.remove(ctx, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// Copied sums up how far the backfill is.
type Copied struct {
	Documents int64     `json:"documents"`
	Of        int64     `json:"of"` // estimated when the ranges were made
	Bytes     int64     `json:"bytes"`
	Ranges    int       `json:"ranges"`
	Done      int       `json:"rangesDone"`
	Complete  bool      `json:"complete"`
	At        time.Time `json:"completeAt,omitzero"`
}

// Copied reads the job and all ranges, and sums them up.
func (s *Store) Copied(ctx context.Context) (Copied, error) {
	j, err := s.Job(ctx)
	if err != nil {
		return Copied{}, err
	}
	rows, err := s.Ranges(ctx, j.Planning)
	if err != nil {
		return Copied{}, err
	}
	c := Copied{Of: j.Estimated, Ranges: len(rows), Complete: j.Copied, At: j.CopiedAt}
	for _, r := range rows {
		c.Documents += r.Copied
		c.Bytes += r.Bytes
		if r.Done {
			c.Done++
		}
	}
	return c, nil
}
