// Package publisherstest holds what everything that implements
// publishers.Publisher must do, as tests that each implementation runs on
// itself: [Run]. The [Ledger] is for longer simulations with faults: it numbers
// events and later holds what was kept against that.
//
// # Caveats
//
// The suite knows nothing of what is below a publisher, so faults of that are
// for each implementation to test, with a Ledger. An event may be kept more than
// once: what is checked is that no event is lost, invented or left behind its
// successor, see [CheckOrder].
package publisherstest
