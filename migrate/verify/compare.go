package verify

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/migrate/side"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// CompareNow compares documents as they are at this moment on both sides: to be used
// while nobody writes, behind a barrier. A document that changed, during the comparison, on
// the side that is right is returned as moving instead of as a mismatch. Clients may be
// waiting, so what is equal at the first look is not read again.
func (v *Verifier) CompareNow(ctx context.Context, ids []bson.RawValue) (bad []side.Mismatch, moving []bson.RawValue, err error) {
	docs, err := v.From.Current(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	found, err := v.To.Compare(ctx, ids, docs)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	return v.compareStable(ctx, suspectIDs(found), func() error { return nil })
}

// compareAcross compares documents across a barrier: the side that is right is read, then
// everything that was acknowledged there until then is awaited on the other, and then that
// is read. What the former had before and after the same must be on the latter; what it had
// otherwise is moving, and no mismatch.
func (v *Verifier) compareAcross(ctx context.Context, ids []bson.RawValue) (bad []side.Mismatch, moving []bson.RawValue, err error) {
	return v.compareStable(ctx, ids, func() error {
		if v.isBack() {
			return v.Back.Drain(ctx)
		}
		_, err := v.Barriers.Await(ctx, 10*time.Millisecond)
		return err
	})
}

// read reads documents of MongoDB, and as texts those of the side that is right.
func (v *Verifier) read(ctx context.Context, ids []bson.RawValue) (docs map[string]bson.Raw, texts map[string]string, err error) {
	if v.isBack() {
		texts, err = v.To.Texts(ctx, ids)
		return nil, texts, err
	}
	docs, err = v.From.Current(ctx, ids)
	texts = make(map[string]string, len(docs))
	for key, doc := range docs {
		texts[key] = string(doc)
	}
	return docs, texts, err
}

func (v *Verifier) compareStable(ctx context.Context, ids []bson.RawValue, between func() error) (bad []side.Mismatch, moving []bson.RawValue, err error) {
	docs, before, err := v.read(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	if err := between(); err != nil {
		return nil, nil, err
	}
	if v.isBack() {
		if docs, err = v.From.Current(ctx, ids); err != nil {
			return nil, nil, err
		}
	}
	found, err := v.To.Compare(ctx, ids, docs)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	suspects := suspectIDs(found)
	_, after, err := v.read(ctx, suspects)
	if err != nil {
		return nil, nil, err
	}
	moved := map[string]bool{}
	for _, id := range suspects {
		if before[side.IDKey(id)] != after[side.IDKey(id)] {
			moved[side.IDKey(id)] = true
			moving = append(moving, id)
		}
	}
	for _, m := range found {
		if !moved[side.IDKey(m.DocumentID)] {
			bad = append(bad, m)
		}
	}
	return bad, moving, nil
}

func suspectIDs(found []side.Mismatch) []bson.RawValue {
	seen := map[string]bool{}
	var ids []bson.RawValue
	for _, m := range found {
		if k := side.IDKey(m.DocumentID); !m.DocumentID.IsZero() && !seen[k] {
			seen[k] = true
			ids = append(ids, m.DocumentID)
		}
	}
	return ids
}
