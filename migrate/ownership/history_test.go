package ownership_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// TestHistoryHasEveryChange: also one whose process ended right behind it, and one made while
// writes are held, stands in the history once, with its evidence; what changes neither the
// owner nor the phase does not.
func TestHistoryHasEveryChange(t *testing.T) {
	server := newServer(t)
	table := tableOn(server)
	r, err := table.Load(t.Context(), entity)
	if err != nil {
		t.Fatal(err)
	}
	update := func(table *ownership.Table, change func(*ownership.Record)) {
		t.Helper()
		if r, err = table.Update(t.Context(), r, change); err != nil {
			t.Fatal(err)
		}
	}
	update(table, func(r *ownership.Record) { r.Phase = ownership.Shadowing })
	update(table, func(r *ownership.Record) { r.Hold = true })
	update(table, func(r *ownership.Record) {
		r.Phase, r.Owner, r.Epoch = ownership.Switched, ownership.DynamoDB, 2
		r.Changed = &ownership.Change{Evidence: []string{"verification 7", strings.Repeat("é", 1000)}}
	})
	// Another process goes on.
	other := tableOn(server)
	if r, err = other.Load(t.Context(), entity); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		all, err := other.History(t.Context(), entity)
		if err != nil || len(all) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		switched := all[1]
		if switched.Owner != ownership.DynamoDB || switched.FromOwner != ownership.MongoDB || switched.FromPhase != ownership.Shadowing ||
			switched.Epoch != 2 || switched.Revision != 3 || switched.By != ownership.Operator() || switched.At.IsZero() {
			t.Errorf("%+v", switched)
		}
		if e := switched.Evidence; len(e) != 2 || e[0] != "verification 7" || len(e[1]) > 300 || !strings.HasPrefix(e[1], "éé") {
			t.Errorf("evidence %q", e)
		}
		if r.Hold {
			update(other, func(r *ownership.Record) { r.Hold = false })
		}
	}
	update(other, func(r *ownership.Record) { r.Phase = ownership.Complete })
	all, err := table.History(t.Context(), entity)
	if err != nil || len(all) != 3 || all[1].Phase != ownership.Switched || all[2].Phase != ownership.Complete || len(all[2].Evidence) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestHistoryIsBounded: the oldest changes go, and the newest stay.
func TestHistoryIsBounded(t *testing.T) {
	table := tableOn(newServer(t))
	r, err := table.Load(t.Context(), entity)
	for i := range ownership.MaxHistory + 5 {
		if err != nil {
			t.Fatal(err)
		}
		r, err = table.Update(t.Context(), r, func(r *ownership.Record) {
			r.Phase = []ownership.Phase{ownership.Copying, ownership.Shadowing}[i%2]
			r.Changed = &ownership.Change{Evidence: []string{fmt.Sprint(i)}}
		})
	}
	all, historyErr := table.History(t.Context(), entity)
	if err != nil || historyErr != nil || len(all) != ownership.MaxHistory || all[0].Evidence[0] != "5" ||
		!slices.IsSortedFunc(all, func(a, b ownership.Change) int { return int(a.Revision - b.Revision) }) {
		t.Errorf("%d changes, %v %v", len(all), err, historyErr)
	}
}
