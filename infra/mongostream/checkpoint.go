package mongostream

import "context"

// Checkpoint stores the position of one follower, and lets one process at a time
// follow. [NewCheckpoint] keeps it in a collection; other stores implement it
// themselves. Run calls the methods from several goroutines, but never two of
// Acquire, Save and Release at the same time.
//
// An error is retried unless it is [ErrLeaseLost] or [ErrCheckpointRefused].
type Checkpoint interface {
	// Acquire tries once to get the lease, and returns the position stored last, the
	// zero value for none. acquired is false while another process follows.
	Acquire(ctx context.Context) (p Position, acquired bool, err error)
	// Save stores p and renews the lease. It must be refused with ErrLeaseLost where
	// another process has acquired the lease since, and a Save that is delayed on
	// the network must not undo a later one.
	Save(ctx context.Context, p Position) error
	// Release ends the lease, so that the next follower need not wait for it to run
	// out. cause is why following ended, nil if it was to end.
	Release(ctx context.Context, cause error) error
	// Held reports whether the lease cannot have run out yet.
	Held() bool
	// Holder returns the name the lease is held under, and the number of the holder,
	// which grows with each; 0 where the store does not count.
	Holder() (owner string, epoch int64)
}
