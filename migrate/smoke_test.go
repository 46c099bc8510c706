package migrate_test

import (
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/preflight"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

func TestAUserMovesFromBeginningToEnd(t *testing.T) {
	w := newWorld(t)
	w.seed(1200)
	w.encapsulate()
	e := w.engine()
	pre, err := preflight.Run(w.ctx, preflight.Config{Plan: w.plan, DB: w.db, DynamoDB: w.ddb}, nil)
	if err != nil || pre.Documents != 1200 || pre.WriteUnits != 4800 {
		t.Fatalf("%+v %v", pre, err)
	}
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
	v, err := e.Verify(w.ctx, verify.Options{Report: func(m side.Mismatch) { t.Errorf("%+v", m) }})
	if err != nil || v.Documents != 1200 || v.Items != 1200 || v.Unique != 1200 {
		t.Fatalf("%+v %v", v, err)
	}
	sum, err := e.Cutover(w.ctx, cutover.Options{NoMembers: true})
	if err != nil || sum.Step != cutover.StepDone || sum.Held > w.plan.Budgets.Hold.Milliseconds() {
		t.Fatalf("%+v %v", sum, err)
	}
	r := w.phase()
	if r.Owner != ownership.DynamoDB || r.Epoch != 2 || r.Hold || r.Phase != ownership.Switched {
		t.Fatalf("%+v", r)
	}
	t.Logf("held %d ms", sum.Held)
	w.mustBeEqual("users")
	t.Run("a write past the fence", func(t *testing.T) {
		mongodbtest.Lacks(t, "SecantusDB", "acknowledges writes to a view and loses them")
		if _, err := w.users.InsertOne(w.ctx, user(-1)); err == nil {
			t.Error("a write past the fence was taken")
		}
	})
}
