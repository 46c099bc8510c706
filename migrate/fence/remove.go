package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// ErrNotComplete says that the collection is dropped only behind the end of its migration.
var ErrNotComplete error = retry.Permanent("the collection may be dropped only in phase complete")

// Remove drops the collection of a migration that is complete, and the views that lead to
// it, and returns their names in that order. It may be killed at any instant and called
// again. Strays are others' and stay: while there are any, it is refused with [ErrStray].
//
// A drop of a view cannot be conditional, so it must not arrive late, when somebody has
// created a collection of that name: before each command it is proved that no earlier one
// can still arrive, and once more at the end.
func (f *Fence) Remove(ctx context.Context, rec ownership.Record) ([]string, error) {
	if rec.Phase != ownership.Complete || rec.Move != nil {
		return nil, fmt.Errorf("drop %s in phase %s: %w", f.Names, rec.Phase, ErrNotComplete)
	}
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	var gone []string
	for attempt := 0; ; attempt++ {
		err := f.awaitAlone(ctx)
		var l source.Layout
		if err == nil {
			l, err = f.lookInTurn(ctx, rec)
		}
		if err == nil {
			if strays := l.Strays(f.UUID); len(strays) > 0 {
				return gone, fmt.Errorf("drop %s: %w: %s", f.Names, ErrStray, strays[0].Name)
			}
			next, there := f.nextToRemove(l)
			if !there {
				return gone, nil
			}
			if err = f.DDL.drop(ctx, next.Name, f.condition(next.UUID)); err == nil && !slices.Contains(gone, next.Name) {
				gone = append(gone, next.Name)
			}
			if err == nil || mongoerr.HasCode(err, mongoerr.NamespaceNotFound) {
				attempt = 0
				continue
			}
		}
		if errors.Is(err, ownership.ErrConflict) {
			return gone, err
		}
		if err := f.retryable(ctx, err, attempt); err != nil {
			return gone, fmt.Errorf("drop %s: %w", f.Names, err)
		}
	}
}

// Removable are the names that [Fence.Remove] would drop now, in its order.
func (f *Fence) Removable(ctx context.Context) ([]string, error) {
	l, err := f.look(ctx)
	var all []string
	for _, e := range f.removable(l) {
		all = append(all, e.Name)
	}
	return all, err
}

func (f *Fence) nextToRemove(l source.Layout) (source.Entry, bool) {
	all := f.removable(l)
	if len(all) == 0 {
		return source.Entry{}, false
	}
	return all[0], true
}

// removable is the collection, and then the views from the one that leads to it on: a view
// whose end is gone shows nothing, and is found again after a crash by where it leads.
func (f *Fence) removable(l source.Layout) []source.Entry {
	var all []source.Entry
	for e := range l.Entries() {
		kind, _ := f.Names.Parse(e.Name)
		to, _ := f.Names.Parse(e.ViewOn)
		switch {
		case !e.View && e.UUID == f.UUID:
			all = append(all, e)
		case e.View && e.Pipeline == 0 && (kind == names.Public || kind == names.Physical) && to == names.Physical:
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b source.Entry) int {
		if a.View != b.View {
			if b.View {
				return -1
			}
			return 1
		}
		return -source.CompareNames(a.Name, b.Name)
	})
	return all
}
