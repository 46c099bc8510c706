package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/state"
)

// rangeRow is one range of _id to copy: above From, up to To, either open when
// empty. After and Copied are saved together, so that what a resumed copy shows
// is what has been copied.
type rangeRow struct {
	state.Row
	N      int    `dynamodbav:"n"`
	From   []byte `dynamodbav:"from"`
	To     []byte `dynamodbav:"to"`
	After  []byte `dynamodbav:"after"`
	Copied int64  `dynamodbav:"copied"`
	Bytes  int64  `dynamodbav:"bytes"`
	Done   bool   `dynamodbav:"done"`
	Worker string `dynamodbav:"worker"`
}

const rangePrefix = "range#"

func rangeKey(n int) string { return fmt.Sprintf("%s%08d", rangePrefix, n) }

// packID keeps an identifier as bytes: its BSON type, then its value.
func packID(id bson.RawValue) []byte {
	if id.IsZero() {
		return nil
	}
	return append([]byte{byte(id.Type)}, id.Value...)
}

func unpackID(b []byte) bson.RawValue {
	if len(b) == 0 {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: bson.Type(b[0]), Value: b[1:]}
}

// divide divides the collection into ranges of about size documents and calls
// each with their bounds. The first is open below and the last above.
func (e *Engine) divide(ctx context.Context, size int, each func(n int, from, to bson.RawValue) error) (int, error) {
	if err := e.checkIDTypes(ctx); err != nil {
		return 0, err
	}
	var from bson.RawValue
	for n := 0; ; n++ {
		to, err := e.source.IDAfter(ctx, from, size)
		if err != nil {
			return n, err
		}
		if err := each(n, from, to); err != nil {
			return n, err
		}
		if to.IsZero() {
			return n + 1, nil
		}
		from = to
	}
}

// checkIDTypes makes sure that all _ids are of the key's type: MongoDB compares only
// within a type, so a range would silently skip any other. Documents
// sort by type first, so looking at both ends is enough.
func (e *Engine) checkIDTypes(ctx context.Context) error {
	least, most, err := e.source.Extremes(ctx)
	if err != nil {
		return err
	}
	for _, id := range []bson.RawValue{least, most} {
		if id.IsZero() {
			continue
		}
		if _, err := e.codec.Key(id); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) rangeSize(documents int64) int {
	if e.RangeSize > 0 {
		return e.RangeSize
	}
	return int(min(max(documents/64, 1000), 100_000))
}

// planRanges stores the ranges of this generation, once.
func (e *Engine) planRanges(ctx context.Context) error {
	j := &job{}
	if _, err := e.state.Load(ctx, jobKey, j); err != nil || j.Planned {
		return err
	}
	estimated, err := e.source.EstimatedCount(ctx)
	if err != nil {
		return err
	}
	n, err := e.divide(ctx, e.rangeSize(estimated), func(n int, from, to bson.RawValue) error {
		if err := e.crash("ranges"); err != nil {
			return err
		}
		return e.writeRange(ctx, n, from, to)
	})
	if err != nil {
		return err
	}
	if err := e.dropRanges(ctx, n); err != nil {
		return err
	}
	_, err = e.updateJob(ctx, func(j *job) bool {
		j.Planned, j.Ranges, j.Estimated = true, n, estimated
		return true
	})
	return err
}

// writeRange replaces whatever an interrupted planning left in its place.
func (e *Engine) writeRange(ctx context.Context, n int, from, to bson.RawValue) error {
	r := &rangeRow{}
	if _, err := e.state.Load(ctx, rangeKey(n), r); err != nil {
		return err
	}
	row := r.Row
	*r = rangeRow{Row: row, N: n, From: packID(from), To: packID(to), After: packID(from)}
	return e.state.Save(ctx, r)
}

func (e *Engine) dropRanges(ctx context.Context, from int) error {
	rows, err := state.List[rangeRow](ctx, e.state, rangePrefix)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.N >= from {
			if err := e.state.Delete(ctx, rangeKey(r.N)); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimRange claims a range that no live worker copies; nil when there is none at the
// moment, and done when all are copied.
func (e *Engine) claimRange(ctx context.Context, v *liveness, busy func(n int) bool) (r *rangeRow, done bool, err error) {
	rows, err := state.List[rangeRow](ctx, e.state, rangePrefix)
	if err != nil {
		return nil, false, err
	}
	done = true
	for i := range rows {
		c := &rows[i]
		if c.Done {
			continue
		}
		done = false
		if free, err := e.isClaimable(ctx, v, c, busy); err != nil {
			return nil, false, err
		} else if !free {
			continue
		}
		c.Worker = e.worker
		err := e.state.Save(ctx, c)
		if err == nil {
			return c, false, nil
		}
		if !errors.Is(err, state.ErrConflict) {
			return nil, false, err
		}
	}
	return nil, done, nil
}

func (e *Engine) isClaimable(ctx context.Context, v *liveness, r *rangeRow, busy func(n int) bool) (bool, error) {
	if r.Worker == e.worker {
		return !busy(r.N), nil
	}
	return v.isDead(ctx, r.Worker)
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

func (e *Engine) copied(ctx context.Context) (Copied, error) {
	j := &job{}
	if _, err := e.state.Load(ctx, jobKey, j); err != nil {
		return Copied{}, err
	}
	rows, err := state.List[rangeRow](ctx, e.state, rangePrefix)
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

// showIDs renders identifiers for people.
func showIDs(ids []bson.RawValue) []string {
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		out = append(out, codec.Show(id))
	}
	slices.Sort(out)
	return out
}
