package ownership

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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

// The phases, in their order. RollingBack leads from Switched to Shadowing, Abandoned
// from any phase before Switched to the end.
const (
	Legacy       Phase = "legacy"
	Encapsulated Phase = "encapsulated"
	Copying      Phase = "copying"
	Shadowing    Phase = "shadowing"
	Switching    Phase = "switching"
	Switched     Phase = "switched"
	Complete     Phase = "complete"
	RollingBack  Phase = "rolling-back"
	Abandoned    Phase = "abandoned"
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
	// Collection is the name under which members use the collection in MongoDB; "" is
	// the service's own: before the collection was encapsulated, and once it is back.
	Collection string
	// CollectionUUID identifies that collection, whatever its name: 32 lower-case hex
	// digits, or "". While Collection is "", it can be set with the first Move, so that no
	// write of a member is without it when the collection leaves the service's own name.
	CollectionUUID string
	// Generation is the highest number that was ever part of a name of the collection. It
	// never falls, and is stored before a command uses a name made of it.
	Generation int64
	// Move is the renaming of the collection that may have been sent to MongoDB, or is
	// about to be; nil when none is. Without Hold it is only announced.
	Move *Move
	// Hold makes members delay writes.
	Hold bool
	// HeldAt is since when Hold is set. Table.Update sets it where the change does not.
	HeldAt time.Time
	// HoldUntil is the coordinator's deadline: when another process may undo what it
	// began. While Move is nil and the owner has not changed, Hold also ends by itself
	// then, in members; zero means never. With Move set, a hold ends only by a change of
	// the record.
	HoldUntil time.Time
	// Turn is how long before HoldUntil that was set, by the coordinator's clock: whoever
	// sees the record unchanged for longer may undo, whatever their own clock and plan
	// say. Table.Update sets it with HoldUntil; 0 in records of former versions.
	Turn time.Duration
	// By identifies the process that began the present step, so that another one on the
	// same machine can check whether it still runs. It grants nothing; may be "".
	By string
	// Revision grows by one with every change of the record.
	Revision int64
	// Changed is the last change of Owner or Phase; nil before the first, and in records of
	// former versions. Table.Update sets it.
	Changed *Change
}

// Move is a renaming of a collection. Both names are of the same database.
type Move struct {
	// From is the name under which the collection was found.
	From string
	// To is its next name, which it never had before, or the public one, given back.
	To string
}

// Grant is the permission to use one store for one operation.
type Grant struct {
	// Owner is the store to use.
	Owner Store
	// Epoch is the epoch under which the operation was admitted.
	Epoch int64
	// Collection is the name of the collection in MongoDB; "" is the service's own.
	Collection string
	// CollectionUUID is the collection's, see Record.CollectionUUID; a write under
	// Collection must not change a collection of another. "" is not known.
	CollectionUUID string
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
	// ErrLate is returned by Member.Write for a write that DynamoDB took, and that may be lost:
	// this instance had no lease any more, as one that was paused, and the owner has changed
	// meanwhile, or cannot be known.
	ErrLate = errors.New("the owner may have changed before the write had ended")
	// ErrNoLease is returned when the member could not renew its lease in time,
	// because the control table did not answer.
	ErrNoLease = errors.New("no lease: the control table could not be reached in time")
	// ErrLeft is returned after Member.Leave.
	ErrLeft = errors.New("this instance has left the membership")
	// ErrNotAcked is returned by Table.AwaitAck when its context ended first.
	ErrNotAcked = errors.New("not every member has acknowledged")
	// ErrProbeFailed is returned by Table.AwaitAck when a member reports that it cannot
	// use the collection's next name.
	ErrProbeFailed = errors.New("a member cannot use the next name of the collection")
)

func initialRecord(entity string) Record {
	return Record{Entity: entity, Owner: MongoDB, Epoch: 1, Phase: Legacy}
}

// clone returns a copy that shares nothing with r.
func (r Record) clone() Record {
	if r.Move != nil {
		move := *r.Move
		r.Move = &move
	}
	return r
}

// beforeSwitch reports whether a hold in this phase precedes the change of owner, or
// comes without one, so that writes resume in the same owner.
func (r Record) beforeSwitch() bool {
	switch r.Phase {
	case Legacy, Encapsulated, Copying, Switching, RollingBack, Abandoned:
		return true
	}
	return false
}

// announces reports whether a move is announced, but was not sent.
func (r Record) announces() bool { return r.Move != nil && !r.Hold }

// Changing reports whether the owner or the collection's name is about to change, so
// that whoever follows the record looks at it more often.
func (r Record) Changing() bool {
	return r.Hold || r.Move != nil || r.Phase == Switching || r.Phase == RollingBack
}

