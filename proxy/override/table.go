package override

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a [Table].
type Config struct {
	Store Store            // default: none, and the overrides end with the process
	Poll  time.Duration    // how often the store is read; default 1 s
	Limit time.Duration    // how long one exchange with the store may take; default 2 s
	Now   func() time.Time // default time.Now
	Log   *slog.Logger     // the audit: each change of what is in force, and what the store refused; default discards
}

// Table is the overrides by the route's name. All methods are safe for concurrent use.
type Table struct {
	cfg  Config
	view atomic.Pointer[map[string]Override] // with the traces of ended ones; never changed
	wake chan struct{}                       // something is to be stored

	syncing sync.Mutex // one exchange with the store at a time

	mu        sync.Mutex
	stored    State
	pending   map[string]*pendingChange
	announced map[string]Override // what was last said to be in force
	err       error
}

// pendingChange is a change that is not stored yet.
type pendingChange struct {
	Override
	base int64 // revision of the route's stored override that the change was made upon
	lost bool
}

// New returns a table without overrides. [Table.Sync] reads those of the store.
func New(cfg Config) *Table {
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Limit = cmp.Or(cfg.Limit, 2*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Table{cfg: cfg, wake: make(chan struct{}, 1), pending: map[string]*pendingChange{}, announced: map[string]Override{}}
	t.view.Store(&map[string]Override{})
	return t
}

// Of returns the override that is in force for a route. It takes no lock.
func (t *Table) Of(route string) (Override, bool) {
	o, ok := (*t.view.Load())[route]
	return o, ok && o.InForce(t.cfg.Now())
}

// Last returns the newest override of a route, also for a day after it ended or was cleared.
func (t *Table) Last(route string) (Override, bool) {
	o, ok := (*t.view.Load())[route]
	return o, ok
}

// All returns the overrides in force, by route.
func (t *Table) All() []Override {
	now := t.cfg.Now()
	var all []Override
	for _, o := range *t.view.Load() {
		if o.InForce(now) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Override) int { return strings.Compare(a.Route, b.Route) })
	return all
}

// Apply puts o in force in this process and leaves the storing to [Table.Run]. It fails for
// an invalid override only. One without a Mode clears the route's.
func (t *Table) Apply(o Override) error {
	_, err := t.apply(o)
	return err
}

