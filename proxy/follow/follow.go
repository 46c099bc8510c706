// Package follow watches who owns the entities that routes depend on, so that the routes move
// with a migration by themselves, and writes wait while they are held for a change of owner.
//
//	records := follow.New(follow.Config{Open: open})
//	err := records.Use(ctx, []string{"users"}) // those of the route file
//	rec, known := records.Record("users")
//	err = records.Wait(ctx, "users", 10*time.Second, 1000) // ownership.ErrHeld
//
// # Caveats
//
//   - A proxy is no member and holds no lease: it reads the record (one small consistent read
//     each 250 ms and entity, each 25 ms while the owner changes), and nobody waits for it. A
//     request may go where the record said until the reading before; the owning service and
//     the stores refuse or redirect what is late, as they do without a proxy.
//   - While the control table cannot be read, the record that was read last stays in force for
//     routes, however old it is, so that an outage moves nothing. Nothing waits for a hold
//     that was not seen for 5 s (MaxStale).
//   - Where no record was read yet, since the process began during an outage, the owner is
//     not known: writes are held until it is, each for 5 s at most, and reads go by the
//     routes' own modes. Unread says so.
package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// ErrNoControl is returned for entities where Config.Open is missing.
var ErrNoControl = errors.New("no control table is configured")

// Bounds of one reading.
const (
	firstTimeout = 5 * time.Second
	readTimeout  = time.Second
)

// Config says how records are read. Open is required where a route follows an entity.
type Config struct {
	// Open connects to the control table. It is called once, before the first reading.
	Open func(context.Context) (*ownership.Table, error)
	// Every is the time between two readings in calm. Default 250 ms.
	Every time.Duration
	// EveryChanging is the same while the owner is about to change. Default 25 ms.
	EveryChanging time.Duration
	// MaxStale is how long a hold counts that cannot be read again. Default 5 s.
	MaxStale time.Duration
	Log      *slog.Logger // default discards
}

// Records are those of the entities in use. It is safe for concurrent use. Make it with New
// and end it with Close.
type Records struct {
	cfg   Config
	mu    sync.Mutex // of Prepare
	table *ownership.Table
	inUse atomic.Pointer[map[string]*entity]
}

