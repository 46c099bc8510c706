package entity

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers can test with errors.Is. Those of package ownership pass: ErrHeld and
// ErrNoLease where the owner changes or cannot be known, so that nothing was written.
var (
	// ErrInvalid is returned for arguments that can never work.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound is returned where there is no such document.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned by Create where another document has the id.
	ErrExists = errors.New("a document with this id exists")
	// ErrVersion is wrapped by [VersionError].
	ErrVersion = errors.New("another version")
	// ErrTaken is wrapped by [TakenError].
	ErrTaken = errors.New("another document has this value")
	// ErrUnfit is returned for a document that DynamoDB cannot store, such as one that is too
	// large or whose key is of another type than the plan's. It wraps a *codec.FitError that says why.
	ErrUnfit = errors.New("the document does not fit")
	// ErrCursor is returned for a cursor that is not one, or cannot be gone on from any more.
	ErrCursor = errors.New("invalid cursor: begin again without one")
	// ErrNotPublished is returned where a write is kept, and its events are, but are not known
	// to be published yet.
	ErrNotPublished = errors.New("written, but the events are not known to be published yet")
	// ErrConflict is returned for a write that lost the race against others too often.
	ErrConflict = errors.New("others change the document all the time")

	// ErrChanged is for a [Backend]: the document is not what the write was to replace.
	ErrChanged = errors.New("the document has changed")
)

// DeletedError is for a [Backend]: a document of the id was deleted, as a version that is
// behind its last one. The next document is made with one more.
type DeletedError struct{ Version int64 }

func (e *DeletedError) Error() string {
	return fmt.Sprintf("the document was deleted as version %d", e.Version)
}

// VersionError is returned for a write that expects another version than there is.
type VersionError struct {
	Version int64 // that there is
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%v: it is %d by now", ErrVersion, e.Version)
}

// Unwrap returns ErrVersion.
func (e *VersionError) Unwrap() error { return ErrVersion }

// TakenError is returned for a value that is unique by the plan, and another document's.
type TakenError struct {
	Fields []string // of the constraint
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%v: %s", ErrTaken, strings.Join(e.Fields, ", "))
}

// Unwrap returns ErrTaken.
func (e *TakenError) Unwrap() error { return ErrTaken }

// ProblemField is the constraint's name, for package httpjson.
func (e *TakenError) ProblemField() string { return strings.Join(e.Fields, "+") }
