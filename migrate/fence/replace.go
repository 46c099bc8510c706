package fence

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// replacement is the name of what counts as the collection for whoever begins again or
// gives its name back: the entity's collection, or, where that is gone, what somebody put
// in its place, under the name that it had last. It is "" for nothing.
func (f *Fence) replacement(l source.Layout, rec ownership.Record) string {
	if at := l.Locate(f.UUID); at != "" {
		return at
	}
	if e, there := l.At(rec.Collection); there && !e.View {
		return rec.Collection
	}
	newest, name := int64(0), ""
	for e := range l.Entries() {
		if kind, g := f.Names.Parse(e.Name); kind == names.Physical && !e.View && g > newest && g <= rec.Generation {
			newest, name = g, e.Name
		}
	}
	return name
}

// TakeReplacement makes the entity's collection what stands in its place, for an operator
// who says that this is the source from now on: the members are told its name and UUID,
// which is returned. It may be killed at any instant and called again.
func (f *Fence) TakeReplacement(ctx context.Context) (uuid string, err error) {
	for attempt := 0; ; {
		rec, err := f.Owners.Load(ctx, f.Entity)
		if err != nil {
			return "", err
		}
		if rec.Move != nil && rec.Hold {
			return "", fmt.Errorf("%s is being renamed, in phase %s; wait for its end, or call again the verb that a dead process began", f.Names, rec.Phase)
		}
		l, err := f.look(ctx)
		if err != nil {
			return "", err
		}
		e, _ := l.At(f.replacement(l, rec))
		if kind, _ := f.Names.Parse(e.Name); kind != names.Physical {
			return "", fmt.Errorf("there is no collection %s; restore it, or give the public name back with `banyan-migrate abandon`", rec.Collection)
		}
		if rec.Move == nil && e.Name == rec.Collection && e.UUID == rec.CollectionUUID {
			return e.UUID, nil
		}
		_, err = f.Owners.Update(ctx, rec, func(r *ownership.Record) { towards(r, e) })
		if errors.Is(err, ownership.ErrConflict) && attempt < retry.Attempts {
			err, attempt = retry.Wait(ctx, attempt), attempt+1
		}
		if err != nil {
			return "", err
		}
	}
}

// towards brings a record, under which nothing moves, one change closer to a collection: a
// name changes only by way of a move.
func towards(r *ownership.Record, e source.Entry) {
	switch {
	case r.Move == nil && r.Collection == e.Name:
		r.CollectionUUID = e.UUID
	case r.Move == nil:
		r.Move = &ownership.Move{From: r.Collection, To: e.Name}
	case r.Move.To == e.Name:
		r.Collection, r.CollectionUUID, r.Move = e.Name, e.UUID, nil
	default: // announced, and never sent
		r.Move = nil
	}
}
