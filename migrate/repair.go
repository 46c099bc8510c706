package migrate

import (
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// repair writes the documents of the source again and compares once more. The items get
// a source time from before the source was read, so changes in flight still apply after
// it.
func (v *verifier) repair(ctx context.Context, wrong []target.Mismatch) ([]target.Mismatch, error) {
	ids := suspectIDs(wrong)
	at, err := v.e.sourceTime(ctx)
	if err != nil {
		return nil, err
	}
	docs, err := v.e.source.Current(ctx, ids, v.epoch)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		ent, problem := v.e.target.Expected(id, docs[source.IDKey(id)])
		if problem != nil {
			continue // it stays a mismatch, with the reason
		}
		if err := v.e.target.Apply(ctx, ent, at, target.AnyItem); err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
	}
	for _, m := range wrong {
		if m.Kind == target.MismatchLeftover {
			if err := v.e.target.DeleteLeftover(ctx, m.Constraint, m.UniqueValue); err != nil {
				return nil, fmt.Errorf("repair: %w", err)
			}
		}
	}
	return v.markRepaired(ctx, wrong)
}

func (v *verifier) markRepaired(ctx context.Context, wrong []target.Mismatch) ([]target.Mismatch, error) {
	still, err := v.e.recheck(ctx, wrong, v.epoch)
	if err != nil {
		return nil, err
	}
	bad := map[string]bool{}
	for _, m := range still {
		bad[source.IDKey(m.DocumentID)+m.UniqueValue] = true
	}
	for i := range wrong {
		wrong[i].Repaired = !bad[source.IDKey(wrong[i].DocumentID)+wrong[i].UniqueValue]
	}
	return wrong, nil
}
