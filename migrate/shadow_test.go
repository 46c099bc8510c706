package migrate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// A service that reads other things from the table than from its collection is not switched,
// whatever the verification says: it may read what the plan does not know of.
func TestADifferenceOfAShadowReadRefusesACutover(t *testing.T) {
	w := shadowing(t, 20)
	m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", Probe: anyName})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Leave(context.WithoutCancel(w.ctx)) }()
	found := ownership.ShadowReads{Compared: 10, Different: 1, Last: "5: name", LastAt: time.Now()}
	m.SetShadowReads(found)
	waitFor(t, func() bool {
		st, err := w.engine().Status(w.ctx)
		return err == nil && len(st.Members) == 1 && st.Members[0].Shadow.Compared == 10
	})
	_, err = w.engine().Cutover(w.ctx, cutover.Options{DryRun: true})
	if !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), "5: name") {
		t.Errorf("%v", err)
	}
	found.LastAt = time.Now().Add(-w.plan.Budgets.OutOfBandQuiet)
	m.SetShadowReads(found)
	waitFor(t, func() bool {
		_, err := w.engine().Cutover(w.ctx, cutover.Options{DryRun: true})
		return err == nil || !strings.Contains(err.Error(), "5: name")
	})
}
