package migrate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// setPhase has another entity be in a phase, as its own migration would.
func (w *world) setPhase(entity string, phase ownership.Phase, owner ownership.Store) {
	w.t.Helper()
	rec, err := w.owners.Load(w.ctx, entity)
	if err == nil {
		_, err = w.owners.Update(w.ctx, rec, func(r *ownership.Record) {
			if r.Phase = phase; r.Owner != owner {
				r.Owner, r.Epoch = owner, r.Epoch+1
			}
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestEntitiesThatReferToEachOtherAreNeverSwitchedTheWrongWayRound: also where another process
// is at the other entity at the same time, and begins behind this one's preconditions.
func TestEntitiesThatReferToEachOtherAreNeverSwitchedTheWrongWayRound(t *testing.T) {
	w := shadowing(t, 20)
	w.plan.SwitchAfter = []string{"accounts"}
	meanwhile := func(do func()) cutover.Options {
		return cutover.Options{NoMembers: true, Before: func(_ context.Context, step string) error {
			if step == cutover.StepAnnounce {
				do()
			}
			return nil
		}}
	}
	must := func(err, want error, says string) {
		t.Helper()
		if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), says) {
			t.Fatalf("%v, want %v that says %q", err, want, says)
		}
	}
	_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
	must(err, cutover.ErrRefused, "the entity accounts, whose phase is legacy")
	w.setPhase("accounts", ownership.Switched, ownership.DynamoDB)
	_, err = w.engine().Cutover(w.ctx, meanwhile(func() { w.setPhase("accounts", ownership.RollingBack, ownership.DynamoDB) }))
	must(err, cutover.ErrUndone, "the entity accounts, whose phase is rolling-back")
	w.setPhase("accounts", ownership.Switched, ownership.DynamoDB)
	_, err = w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
	must(err, nil, "")
	if others, err := control.New(w.ddb, "banyan-control", "accounts").Dependents(w.ctx); err != nil || !slices.Equal(others, []string{"users"}) {
		t.Errorf("%v %v", others, err)
	}

	w.verified()
	users := control.New(w.ddb, "banyan-control", "users")
	_, err = w.engine().Rollback(w.ctx, meanwhile(func() {
		if err := users.AddDependent(w.ctx, "orders"); err != nil {
			t.Error(err)
		}
		w.setPhase("orders", ownership.Switching, ownership.MongoDB)
	}))
	must(err, cutover.ErrUndone, "the entity orders was switched after this one")
	_, err = w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true})
	must(err, cutover.ErrRefused, "the entity orders was switched after this one")
	w.setPhase("orders", ownership.Shadowing, ownership.MongoDB)
	_, err = w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true})
	must(err, nil, "")
}
