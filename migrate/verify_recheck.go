package migrate

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/target"
)

// recheckSuspects compares again what differed, a batch at a time.
func (v *verifier) recheckSuspects(ctx context.Context) error {
	for {
		batch, more := v.collectBatch(ctx)
		if len(batch) > 0 {
			if err := v.recheckBatch(ctx, batch); err != nil {
				return err
			}
		}
		if !more {
			return ctx.Err()
		}
	}
}

// collectBatch gathers suspects for a moment, at most 200.
func (v *verifier) collectBatch(ctx context.Context) (batch []target.Mismatch, more bool) {
	var timer <-chan time.Time
	for len(batch) < 200 {
		select {
		case m, ok := <-v.suspects:
			if !ok {
				return batch, false
			}
			if batch = append(batch, m); timer == nil {
				timer = time.After(100 * time.Millisecond)
			}
		case <-timer:
			return batch, true
		case <-ctx.Done():
			return nil, false
		}
	}
	return batch, true
}

func (v *verifier) recheckBatch(ctx context.Context, batch []target.Mismatch) error {
	v.result.Rechecked += int64(len(batch))
	still, err := v.e.recheck(ctx, batch, v.epoch)
	if err != nil {
		return err
	}
	if v.opts.Repair && len(still) > 0 {
		if still, err = v.repair(ctx, still); err != nil {
			return err
		}
	}
	for _, m := range still {
		if m.Repaired {
			v.result.Repaired++
		} else {
			v.result.Mismatches++
		}
		if v.opts.Report != nil {
			v.opts.Report(m)
		}
	}
	return nil
}

// recheckRounds is how often a document that keeps changing is compared again.
const recheckRounds = 10

// recheck compares suspects on both sides after the changes passed a barrier, and again
// where the source changed during the comparison, until each is clearly right or wrong.
// A tool that compares only once reports changes in flight as mismatches.
func (e *Engine) recheck(ctx context.Context, suspects []target.Mismatch, epoch int64) ([]target.Mismatch, error) {
	ids, entries := suspectIDs(suspects), leftoverEntries(suspects)
	var wrong []target.Mismatch
	for round := range recheckRounds {
		if _, err := e.awaitBarrier(ctx, epoch, 10*time.Millisecond); err != nil {
			return nil, err
		}
		bad, unstable, err := e.compareNow(ctx, ids, epoch)
		if err != nil {
			return nil, err
		}
		left, err := e.recheckLeftovers(ctx, entries)
		if err != nil {
			return nil, err
		}
		// A difference counts when it is still there after a second barrier.
		if wrong = append(bad, left...); round > 0 && len(unstable) == 0 || len(wrong)+len(unstable) == 0 {
			return wrong, nil
		}
		ids, entries = append(suspectIDs(bad), unstable...), leftoverEntries(left)
	}
	for _, id := range ids {
		wrong = append(wrong, target.Mismatch{ID: codec.Show(id), Kind: target.MismatchDifferent,
			Detail: "it changes too fast to be compared; verify again", DocumentID: id})
	}
	return wrong, nil
}

func leftoverEntries(found []target.Mismatch) [][]string {
	var entries [][]string
	for _, m := range found {
		if m.Kind == target.MismatchLeftover {
			for len(entries) <= m.Constraint {
				entries = append(entries, nil)
			}
			entries[m.Constraint] = append(entries[m.Constraint], m.UniqueValue)
		}
	}
	return entries
}

func (e *Engine) recheckLeftovers(ctx context.Context, values [][]string) ([]target.Mismatch, error) {
	var all []target.Mismatch
	for i, list := range values {
		for len(list) > 0 {
			n := min(len(list), 100)
			ask := make([][]string, len(e.Plan.Unique))
			ask[i] = distinct(list[:n])
			_, held, err := e.target.Get(ctx, nil, ask)
			if err != nil {
				return nil, err
			}
			var entries []codec.Item
			for _, entry := range held[i] {
				entries = append(entries, entry)
			}
			found, err := e.target.CompareUnique(ctx, i, entries)
			if err != nil {
				return nil, err
			}
			all, list = append(all, found...), list[n:]
		}
	}
	return all, nil
}

func distinct(values []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}
