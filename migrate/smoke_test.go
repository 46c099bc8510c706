package migrate_test

import (
	"testing"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

func TestAUserMovesFromBeginningToEnd(t *testing.T) {
	w := newWorld(t)
	w.seed(3000)
	e := w.engine()
	pre, err := e.Preflight(w.ctx, nil)
	if err != nil || pre.Documents != 3000 || pre.WriteUnits != 12000 {
		t.Fatalf("%+v %v", pre, err)
	}
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
	v, err := e.Verify(w.ctx, migrate.VerifyOptions{Report: func(m target.Mismatch) { t.Errorf("%+v", m) }})
	if err != nil || v.Documents != 3000 || v.Items != 3000 || v.Unique != 3000 {
		t.Fatalf("%+v %v", v, err)
	}
	sum, err := e.Cutover(w.ctx, migrate.CutoverOptions{})
	if err != nil || sum.Step != migrate.StepDone || sum.Held > w.plan.Budgets.Hold.Milliseconds() {
		t.Fatalf("%+v %v", sum, err)
	}
	r := w.phase()
	if r.Owner != ownership.DynamoDB || r.Epoch != 2 || r.Hold || r.Phase != ownership.Switched {
		t.Fatalf("%+v", r)
	}
	t.Logf("held %d ms", sum.Held)
	w.mustBeEqual("users")
	if _, err := w.users.InsertOne(w.ctx, user(-1)); err == nil {
		t.Error("a write past the fence was taken")
	}
}
