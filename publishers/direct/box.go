package direct

import (
	"context"
	"time"
)

// Place is where the entries of one entity wait, as its [Box] writes it.
type Place string

// Event is one that is encoded, see events.Encode.
type Event struct {
	Key  string // the partition key
	Data []byte
}

// Entry is what one write left in a place, or a part of that, which is removed as one.
type Entry struct {
	Place  Place
	ID     string // no other entry of the place has it, also later
	Events []Event
}

// Box is the outbox of one store. Its methods may be called by several goroutines, and may
// be repeated when their outcome is unknown.
type Box interface {
	// Waiting returns what waits in a place, in the order of the writes.
	Waiting(ctx context.Context, place Place) ([]Entry, error)
	// Claim reserves the place of an entry for a claimant, until a time, provided that the
	// entry waits there, as the first, and that no other has reserved the place.
	Claim(ctx context.Context, first Entry, claimant string, until time.Time) (claimed bool, err error)
	// Remove removes entries, those of a place in their order. Some may be gone already.
	Remove(ctx context.Context, entries []Entry) error
	// Each calls visit with what waits in each place, in no order of places.
	Each(ctx context.Context, visit func([]Entry) error) error
}

// Write is what a write has left in a box.
type Write struct {
	Box   Box
	Place Place
	// Began is when it was sent, or earlier.
	Began time.Time
	// Own are its entries, in their order.
	Own []Entry
	// Before is what waited before them; with Unread, Publish looks.
	Before []Entry
	Unread bool
}
