package events

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

var (
	// ErrUnknownType is returned for an event whose type the registry does not
	// have. The event is intact: another program knows its type.
	ErrUnknownType = errors.New("unknown event type")
	// ErrUnknownVersion is returned for an event whose type the registry has, in
	// other versions only. The event is intact, and its reader too old for it.
	ErrUnknownVersion = errors.New("unknown event version")
)

// Registry is the set of event types that a program knows. It never changes, and
// is safe for concurrent use. A nil *Registry knows none.
type Registry struct {
	types    map[string][]Type // by name; versions without gaps, oldest first
	personal bool              // any has personal members
}

// NewRegistry makes a registry of types. Of each name there is at least the newest
// version, by [Define]; older ones, by [DefineOld], go back from it without
// a gap. Registries are merged by giving the [Registry.Types] of several.
//
// It refuses a version that is there twice, one that is missing between others,
// one whose lift leads to another Go type than the next version has, a type
// without a name, a version from 1, or a description of its partition key, and one whose
// example cannot be written as JSON and read again, or not without its personal members: its
// subject, its partition key and its lift must not depend on them.
func NewRegistry(types ...Type) (*Registry, error) {
	r := &Registry{types: make(map[string][]Type)}
	for _, t := range types {
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("events: register %q version %d: %w", shorten(t.Name), t.Version, err)
		}
		r.types[t.Name] = append(r.types[t.Name], t)
		r.personal = r.personal || t.personal != nil
	}
	for name, versions := range r.types {
		slices.SortFunc(versions, func(a, b Type) int { return cmp.Compare(a.Version, b.Version) })
		if err := checkVersions(versions); err != nil {
			return nil, fmt.Errorf("events: register %q: %w", shorten(name), err)
		}
	}
	return r, nil
}

// MustRegistry is [NewRegistry] for package variables: it panics on an error.
func MustRegistry(types ...Type) *Registry {
	r, err := NewRegistry(types...)
	if err != nil {
		panic(err)
	}
	return r
}

// checkVersions reports what keeps the oldest version from being lifted to the
// newest. They are in order.
func checkVersions(versions []Type) error {
	for i, t := range versions[:len(versions)-1] {
		next := versions[i+1]
		switch {
		case t.Version == next.Version:
			return fmt.Errorf("version %d is defined twice, as %s and as %s", t.Version, t.goType, next.goType)
		case t.Version+1 != next.Version:
			return fmt.Errorf("version %d is missing between %d and %d", t.Version+1, t.Version, next.Version)
		case t.lift == nil:
			return fmt.Errorf("version %d has no lift to version %d: define it by DefineOld", t.Version, next.Version)
		case t.liftedTo != next.goType:
			return fmt.Errorf("version %d is lifted to %s, and version %d is %s", t.Version, t.liftedTo, next.Version, next.goType)
		}
	}
	if newest := versions[len(versions)-1]; newest.lift != nil {
		return fmt.Errorf("version %d is lifted to version %d, which is missing: a lift leads to the next version of the same type", newest.Version, newest.Version+1)
	}
	return nil
}

// Types lists every version of every type, by name and version.
func (r *Registry) Types() []Type {
	var all []Type
	if r != nil {
		for _, versions := range r.types {
			all = append(all, versions...)
		}
	}
	slices.SortFunc(all, func(a, b Type) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return all
}

// Decode returns the payload of e in the newest version of its type, lifted step
// by step where e has an older one. Its Go type is the one that was defined, so
// that a type switch tells payloads apart. Members of the data that the Go type
// does not have are skipped. Personal members that are sealed (see
// [Registry.Withholds]) are left at their zero values, and Validate is not called then.
//
// It fails with [ErrUnknownType] or [ErrUnknownVersion] when the registry does
// not have the type or the version, and with [ErrMalformed] when e breaks the
// promise of its type (see [Registry.Check]) or cannot be lifted.
func (r *Registry) Decode(e Event) (Payload, error) {
	versions, err := r.versionsFrom(&e)
	if err != nil {
		return nil, err
	}
	p, err := versions[0].decodeAndCheck(&e)
	if err != nil {
		return nil, err
	}
	for _, t := range versions[:len(versions)-1] {
		if p, err = t.liftFrom(p, !r.Withholds(e)); err != nil {
			return nil, payloadError(&e, fmt.Errorf("%w: data: lift %s version %d to %d: %w", ErrMalformed, t.Name, t.Version, t.Version+1, err))
		}
	}
	return p, nil
}

// Check reports whether e keeps the promise of its type: nil or [ErrMalformed].
// The promise is that the data fits the Go type of that version, with every
// member that the Go type always writes (all but those with omitempty or
// omitzero; inside of lists and maps nothing is required); that the payload's
// own Validate, if it has that method, accepts it; and that the partition key
// which the payload names is not empty and equals that of the envelope. A personal
// member may be sealed; Validate is not called then.
//
// Nothing is promised for types and versions that the registry does not have.
func (r *Registry) Check(e Event) error {
	versions, err := r.versionsFrom(&e)
	if err != nil {
		return nil
	}
	_, err = versions[0].decodeAndCheck(&e)
	return err
}

// versionsFrom returns the version of the type that e has, and all newer ones.
func (r *Registry) versionsFrom(e *Event) ([]Type, error) {
	var versions []Type
	if r != nil {
		versions = r.types[e.Type]
	}
	if len(versions) == 0 {
		return nil, payloadError(e, fmt.Errorf("%w: %q version %d", ErrUnknownType, shorten(e.Type), e.Version))
	}
	oldest := versions[0].Version
	if e.Version < oldest || e.Version-oldest >= len(versions) {
		return nil, payloadError(e, fmt.Errorf("%w: %q version %d", ErrUnknownVersion, shorten(e.Type), e.Version))
	}
	return versions[e.Version-oldest:], nil
}
