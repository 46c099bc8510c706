package ownership

import "time"

// Clock is the time as a member sees it. The zero MemberConfig uses the system's.
type Clock interface {
	// Now returns the time, with a monotonic reading where there is one.
	Now() time.Time
	// After sends the time once d has passed.
	After(d time.Duration) <-chan time.Time
}

type systemClock struct{}

func (systemClock) Now() time.Time                         { return time.Now() }
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// elapsed is the longer of what the monotonic and the wall clock measured. The
// monotonic clock of Linux stops while a machine is suspended or a virtual machine is
// moved; a lease must not.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}
