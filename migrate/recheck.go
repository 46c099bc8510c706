package migrate

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// compareNow compares documents as they are at this moment on both sides. A
// document that changed during the comparison is returned as unstable instead of as a
// mismatch.
func (e *Engine) compareNow(ctx context.Context, ids []bson.RawValue, epoch int64) (bad []target.Mismatch, unstable []bson.RawValue, err error) {
	before, err := e.source.Current(ctx, ids, epoch)
	if err != nil {
		return nil, nil, err
	}
	found, err := e.target.Compare(ctx, ids, before)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	suspects := suspectIDs(found)
	after, err := e.source.Current(ctx, suspects, epoch)
	if err != nil {
		return nil, nil, err
	}
	moved := map[string]bool{}
	for _, id := range suspects {
		if !bytes.Equal(before[source.IDKey(id)], after[source.IDKey(id)]) {
			moved[source.IDKey(id)] = true
			unstable = append(unstable, id)
		}
	}
	for _, m := range found {
		if !moved[source.IDKey(m.DocumentID)] {
			bad = append(bad, m)
		}
	}
	return bad, unstable, nil
}

func suspectIDs(found []target.Mismatch) []bson.RawValue {
	seen := map[string]bool{}
	var ids []bson.RawValue
	for _, m := range found {
		if k := source.IDKey(m.DocumentID); !m.DocumentID.IsZero() && !seen[k] {
			seen[k] = true
			ids = append(ids, m.DocumentID)
		}
	}
	return ids
}
