package verify

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/side"
)

// repair writes the documents of the source again and compares once more. The items get
// a source time from before the source was read, so changes in flight still apply after
// it. While the table is right, the way back carries the items again.
func (u *unit) repair(ctx context.Context, wrong []side.Mismatch) ([]side.Mismatch, error) {
	rewrite := u.rewrite
	if u.isBack() {
		rewrite = u.touch
	}
	if err := rewrite(ctx, suspectIDs(wrong)); err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	for _, m := range wrong {
		if m.Kind == side.MismatchLeftover || m.Kind == side.MismatchMisplaced {
			if err := u.To.DeleteLeftover(ctx, m); err != nil {
				return nil, fmt.Errorf("repair: %w", err)
			}
		}
	}
	return u.markRepaired(ctx, wrong)
}

// rewrite writes documents of MongoDB to the table.
func (u *unit) rewrite(ctx context.Context, ids []bson.RawValue) error {
	at, err := u.From.Now(ctx)
	if err != nil {
		return err
	}
	docs, err := u.From.Current(ctx, ids)
	if err != nil {
		return err
	}
	write := u.To.Repair
	if u.opts.OwnOnly {
		write = u.To.Apply
	}
	for _, id := range ids {
		err := write(ctx, side.Version{ID: id, Doc: docs[side.IDKey(id)], At: at, Read: true})
		_, misfit := errors.AsType[*codec.FitError](err)
		others := errors.Is(err, side.ErrOutOfBand) || u.opts.OwnOnly && errors.Is(err, side.ErrServiceOwned)
		if err != nil && !misfit && !others { // those stay mismatches
			return err
		}
	}
	return nil
}

// touch has the way back carry items to MongoDB again.
func (u *unit) touch(ctx context.Context, ids []bson.RawValue) error {
	for _, id := range ids {
		if err := u.To.Touch(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit) markRepaired(ctx context.Context, wrong []side.Mismatch) ([]side.Mismatch, error) {
	still, moving, err := u.Recheck(ctx, wrong)
	if err != nil {
		return nil, err
	}
	u.found.Moving += int64(len(moving))
	bad := map[string]bool{}
	for _, m := range still {
		bad[side.IDKey(m.DocumentID)+m.UniqueValue] = true
	}
	for i := range wrong {
		wrong[i].Repaired = !bad[side.IDKey(wrong[i].DocumentID)+wrong[i].UniqueValue]
	}
	return wrong, nil
}
