// Package override turns single routes another way than the route file says: back to the
// legacy app, to the new API, or to a percentage of the subjects. An operator does so
// through the admin API, a guard by itself. Overrides are by the route's name and are no
// part of the route file, so that they survive its reloads and the process.
//
// A [Table] is read by every request without a lock. A change takes effect in the process
// that makes it at once, whether or not its [Store] can be reached; it is stored as soon
// as that is possible, and the other processes of the fleet have it within a [Config.Poll].
// A store that cannot be reached, or holds what this package did not write, leaves the last
// overrides that were read in force:
//
//	table := override.New(override.Config{Store: override.NewFile(path), Log: log})
//	err := table.Sync(ctx) // before the first request
//	go table.Run(ctx)
//	err = table.Set(ctx, override.Override{Route: "order", Mode: override.Legacy, By: "ann", Why: "wrong totals"})
//
// Of two processes that change the same route without having seen each other's change, the
// one that reaches the store first wins; the other is told ([ErrConflict]), or, if it was cut
// off, gives its change up with a line in the log. No clock decides that. Clocks decide when
// an override ends, so an end may be seen late by as much as the clocks of a fleet differ.
//
// A process that starts while its store is away has no overrides. [Table.Sync] says so, and
// the caller decides whether it takes requests.
package override

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// The modes of an override, which are those of a route.
const (
	Legacy  = "legacy"
	Forward = "forward"
	Split   = "split"
)

// maxText bounds each text of an override, in bytes.
const maxText = 1024

// ErrInvalid is returned for a change that makes no sense (see [Override.Validate]), and was not made.
var ErrInvalid = errors.New("nothing was changed")

// ErrConflict is returned for a change of a route that another process has changed
// meanwhile. The table then has that process' change: look at it, and decide again.
var ErrConflict = errors.New("another process has changed it meanwhile")

// Override is where one route's requests go instead of where the route file says. One
// without a Mode is the trace of one that was cleared.
type Override struct {
	Route string `json:"route"` // its name
	Mode  string `json:"mode,omitempty"`
	// Percent of the subjects are forwarded, 0 to 100, with Split.
	Percent float64   `json:"percent,omitempty"`
	Until   time.Time `json:"until,omitzero"` // it ends by itself; zero: it stays until it is cleared
	By      string    `json:"by"`             // who decided it
	Why     string    `json:"why"`
	At      time.Time `json:"at"` // set by the table
	// Pinned keeps guards from changing it.
	Pinned bool `json:"pinned,omitempty"`
	// Attempt counts how often a guard has turned the route back since it last went well.
	Attempt int `json:"attempt,omitempty"`
	// Revision of the store in which it was stored; 0 while this process alone has it.
	Revision int64 `json:"revision,omitempty"`
}

// InForce reports whether the override says at this time where requests go.
func (o Override) InForce(now time.Time) bool {
	return o.Mode != "" && (o.Until.IsZero() || now.Before(o.Until))
}

// Validate reports what makes the override meaningless. Whoever made one must say who they are, and why.
func (o Override) Validate() error {
	switch o.Mode {
	case "", Legacy, Forward, Split:
	default:
		return fmt.Errorf("override of route %q: invalid mode %q: it must be legacy, forward or split", o.Route, o.Mode)
	}
	if !(o.Percent >= 0 && o.Percent <= 100) || o.Percent != 0 && o.Mode != Split {
		return fmt.Errorf("override of route %q: invalid percent %v: it must be 0 to 100, and belongs to mode split", o.Route, o.Percent)
	}
	for _, text := range []struct{ name, value string }{{"route", o.Route}, {"by", o.By}, {"why", o.Why}} {
		if text.value == "" || len(text.value) > maxText || !utf8.ValidString(text.value) {
			return fmt.Errorf("override of route %q: invalid %s: it must be a text of 1 to %d bytes", o.Route, text.name, maxText)
		}
	}
	return nil
}
