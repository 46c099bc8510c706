package channel

import (
	"errors"
	"fmt"
	"time"
)

// Verdict says what a failed attempt means.
type Verdict int

// The verdicts.
const (
	// Unknown: the provider may have accepted the message, or not.
	Unknown Verdict = iota
	// Refused: surely not accepted, because of load or an outage. Later it may be.
	Refused
	// Denied: surely not accepted, because of our own key, topic or account. Other
	// messages will not be either, until somebody corrects that.
	Denied
	// Rejected: surely not accepted, because of this message or address. No retry helps.
	Rejected
	// Gone: the address is no longer valid, see Error.Since.
	Gone
)

var verdicts = [...]string{"unknown", "refused", "denied", "rejected", "gone"}

// String is the verdict in one word.
func (v Verdict) String() string { return verdicts[v] }

// Error is a failed attempt.
type Error struct {
	Verdict Verdict
	// After is the pause that the provider asked for (Retry-After), 0 for none.
	After time.Duration
	// Since is when the provider last knew that the address was not valid; an address
	// registered later is. Zero: at the time of the attempt.
	Since time.Time
	// Err is the reason. It shows no token, key or text.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Verdict, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a verdict.
func Errorf(v Verdict, format string, args ...any) *Error {
	return &Error{Verdict: v, Err: fmt.Errorf(format, args...)}
}

// VerdictOf returns the [Error] in err, and one that is [Unknown] for others; nil for nil.
func VerdictOf(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Err: err}
}
