package verify

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/side"
)

// suspect gathers what differed, and compares it again once it is much.
func (u *unit) suspect(ctx context.Context, found []side.Mismatch) error {
	if u.suspects = append(u.suspects, found...); len(u.suspects) < maxSuspects {
		return nil
	}
	return u.recheckSuspects(ctx)
}

// recheckSuspects compares again what differed.
func (u *unit) recheckSuspects(ctx context.Context) error {
	for batch := range slices.Chunk(u.suspects, maxSuspects) {
		u.found.Rechecked += int64(len(batch))
		still, moving, err := u.Recheck(ctx, batch)
		if err != nil {
			return err
		}
		u.found.Moving += int64(len(moving))
		if u.opts.Repair && len(still) > 0 {
			if still, err = u.repair(ctx, still); err != nil {
				return err
			}
		}
		for _, m := range still {
			if m.Repaired {
				u.found.Repaired++
			} else {
				u.found.Mismatches++
			}
			if len(u.bad) < control.MaxShown {
				u.bad = append(u.bad, m)
			}
			u.report(m)
		}
	}
	u.suspects = nil
	return nil
}

// recheckRounds is how often a document that keeps changing is compared again.
const recheckRounds = 5

// Recheck compares suspects again, across barriers, until each is clearly right or wrong.
// Wrong is what stood still across two barriers and differed behind both. What changed
// across each of several is moving: it has changed since the verification began, so a
// cut-over compares it in any case. A tool that compares only once reports changes in
// flight as mismatches (ghostferry#217).
func (v *Verifier) Recheck(ctx context.Context, suspects []side.Mismatch) (wrong []side.Mismatch, moving []bson.RawValue, err error) {
	ids, leftovers := suspectIDs(suspects), suspects
	for round := range recheckRounds {
		var bad []side.Mismatch
		if bad, moving, err = v.compareAcross(ctx, ids); err != nil {
			return nil, nil, err
		}
		left, err := v.To.CompareLeftovers(ctx, leftovers)
		if err != nil {
			return nil, nil, err
		}
		if wrong = append(bad, left...); round > 0 && len(moving) == 0 || len(wrong)+len(moving) == 0 {
			return wrong, nil, nil
		}
		ids, leftovers = append(suspectIDs(bad), moving...), left
	}
	return wrong, moving, nil
}
