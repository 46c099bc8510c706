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
)

// Fault is what a Config.Fault hook asks for. The zero Fault lets the command
// through.
type Fault struct {
	Kind  FaultKind
	Delay time.Duration // wait so long first, whatever the kind
}
