// Package fault decides, by a seed, which calls to the sandbox go wrong and how.
//
// Caveats first. The decision for a call depends only on the seed, the
// service, the operation, the resource and how many calls of that kind came
// before it; so two runs in which every client makes the same calls in the
// same order see the same faults, but the interleaving of several clients is
// theirs and not reproduced. A fault is chosen before the service knows what
// the call would do: a service that cannot express a kind (there is no partial
// failure of a GetItem) ignores it, and the count then says drawn, not felt.
//
// A [Plan] is data: rules per service and operation, each with probabilities
// per [Kind]. [Parse] reads it from a small text. An [Injector] is a plan at
// work: it can be switched on and off, be given another plan while running,
// and counts what it injected.
package fault
