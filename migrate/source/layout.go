package source

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
)

// Entry is what stands under one of the entity's names.
type Entry struct {
	Name string
	Type string // "collection", "view" or "timeseries"
	View bool
	UUID string // of a collection: 32 hexadecimal digits
	// ViewOn and Pipeline define a view.
	ViewOn   string
	Pipeline int // stages; ours have none
	// Options of a collection as the server lists them; nil without any.
	Options bson.Raw
}

// Layout is what stands under all names of an entity at one moment.
type Layout struct {
	names   names.Names
	entries map[string]Entry
}

// Look lists what stands under the names of an entity.
func Look(ctx context.Context, db *mongo.Database, n names.Names) (Layout, error) {
	l := Layout{names: n, entries: map[string]Entry{}}
	err := retry.Do(ctx, "list the collections of "+db.Name(), func(ctx context.Context) error {
		cursor, err := db.ListCollections(ctx, bson.D{{Key: "name", Value: bson.Regex{Pattern: n.Pattern()}}})
		if err != nil {
			return err
		}
		defer func() { _ = cursor.Close(ctx) }()
		clear(l.entries)
		for cursor.Next(ctx) {
			e := entryOf(cursor.Current)
			l.entries[e.Name] = e
		}
		return cursor.Err()
	})
	return l, err
}

func entryOf(listed bson.Raw) Entry {
	var e Entry
	e.Name, _ = listed.Lookup("name").StringValueOK()
	e.Type, _ = listed.Lookup("type").StringValueOK()
	e.View = e.Type == "view"
	if _, data, ok := listed.Lookup("info", "uuid").BinaryOK(); ok {
		e.UUID = hex.EncodeToString(data)
	}
	options, _ := listed.Lookup("options").DocumentOK()
	e.Options = append(bson.Raw(nil), options...)
	e.ViewOn, _ = e.Options.Lookup("viewOn").StringValueOK()
	if stages, ok := e.Options.Lookup("pipeline").ArrayOK(); ok {
		values, _ := stages.Values()
		e.Pipeline = len(values)
	}
	return e
}

// At is what stands under a name.
func (l Layout) At(name string) (Entry, bool) {
	e, ok := l.entries[name]
	return e, ok
}

// Locate is the name of the collection with a UUID, "" where there is none.
func (l Layout) Locate(uuid string) string {
	for name, e := range l.entries {
		if !e.View && e.UUID == uuid {
			return name
		}
	}
	return ""
}

// Strays are the collections that are not the entity's, in the order of their names:
// those that were set aside, and those that still stand under a vacated name.
func (l Layout) Strays(uuid string) []Entry {
	var all []Entry
	for name, e := range l.entries {
		if kind, _ := l.names.Parse(name); kind != names.Foreign && !e.View && e.UUID != uuid {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return CompareNames(a.Name, b.Name) })
	return all
}

// CompareNames orders names of one entity: those of a lesser generation first.
func CompareNames(a, b string) int {
	switch {
	case len(a) != len(b):
		return len(a) - len(b)
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Collation is that of the collection with a UUID, nil for none. A view of it needs it too.
func (l Layout) Collation(uuid string) bson.Raw {
	c, _ := l.entries[l.Locate(uuid)].Options.Lookup("collation").DocumentOK()
	return c
}

// Entries are all that stand under the names, in no order.
func (l Layout) Entries() iter.Seq[Entry] { return maps.Values(l.entries) }

// MaxDepth is how many views may lead from a name to the collection. MongoDB allows 20.
const MaxDepth = 12

// Leads reports whether the view under a name leads to the collection called current, by
// way of less than depth views without stages.
func (l Layout) Leads(name, current string, depth int) bool {
	for range depth {
		e, ok := l.entries[name]
		switch {
		case name == current:
			return ok && !e.View
		case !ok || !e.View || e.Pipeline > 0:
			return false
		}
		name = e.ViewOn
	}
	return false
}

// Problem says what is wrong under a vacated name, "" for nothing.
func (l Layout) Problem(name, current string) string {
	e, ok := l.entries[name]
	switch {
	case !ok:
		return fmt.Sprintf("the name %s is vacant: a write to it would create a collection", name)
	case !e.View:
		return fmt.Sprintf("a collection that is not the entity's stands under %s", name)
	case !l.Leads(name, current, MaxDepth):
		return fmt.Sprintf("the view %s does not lead to %s", name, current)
	}
	return ""
}
