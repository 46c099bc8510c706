package ownership

import (
	"errors"
	"fmt"
	"time"
)

// Store names a database that can own an entity.
type Store string

// The stores that can own an entity.
const (
	MongoDB  Store = "mongodb"
	DynamoDB Store = "dynamodb"
)

// Phase is how far an entity's migration has come.
type Phase string

// The phases, in their order. RollingBack leads from Switched to Shadowing.
const (
	Legacy      Phase = "legacy"
	Copying     Phase = "copying"
	Shadowing   Phase = "shadowing"
	Switching   Phase = "switching"
	Switched    Phase = "switched"
	Complete    Phase = "complete"
	RollingBack Phase = "rolling-back"
)

// Record says who owns an entity. The zero Record is not valid; Table.Load
// returns the initial one for an entity that has none yet.
type Record struct {
	// Entity is the name of what migrates, such as "users".
	Entity string
	// Owner is the store that accepts writes and answers reads.
	Owner Store
	// Epoch grows by one each time Owner changes. It starts at 1.
	Epoch int64
	// Phase is how far the migration has come.
	Phase Phase
	// Hold makes members delay writes.
	Hold bool
	// HoldUntil is when Hold ends by itself, in case the coordinator crashes before
	// the switch. Zero means that Hold does not end by itself.
	HoldUntil time.Time
	// By identifies the process that began the present step, so that another one on the
	// same machine can check whether it still runs. It grants nothing; may be "".
	By string
	// Revision grows by one with every change of the record.
	Revision int64
}

// Grant is the permission to use one store for one operation.
type Grant struct {
	// Owner is the store to use.
	Owner Store
	// Epoch is the epoch under which the operation was admitted.
	Epoch int64
}

// Errors that callers can test with errors.Is.
var (
	// ErrNoTable is returned when the control table does not exist.
	ErrNoTable = errors.New("the control table does not exist")
	// ErrConflict is returned by Table.Update when another process changed the record
	// since it was loaded.
	ErrConflict = errors.New("the ownership record was changed by another process")
	// ErrInvalid is returned by Table.Update for a record that breaks the rules.
	ErrInvalid = errors.New("invalid ownership record")
	// ErrFenced is for functions given to Member.Write and Member.Read to return
	// when the store refused them because it is no longer, or not yet, the owner.
	// The member reads the record again and runs the function anew.
	ErrFenced = errors.New("the store refused: it does not own the entity")
	// ErrHeld is returned by Member.Write when writes were held, or refused by the
	// fence, until the deadline. The write was not made; it can be tried again.
	ErrHeld = errors.New("writes are held for a change of owner")
	// ErrNoLease is returned when the member could not renew its lease in time,
	// because the control table did not answer.
	ErrNoLease = errors.New("no lease: the control table could not be reached in time")
	// ErrLeft is returned after Member.Leave.
	ErrLeft = errors.New("this instance has left the membership")
	// ErrNotAcked is returned by Table.AwaitAck when its context ended first.
	ErrNotAcked = errors.New("not every member has acknowledged")
)

func initialRecord(entity string) Record {
	return Record{Entity: entity, Owner: MongoDB, Epoch: 1, Phase: Legacy}
}

// beforeSwitch reports whether a hold in this phase precedes the change of owner, so
// that writes resume in the old owner.
func (r Record) beforeSwitch() bool {
	return r.Phase == Switching || r.Phase == RollingBack
}

// validateChange checks the rules that every change of a record must keep.
func validateChange(from, to Record) error {
	switch {
	case to.Entity != from.Entity:
		return fmt.Errorf("%w: entity %q cannot be renamed to %q", ErrInvalid, from.Entity, to.Entity)
	case to.Owner != MongoDB && to.Owner != DynamoDB:
		return fmt.Errorf("%w of %s: unknown owner %q", ErrInvalid, from.Entity, to.Owner)
	case to.Owner != from.Owner && to.Epoch != from.Epoch+1:
		return fmt.Errorf("%w of %s: a new owner needs epoch %d, not %d", ErrInvalid, from.Entity, from.Epoch+1, to.Epoch)
	case to.Owner == from.Owner && to.Epoch != from.Epoch:
		return fmt.Errorf("%w of %s: the epoch changes only with the owner", ErrInvalid, from.Entity)
	case !to.Phase.known():
		return fmt.Errorf("%w of %s: unknown phase %q", ErrInvalid, from.Entity, to.Phase)
	}
	return nil
}

func (p Phase) known() bool {
	switch p {
	case Legacy, Copying, Shadowing, Switching, Switched, Complete, RollingBack:
		return true
	}
	return false
}