// New has none.
func New(cfg Config) *Records {
	cfg.Every = cmp.Or(cfg.Every, 250*time.Millisecond)
	cfg.EveryChanging = cmp.Or(cfg.EveryChanging, 25*time.Millisecond)
	cfg.MaxStale = cmp.Or(cfg.MaxStale, 5*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Records{cfg: cfg}
	r.inUse.Store(&map[string]*entity{})
	return r
}

// Use follows these entities from now on, and no others. It fails as [Records.Prepare] does.
func (r *Records) Use(ctx context.Context, names []string) error {
	use, err := r.Prepare(ctx, names, false)
	if err == nil {
		use()()
	}
	return err
}

// Prepare reads the records of entities that are not followed yet, for 5 s at most, and changes
// nothing. With unread, those that cannot be read are not known, which is no failure, unless there
// is no control table. use begins to follow them, and forget ends to follow all others. What is done with
// one preparation must not overlap with another.
func (r *Records) Prepare(ctx context.Context, names []string, unread bool) (use func() (forget func()), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.open(ctx, names); err != nil {
		return nil, err
	}
	old, next, added := *r.inUse.Load(), map[string]*entity{}, []*entity(nil)
	reading, cancel := context.WithTimeout(ctx, firstTimeout)
	defer cancel()
	for _, name := range names {
		if next[name] = old[name]; next[name] == nil {
			e := newEntity(name, r.cfg)
			err := e.read(reading, r.table)
			switch {
			case unread && err != nil && !errors.Is(err, ownership.ErrNoTable): // that is a mistake, and no outage
				e.tell(ctx, err)
			case err != nil:
				return nil, fmt.Errorf("follow the entity %s: %w", name, err)
			case e.state.Load().record.Revision == 0:
				r.cfg.Log.WarnContext(ctx, "an entity that routes follow has no record in the control table: it counts as not migrated; check its name",
					"entity", name, "table", r.table.Name())
			}
			next[name], added = e, append(added, e)
		}
	}
	return func() func() {
		both := maps.Clone(old)
		for _, e := range added {
			e.start(context.WithoutCancel(ctx), r.table)
			both[e.name] = e
		}
		r.inUse.Store(&both)
		return func() {
			r.inUse.Store(&next)
			for name, e := range old {
				if next[name] == nil {
					e.end()
				}
			}
		}
	}, nil
}

func (r *Records) open(ctx context.Context, names []string) (err error) {
	switch {
	case r.table != nil || len(names) == 0:
	case r.cfg.Open == nil:
		err = ErrNoControl
	default:
		r.table, err = r.cfg.Open(ctx)
	}
	if err != nil {
		return fmt.Errorf("follow the entity %s: %w", names[0], err)
	}
	return nil
}

// Close ends the following, and every wait.
func (r *Records) Close() { _ = r.Use(context.Background(), nil) } // nothing is read

func (r *Records) entity(name string) *entity { return (*r.inUse.Load())[name] }

// Unread lists the entities whose record was not read yet.
func (r *Records) Unread() (names []string) {
	for name, e := range *r.inUse.Load() {
		if !e.state.Load().known {
			names = append(names, name)
		}
	}
	return names
}

// Record is the entity's record as it was read last; false for an entity that is not
// followed, or was not read yet.
func (r *Records) Record(name string) (ownership.Record, bool) {
	e := r.entity(name)
	if e == nil {
		return ownership.Record{}, false
	}
	s := e.state.Load()
	return s.record, s.known
}

// Held reports whether writes of the entity are held, as they are too where it was not read yet.
func (r *Records) Held(name string) bool {
	e := r.entity(name)
	return e != nil && e.heldFor(e.state.Load(), time.Now()) > 0
}

// Wait returns once writes of the entity are not held, at once where they are not. It fails
// with [ownership.ErrHeld] after patience, and at once where most others wait, and with the
// cause of ctx where that ends first.
func (r *Records) Wait(ctx context.Context, name string, patience time.Duration, most int) error {
	e := r.entity(name)
	if e == nil {
		return nil
	}
	s := e.state.Load()
	left := e.heldFor(s, time.Now())
	if left <= 0 {
		return nil
	}
	defer e.waiting.Add(-1)
	if e.waiting.Add(1) > int64(most) {
		e.gaveUp.Add(1)
		return fmt.Errorf("%d writes of %s wait already: %w", most, name, ownership.ErrHeld)
	}
	if !s.known { // an outage has no end to wait for
		patience = min(patience, e.cfg.MaxStale)
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	for left > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over.C:
			e.gaveUp.Add(1)
			return fmt.Errorf("a write of %s has waited for %s: %w", name, patience, ownership.ErrHeld)
		case <-s.changed:
		case <-time.After(left):
		}
		s = e.state.Load()
		left = e.heldFor(s, time.Now())
	}
	e.waited.Add(1)
	return nil
}

// State is what is known of one entity.
type State struct {
	Entity string          `json:"entity"`
	Owner  ownership.Store `json:"owner"`
	Epoch  int64           `json:"epoch"`
	Phase  ownership.Phase `json:"phase"`
	Held   bool            `json:"held,omitempty"` // writes are
	Age    float64         `json:"ageSeconds"`     // since the reading that brought it was sent, or the following began
	Error  string          `json:"error,omitempty"`
	// Writes that wait now, that have waited and gone on, and that were refused because of the
	// time or the number, since the entity is followed.
	Waiting int64 `json:"waiting,omitempty"`
	Waited  int64 `json:"waited,omitempty"`
	GaveUp  int64 `json:"gaveUp,omitempty"`
}

// States lists the entities by name.
func (r *Records) States() []State {
	all := *r.inUse.Load()
	out := make([]State, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s, _ := r.State(name)
		out = append(out, s)
	}
	return out
}

// State is that of one entity; false for one that is not followed.
func (r *Records) State(name string) (State, bool) {
	e := r.entity(name)
	if e == nil {
		return State{}, false
	}
	now, rec := time.Now(), e.state.Load().record
	s := State{
		Entity: name, Owner: rec.Owner, Epoch: rec.Epoch, Phase: rec.Phase, Held: r.Held(name), Age: now.Sub(*e.sent.Load()).Seconds(),
		Waiting: e.waiting.Load(), Waited: e.waited.Load(), GaveUp: e.gaveUp.Load(),
	}
	if failed := e.failed.Load(); failed != nil {
		s.Error = *failed
	}
	return s, true
}
