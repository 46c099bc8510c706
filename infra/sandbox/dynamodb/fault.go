package dynamodb

// Fault is something that goes wrong with one request, as Config.Fault chooses.
type Fault int

// The faults. Those that do not apply to an operation (Partial on a GetItem) do nothing.
const (
	FaultNone          Fault = iota
	FaultThrottle            // ProvisionedThroughputExceededException, no effect
	FaultInternal            // InternalServerError (500), no effect
	FaultTimeoutBefore       // the connection ends without an answer, no effect
	FaultTimeoutAfter        // the connection ends without an answer, the effect is there
	FaultPartial             // BatchWriteItem and BatchGetItem leave some of their work unprocessed
	FaultConflict            // TransactionConflict, as a concurrent transaction would cause; no effect
)

// refusal is the error that stands for the fault, or nil.
func (f Fault) refusal(r *request) error {
	switch f {
	case FaultThrottle:
		return throttled()
	case FaultInternal:
		return internal()
	case FaultConflict:
		return conflict(r)
	}
	return nil
}

// conflict is how an operation learns that a transaction is at work on its items. Operations that
// cannot meet one (Query, Scan and the like) go on.
func conflict(r *request) error {
	const message = "Transaction is ongoing for the item"
	switch {
	case r == nil:
		return nil
	case len(r.transact) > 0:
		reasons := make([]reason, len(r.transact))
		reasons[0] = reason{code: "TransactionConflict", message: message}
		return canceled(reasons)
	case r.key != nil || r.item != nil:
		return fail("TransactionConflictException", message)
	}
	return nil
}
