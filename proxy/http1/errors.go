package http1

import (
	"errors"
	"fmt"
	"io"
)

// ErrUnsent is in the chain of an error (errors.Is) when provably no byte of the request
// was sent: the caller may send it again, whatever its method.
var ErrUnsent = errors.New("nothing of the request was sent")

// ConnectError is returned when no connection to an upstream could be had: name, TCP or
// TLS failed, ConnectTimeout passed, or the context ended before. It is ErrUnsent.
type ConnectError struct {
	Address string // host and port
	Err     error
}

// Error names the address and the reason.
func (e *ConnectError) Error() string { return "connect to " + e.Address + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ConnectError) Unwrap() error { return e.Err }

// Is reports true for ErrUnsent.
func (e *ConnectError) Is(target error) bool { return target == ErrUnsent }

// MalformedError is returned for an answer that breaks RFC 9112, exceeds a limit, or could
// be understood in two ways. It can also end the Body of an answer.
type MalformedError struct {
	Address string // host and port
	Reason  string
}

// Error names the address and the reason.
func (e *MalformedError) Error() string {
	return fmt.Sprintf("invalid answer of %s: %s", e.Address, e.Reason)
}

// CutError is returned when the connection ended before the answer did. It is
// io.ErrUnexpectedEOF. It can also end the Body of an answer.
type CutError struct {
	Address string // host and port
	Err     error
}

// Error names the address and the reason.
func (e *CutError) Error() string {
	return fmt.Sprintf("the connection to %s ended before the answer did: %v", e.Address, e.Err)
}

// Unwrap returns the reason.
func (e *CutError) Unwrap() error { return e.Err }

// Is reports true for io.ErrUnexpectedEOF.
func (e *CutError) Is(target error) bool { return target == io.ErrUnexpectedEOF }

// RequestError is returned when the request could not be sent because of itself: it is
// invalid (then it is also ErrUnsent), or its Body failed, which is the client's doing and
// not the upstream's.
type RequestError struct {
	Err error
}

// Error gives the reason.
func (e *RequestError) Error() string { return "send the request: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *RequestError) Unwrap() error { return e.Err }

// malformed is a MalformedError before the address is known.
type malformed string

func (m malformed) Error() string { return string(m) }

// unsent adds ErrUnsent to the chain of err.
func unsent(err error) error { return fmt.Errorf("%w (%w)", err, ErrUnsent) }
