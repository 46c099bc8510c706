package replay

import (
	"slices"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/events"
)

// Filter selects events. The zero value selects all.
type Filter struct {
	Keys  []string // partition keys; empty: all
	Types []string // event types; empty: all, and what is no event
}

// Keep is for [Replay].
func (f Filter) Keep(e archive.Event) bool {
	if len(f.Keys) > 0 && !slices.Contains(f.Keys, e.Key) {
		return false
	}
	if len(f.Types) == 0 {
		return true
	}
	event, err := events.Decode(e.Raw)
	return err == nil && slices.Contains(f.Types, event.Type)
}
