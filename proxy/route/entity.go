package route

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Defaults of the key follow.
const (
	defaultHoldWait   = 10 * time.Second
	defaultMaxWaiting = 1000
)

// Entity is what a route depends on whose requests change with a migration.
type Entity struct {
	Name       string
	Wait       time.Duration // of a write while the entity's are held
	MaxWaiting int           // requests that wait at once, for the entity

	steps  []step // the furthest phase first
	before string // why the route's own mode counts
}

// step is the mode from a phase on.
type step struct {
	phase ownership.Phase
	mode  Mode
	why   string
}

// Records are who owns the entities, as far as it is known here.
type Records interface {
	Record(entity string) (ownership.Record, bool)
}

// ModeNow is the route's mode, by the file and by the migration of its entity. why is empty
// where it is the file's alone.
func (r *Route) ModeNow(records Records) (mode Mode, why string) {
	if r.Entity == nil || len(r.Entity.steps) == 0 {
		return r.Mode, ""
	}
	if records != nil {
		if rec, known := records.Record(r.Entity.Name); known {
			for _, s := range r.Entity.steps {
				if rec.Reached(s.phase) {
					return s.mode, s.why
				}
			}
			return r.Mode, r.Entity.before
		}
	}
	return r.Mode, "the phase of the entity " + r.Entity.Name + " is not known here: the route's mode is " + string(r.Mode)
}

// follow compiles what the route depends on, and returns the modes that it can get by that.
func (c *compiler) follow(r *Route, s routeSpec) (modes []at[string]) {
	if s.Follow == nil {
		return nil
	}
	f := s.Follow.value
	e := &Entity{Name: f.Entity.value, Wait: cmp.Or(time.Duration(f.Wait.value), defaultHoldWait), MaxWaiting: defaultMaxWaiting}
	r.Entity = e
	if e.Name == "" {
		c.addError(s.Follow.place, "follow needs an entity, such as users")
	}
	if m := f.MaxWaiting; m.isSet() {
		if e.MaxWaiting = m.value; m.value < 1 {
			c.addError(m.place, "invalid maxWaiting %d: it must be above zero", m.value)
		}
	}
	if !slices.Contains(c.table.Entities, e.Name) {
		c.table.Entities = append(c.table.Entities, e.Name)
	}
	for i := len(ownership.Phases) - 1; i >= 0; i-- {
		phase := ownership.Phases[i]
		if m, ok := f.Phases[string(phase)]; ok {
			why := fmt.Sprintf("the entity %s has reached the phase %s: the route's mode is %s", e.Name, phase, m.value)
			e.steps, modes = append(e.steps, step{phase, Mode(m.value), why}), append(modes, m)
			e.before = fmt.Sprintf("the entity %s has not reached the phase %s: the route's mode is %s", e.Name, phase, r.Mode)
		}
	}
	for name, m := range f.Phases {
		if !slices.Contains(ownership.Phases, ownership.Phase(name)) {
			c.addError(m.place, "unknown phase %q: use one of %v", name, ownership.Phases)
		}
	}
	return modes
}
