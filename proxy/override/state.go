package override

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Store keeps the overrides of a fleet. Implementations are safe for concurrent use.
type Store interface {
	// Load returns what was saved last, the zero State where nothing was.
	Load(ctx context.Context) (State, error)
	// Save replaces the state of revision old by next, as a whole and durably, and fails with an
	// error that wraps ErrConflict where the state has another revision.
	Save(ctx context.Context, old int64, next State) error
}

// State is what a store keeps.
type State struct {
	Revision  int64      // grows with each change
	Overrides []Override // by route, at most one each
}

const (
	kind    = "banyan-overrides"
	version = 1
	// maxState bounds an encoded state, in bytes: a DynamoDB item has at most 400 KB.
	maxState = 350 << 10
	// remembered is how long the trace of an override that has ended is kept.
	remembered = 24 * time.Hour
)

type document struct {
	Kind      string     `json:"kind"`
	Version   int        `json:"version"`
	Revision  int64      `json:"revision"`
	Overrides []Override `json:"overrides"`
}

func encode(s State) ([]byte, error) {
	out, err := json.MarshalIndent(document{kind, version, s.Revision, s.Overrides}, "", " ")
	if err == nil && len(out) > maxState {
		err = fmt.Errorf("the overrides have %d bytes, more than the %d allowed: clear some, or shorten their reasons", len(out), maxState)
	}
	return out, err
}

// decode refuses whatever encode cannot have written: a part of a state, another program's
// document, and that of a later version, of which a change would lose what this one does not know.
func decode(src []byte) (State, error) {
	if len(src) > maxState {
		return State{}, fmt.Errorf("%d bytes are more than the %d allowed", len(src), maxState)
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.DisallowUnknownFields()
	err := dec.Decode(&d)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return State{}, errors.New("it is empty or ends early, as if half written")
	case err != nil:
		return State{}, fmt.Errorf("not overrides of version %d: %w", version, err)
	case d.Kind != kind || d.Version != version || d.Revision < 1:
		return State{}, fmt.Errorf("kind %q, version %d, revision %d: not overrides of version %d", d.Kind, d.Version, d.Revision, version)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return State{}, errors.New("something follows the overrides")
	}
	if d.Overrides == nil {
		return State{}, errors.New(`no member "overrides"`)
	}
	seen := map[string]bool{}
	for _, o := range d.Overrides {
		if err := o.Validate(); err != nil {
			return State{}, err
		}
		if seen[o.Route] {
			return State{}, fmt.Errorf("route %q has two overrides", o.Route)
		}
		seen[o.Route] = true
	}
	return State{d.Revision, d.Overrides}, nil
}

// of returns the state's override of a route, the zero one where it has none.
func (s State) of(route string) Override {
	if i := slices.IndexFunc(s.Overrides, func(o Override) bool { return o.Route == route }); i >= 0 {
		return s.Overrides[i]
	}
	return Override{}
}

// with returns the state of the next revision: s, the changes, and nothing that ended long ago.
func (s State) with(revision int64, changes []Override, now time.Time) State {
	byRoute := map[string]Override{}
	for _, o := range s.Overrides {
		byRoute[o.Route] = o
	}
	for _, o := range changes {
		o.Revision = revision
		byRoute[o.Route] = o
	}
	maps.DeleteFunc(byRoute, func(_ string, o Override) bool {
		ended := o.Until
		if o.Mode == "" {
			ended = o.At
		}
		return !o.InForce(now) && now.Sub(ended) > remembered
	})
	next := State{revision, make([]Override, 0, len(byRoute))}
	for _, o := range byRoute {
		next.Overrides = append(next.Overrides, o)
	}
	slices.SortFunc(next.Overrides, func(a, b Override) int { return strings.Compare(a.Route, b.Route) })
	return next
}
