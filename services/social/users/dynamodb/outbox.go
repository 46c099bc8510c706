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

// keep adds the events of a write that makes u to its transaction. Among those
// of the same user their place is that of the version, which needs no clock.
func (s *Store) keep(items []types.TransactWriteItem, u users.User, tell users.Tell) ([]types.TransactWriteItem, users.Kept, error) {
	if tell == nil || s.outbox.Table == "" {
		return items, users.Kept{}, nil
	}
	told, err := tell(u)
	if err != nil {
		return nil, users.Kept{}, fmt.Errorf("tell of user %s: %w", u.ID, err)
	}
	entry, err := outboxtable.NewEntry(uint64(u.Version), told...)
	if err != nil {
		return nil, users.Kept{}, fmt.Errorf("keep the events of user %s: %w", u.ID, err)
	}
	return append(items, entry.Item(s.outbox.Table)), users.Kept{Events: told, Forget: func() { s.outbox.Forget(entry) }}, nil
}
