package dynamodb

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/services/social/users"
)

// DefaultOutboxTable is the name of the outbox where none is configured.
const DefaultOutboxTable = "users-outbox"

// Outbox is where a store keeps the events of its writes, see package
// outboxtable. The zero value keeps none.
type Outbox struct {
	// Table must exist.
	Table string
	// Forget deletes an entry soon; usually that of an *outboxtable.Cleaner.
	Forget func(outboxtable.Entry)
}

// WithOutbox returns a store on the same tables that keeps events. Its writes
// are transactions, all of them.
func (s *Store) WithOutbox(o Outbox) *Store {
	with := *s
	with.outbox = o
	return &with
}

// addEvents adds the events of a write that makes u to its transaction. Among those
// of the same user their place is that of the version, which needs no clock.
func (s *Store) addEvents(items []types.TransactWriteItem, u users.User, makeEvents users.MakeEvents) ([]types.TransactWriteItem, users.Pending, error) {
	if makeEvents == nil || s.outbox.Table == "" {
		return items, users.Pending{}, nil
	}
	made, err := makeEvents(u)
	if err != nil {
		return nil, users.Pending{}, fmt.Errorf("make the events of user %s: %w", u.ID, err)
	}
	entry, err := outboxtable.NewEntry(uint64(u.Version), made...)
	if err != nil {
		return nil, users.Pending{}, fmt.Errorf("put the events of user %s into the outbox: %w", u.ID, err)
	}
	pending := users.Pending{Events: made, Acknowledge: func() { s.outbox.Forget(entry) }}
	return append(items, entry.Item(s.outbox.Table)), pending, nil
}