// HoldLeft is how long writes are held from now on if the record does not change; not above
// zero where they are not. since is when this hold was first seen, under this epoch.
//
// While a move may have been sent the hold does not end: nobody knows the collection's
// name. Before the switch it ends with HoldUntil: the fence refuses late writes. After the
// switch it delays writes while a member may still answer reads from the old store, so it
// ends when none can still hold a lease under the old owner.
func (r Record) HoldLeft(now, since time.Time) time.Duration {
	until := r.HoldUntil.Sub(now.Round(0))
	switch {
	case !r.Hold:
		return 0
	case r.Move != nil:
		return MaxLease // then look again
	case !r.beforeSwitch():
		return max(until, MaxLease+MaxLease/20-now.Sub(since))
	case r.HoldUntil.IsZero():
		return MaxLease
	}
	return until
}

// Phases are those that a migration goes through, in their order.
var Phases = []Phase{Legacy, Encapsulated, Copying, Shadowing, Switching, Switched, Complete}

// Reached reports whether the migration has come as far as one of the phases from Legacy to
// Complete, by its phase and owner: one that is rolled back has reached Switched while
// DynamoDB is the owner, and Shadowing from then on; an abandoned one is at Legacy.
func (r Record) Reached(p Phase) bool {
	at := r.Phase
	switch {
	case at == Abandoned:
		at = Legacy
	case at != Complete && r.Owner == DynamoDB:
		at = Switched
	case at == RollingBack:
		at = Shadowing
	}
	want := slices.Index(Phases, p)
	return want >= 0 && slices.Index(Phases, at) >= want
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
	case to.Generation < from.Generation:
		return fmt.Errorf("%w of %s: generation %d cannot fall to %d", ErrInvalid, from.Entity, from.Generation, to.Generation)
	}
	if err := validateName(from, to); err != nil {
		return err
	}
	return validateMove(from, to)
}

// validateName checks what a change makes of the collection's name and identity.
func validateName(from, to Record) error {
	arrived := from.Move != nil && to.Move == nil
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w of %s: "+format, append([]any{ErrInvalid, from.Entity}, args...)...)
	}
	switch {
	case to.CollectionUUID != "" && !isUUID(to.CollectionUUID):
		return refused("collection UUID %q is not 32 lower-case hex digits", to.CollectionUUID)
	case to.Collection != "" && to.CollectionUUID == "":
		return refused("the collection %q needs its UUID", to.Collection)
	case to.Collection == "" && to.CollectionUUID != "" && to.Move == nil:
		return refused("UUID %q without a collection or a move", to.CollectionUUID)
	case to.Collection == from.Collection && to.CollectionUUID == from.CollectionUUID:
		return nil
	case to.Collection == "" && from.Collection == "" && (arrived || from.CollectionUUID == ""):
		return nil // announced for the first move, or undone with it
	case to.Collection == from.Collection && from.Move == nil && to.Move == nil && to.Owner == MongoDB:
		return nil // another collection stands there, and is taken as the source
	case !arrived:
		return refused("the collection changes from %q (UUID %q) to %q (UUID %q) only in the change that clears Move",
			from.Collection, from.CollectionUUID, to.Collection, to.CollectionUUID)
	case to.Collection == "" && to.Phase != Abandoned:
		return refused("only an abandoned migration gives the public name back")
	case to.Collection != "" && to.Collection != from.Move.To:
		return refused("the collection moved to %q, not to %q", from.Move.To, to.Collection)
	case from.Collection == "" && from.CollectionUUID != "" && to.CollectionUUID != from.CollectionUUID:
		return refused("the collection %q that was announced cannot become %q", from.CollectionUUID, to.CollectionUUID)
	}
	return nil
}

// validateMove checks that a move that may have been sent is neither forgotten nor
// taken for one that was only announced.
func validateMove(from, to Record) error {
	if to.Move == nil {
		return nil
	}
	switch m := *to.Move; {
	case m.From == "" || m.To == "":
		return fmt.Errorf("%w of %s: a move from %q to %q", ErrInvalid, from.Entity, m.From, m.To)
	case m.To == to.Collection:
		return fmt.Errorf("%w of %s: the collection is %q and cannot return to that name", ErrInvalid, from.Entity, m.To)
	case to.Owner != from.Owner:
		return fmt.Errorf("%w of %s: the owner cannot change while the move from %q to %q is under way", ErrInvalid, from.Entity, m.From, m.To)
	case from.Move != nil && from.Hold && !to.Hold:
		return fmt.Errorf("%w of %s: the move from %q to %q may have been sent: the hold ends only with it", ErrInvalid, from.Entity, m.From, m.To)
	}
	return nil
}

func isUUID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

func (p Phase) known() bool {
	switch p {
	case Legacy, Encapsulated, Copying, Shadowing, Switching, Switched, Complete, RollingBack, Abandoned:
		return true
	}
	return false
}
