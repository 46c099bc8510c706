package mongodb

import "time"

// FaultKind is what goes wrong with a command.
type FaultKind int

// The faults.
const (
	NoFault            FaultKind = iota
	CloseBefore                  // the connection is closed and nothing is done
	CloseAfter                   // the command is carried out and the connection closed without an answer
	NotWritablePrimary           // nothing is done; error 10107, for writes with the label RetryableWriteError

	// Late closes the connection without an answer and carries the command out
	// after the delay, as one that a kernel or a proxy held back. Until then the
	// connection is listed by $currentOp as an idle one.
	Late
	// Repeat carries the command out, answers, and carries it out once more after
	// the delay. Commands that the server knows again (txnNumber) are not repeated.
	Repeat
)

// Fault is what a Config.Fault hook asks for. The zero Fault lets the command
// through.
type Fault struct {
	Kind  FaultKind
	Delay time.Duration // wait so long first, whatever the kind but Late and Repeat
	Code  int           // of an error to answer with, while nothing is done; 0 is none
}
