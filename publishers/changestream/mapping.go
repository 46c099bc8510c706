package changestream

import (
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Change is a change of a document, or, with the operation "snapshot", a
// document as a snapshot read it.
type Change = mongostream.Change

// ErrSkip is what a mapping returns for a change that it matches and makes no
// event from. It is counted, and makes no dead letter.
var ErrSkip = errors.New("skipped")

// Func makes events of a change. It must be a function of the change alone: it
// is called again for the same change after a crash, and has to return the same.
//
// It sets Type, Version, Subject, PartitionKey and Data. What else it
// leaves empty, the publisher fills: ID, Time, Sequence, Source and the
// correlation. The partition key must be the same for all changes of a
// document, or their order is lost.
//
// No event and no error means that the change is ignored. With an
// error, the events returned beside it are published all the same; the change
// becomes a dead letter, unless the error is [ErrSkip].
type Func func(c Change) ([]events.Event, error)

// Mapping says which events are made of which collection's changes.
type Mapping struct {
	// Collections of the database; changes of others are not even read.
	Collections map[string]Func
	// Snapshots are those of which a snapshot makes events.
	Snapshots []string
}

// Validate reports everything that is wrong with m.
func (m *Mapping) Validate() error {
	if m == nil || len(m.Collections) == 0 {
		return errors.New("changestream: the mapping names no collection")
	}
	for name, f := range m.Collections {
		if name == "" || f == nil {
			return fmt.Errorf("changestream: the mapping of collection %q has no function", name)
		}
	}
	for _, name := range m.Snapshots {
		if m.Collections[name] == nil {
			return fmt.Errorf("changestream: the snapshot of collection %q has no mapping", name)
		}
	}
	return nil
}

// rules is the Func of a mapping file. Each rule that matches the change makes
// its event, in the order of the file.
type rules []rule

func (all rules) apply(c Change) ([]events.Event, error) {
	var made []events.Event
	var skipped, refused []error
	for i := range all {
		e, ok, err := all[i].apply(&c)
		switch {
		case errors.Is(err, ErrSkip):
			skipped = append(skipped, err)
		case err != nil:
			refused = append(refused, fmt.Errorf("rule %d (%s): %w", i+1, all[i].event, err))
		case ok:
			made = append(made, e)
		}
	}
	if len(refused) > 0 {
		return made, errors.Join(refused...)
	}
	return made, errors.Join(skipped...)
}