// Set puts o in force in this process at once, and returns when it is stored. After an error
// that is not ErrConflict the override is in force here alone, and [Table.Run] tries again.
func (t *Table) Set(ctx context.Context, o Override) error {
	change, err := t.apply(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	err = t.Sync(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case change.lost:
		return fmt.Errorf("override route %q: %w", o.Route, ErrConflict)
	case err != nil && t.pending[o.Route] == change:
		return fmt.Errorf("override of route %q is in force in this process alone, and will be stored when that is possible: %w", o.Route, err)
	}
	return nil
}

// Clear ends the override of a route as Set puts one in force.
func (t *Table) Clear(ctx context.Context, route, by, why string) error {
	return t.Set(ctx, Override{Route: route, By: by, Why: why})
}

func (t *Table) apply(o Override) (*pendingChange, error) {
	now := t.cfg.Now()
	o.At, o.Revision = now.UTC().Round(0), 0
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Mode != "" && !o.InForce(now) {
		return nil, fmt.Errorf("override of route %q: invalid until %v: it has passed", o.Route, o.Until)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	change := &pendingChange{Override: o, base: t.stored.of(o.Route).Revision}
	if before := t.pending[o.Route]; before != nil {
		change.base = before.base
	}
	t.pending[o.Route] = change
	t.publishLocked()
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return change, nil
}

// Run reads the store again and again, and stores what it lacks, until ctx ends.
func (t *Table) Run(ctx context.Context) {
	tick := time.NewTicker(t.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.wake:
		}
		_ = t.Sync(ctx)
	}
}

// attempts bounds how often a state is read anew because another process has changed it.
const attempts = 8

// Sync reads the store and stores what it lacks, once. After an error the overrides that
// were in force stay so.
func (t *Table) Sync(ctx context.Context) error {
	t.syncing.Lock()
	defer t.syncing.Unlock()
	err := t.sync(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && ctx.Err() == nil && (t.err == nil || t.err.Error() != err.Error()) {
		t.cfg.Log.Error("store of overrides failed: those in force stay, changes are stored later", "error", err.Error(), "pending", len(t.pending))
	}
	t.err = err
	t.publishLocked() // what has ended
	return err
}

func (t *Table) sync(ctx context.Context) error {
	if t.cfg.Store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Limit)
	defer cancel()
	for range attempts {
		found, err := t.cfg.Store.Load(ctx)
		if err != nil {
			return err
		}
		next, sent := t.merge(found)
		if next.Revision != found.Revision {
			err := t.cfg.Store.Save(ctx, found.Revision, next)
			if errors.Is(err, ErrConflict) {
				continue
			}
			if err != nil {
				return err
			}
		}
		t.adopt(next, sent)
		return nil
	}
	return fmt.Errorf("other processes changed the overrides %d times while this one tried to: %w", attempts, ErrConflict)
}

// merge returns what the store should have, and the pending changes in it. Those of routes
// that were changed in the store meanwhile are given up. A store that went back, since it was
// emptied or restored, is brought forward again.
func (t *Table) merge(found State) (State, []*pendingChange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	base := found
	if found.Revision < t.stored.Revision {
		t.cfg.Log.Warn("store of overrides went back: it is brought forward again", "from", t.stored.Revision, "to", found.Revision)
		base = t.stored
	}
	var sent []*pendingChange
	var changes []Override
	for route, change := range t.pending {
		if now := base.of(route); now.Revision != change.base {
			change.lost = true
			delete(t.pending, route)
			t.cfg.Log.Warn("override given up: another process has changed it meanwhile",
				"route", route, "mode", change.Mode, "by", change.By, "why", change.Why, "now", now.Mode, "nowBy", now.By)
			continue
		}
		sent, changes = append(sent, change), append(changes, change.Override)
	}
	if base.Revision == found.Revision && len(changes) == 0 {
		return found, nil
	}
	return base.with(base.Revision+1, changes, t.cfg.Now()), sent
}

func (t *Table) adopt(state State, sent []*pendingChange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stored = state
	for _, change := range sent {
		if newer := t.pending[change.Route]; newer == change {
			delete(t.pending, change.Route)
		} else if newer != nil {
			newer.base = state.Revision
		}
	}
	t.publishLocked()
}

// publishLocked makes what is stored and what is pending the view of all readers, and announces
// each route whose override in force is another than before.
func (t *Table) publishLocked() {
	now := t.cfg.Now()
	view := make(map[string]Override, len(t.stored.Overrides)+len(t.pending))
	for _, o := range t.stored.Overrides {
		view[o.Route] = o
	}
	for route, change := range t.pending {
		view[route] = change.Override
	}
	t.view.Store(&view)
	routes := slices.Collect(maps.Keys(view))
	for route := range t.announced {
		if _, ok := view[route]; !ok {
			routes = append(routes, route)
		}
	}
	slices.Sort(routes)
	for _, route := range routes {
		before, after := t.announced[route], view[route]
		if after.Mode != "" && !after.InForce(now) {
			after = Override{By: after.By, Why: "it has ended", At: after.Until}
		}
		if before.Mode == "" && after.Mode == "" || before.isSame(after) {
			continue
		}
		after.Route = route
		if after.Mode == "" {
			delete(t.announced, route)
		} else {
			t.announced[route] = after
		}
		t.announce(before, after)
	}
}

// isSame disregards when it was stored.
func (o Override) isSame(p Override) bool {
	return o.At.Equal(p.At) && o.Until.Equal(p.Until) && o.Mode == p.Mode && o.Percent == p.Percent && o.By == p.By &&
		o.Why == p.Why && o.Pinned == p.Pinned && o.Attempt == p.Attempt
}

// announce writes the audit. A Mode that is empty means that there is none.
func (t *Table) announce(before, after Override) {
	say := func(o Override) string {
		if o.Mode == Split {
			return fmt.Sprintf("split %g%%", o.Percent)
		}
		return cmp.Or(o.Mode, "none")
	}
	t.cfg.Log.Warn("override", "route", after.Route, "from", say(before), "to", say(after), "by", after.By, "why", after.Why,
		"at", after.At, "until", after.Until, "pinned", after.Pinned, "attempt", after.Attempt)
}
