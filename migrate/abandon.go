package migrate

import (
	"context"
	"fmt"
	"slices"

	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// Abandonment is what Abandon would do now.
type Abandonment struct {
	Entity string `json:"entity"`
	// Collection is how the collection is called, "" where it is gone; Name is how it would
	// be called, its public name.
	Collection string `json:"collection"`
	Name       string `json:"name"`
	// Dropped are the views that would be dropped, with the public name first.
	Dropped []string `json:"dropped,omitempty"`
	// Left are the collections of others, and the tables, which stay.
	Left   []string `json:"left,omitempty"`
	Tables []string `json:"tables"`
}

// RehearseAbandon says what Abandon would do now, and is refused where it would be. It
// changes nothing.
func (e *Engine) RehearseAbandon(ctx context.Context) (Abandonment, error) {
	a := Abandonment{Entity: e.Plan.Entity, Name: e.Plan.Source.Collection}
	rec, err := e.record(ctx)
	if err != nil {
		return a, err
	}
	m, err := e.bound(ctx)
	if err == nil && rec.Owner == ownership.DynamoDB {
		err = fence.ErrSwitched
	}
	if err != nil {
		return a, fmt.Errorf("abandon %s: %w", e.Plan.Entity, err)
	}
	defer m.fence.DDL.Close()
	for _, d := range e.Plan.Definitions() {
		a.Tables = append(a.Tables, d.Table)
	}
	l, err := m.source.Look(ctx)
	a.Collection = l.Locate(m.source.UUID)
	for entry := range l.Entries() {
		switch kind, _ := m.fence.Names.Parse(entry.Name); {
		case entry.View && (kind == names.Public || kind == names.Physical && m.fence.Conditional):
			a.Dropped = append(a.Dropped, entry.Name)
		case entry.Name != a.Collection:
			a.Left = append(a.Left, entry.Name)
		}
	}
	slices.SortFunc(a.Dropped, source.CompareNames)
	slices.SortFunc(a.Left, source.CompareNames)
	return a, err
}
