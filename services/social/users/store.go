package users

import "context"

// Store keeps users in one database. The methods that write take the epoch of the
// grant under which they were admitted. Every method may return an error that
// wraps ownership.ErrFenced when the database refuses because it does not own the
// users (any more); the caller then requests a new grant and retries.
//
// Reads must see every write that was acknowledged before they began. A Store is
// safe for concurrent use. userstest.Run is the suite that each must pass.
type Store interface {
	// Create stores u with version 1. If u.ID exists with u.Email it returns what
	// is stored and false. ErrEmailTaken, ErrIDTaken.
	Create(ctx context.Context, epoch int64, u User) (User, bool, error)
	// Update applies c and adds one to the version. ErrNotFound, ErrVersion. A
	// change that is already Done is returned as it is.
	Update(ctx context.Context, epoch int64, id string, c Change) (User, error)
	// Get returns one user. ErrNotFound.
	Get(ctx context.Context, id string) (User, error)
	// GetMany returns those that exist, in no particular order.
	GetMany(ctx context.Context, ids []string) ([]User, error)
	// ByEmail returns the user with exactly this e-mail. ErrNotFound.
	ByEmail(ctx context.Context, email string) (User, error)
	// List returns up to limit users behind the cursor, and the next cursor; the
	// returned cursor is the zero Cursor when the listing is complete. ErrCursor.
	List(ctx context.Context, from Cursor, limit int) ([]User, Cursor, error)
}

// Cursor is a position in a listing. A listing that begins in a store ordered by id
// can continue in one that is not: the latter then skips the ids up to After.
type Cursor struct {
	// After is the last id seen in id order.
	After string `json:"a,omitempty"`
	// Key is the last key seen in the order of a store that has its own.
	Key string `json:"k,omitempty"`
}
