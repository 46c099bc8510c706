package figures

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
)

// Cores are two cores for what is measured and what it works against, so that neither takes
// time from the other. Both are negative where there are none to be had.
type Cores struct {
	Measured, Other int
	Reason          string // why nothing is pinned; empty when both are set
}

// ChooseCores picks two of the cores that this process may run on.
func ChooseCores() Cores {
	cores, err := allowedCores()
	switch {
	case err != nil:
		return Cores{-1, -1, fmt.Sprintf("nothing is pinned: %v", err)}
	case len(cores) < 2:
		return Cores{-1, -1, "nothing is pinned: there is one core only, which both share"}
	}
	return Cores{Measured: cores[1], Other: cores[0]}
}

// On calls f with its thread on one core, or anywhere when core is negative. What f starts
// as a process inherits the core; goroutines do not.
func On(core int, f func() error) error {
	if core < 0 {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := pinThread(core)
	if err != nil {
		return err
	}
	return errors.Join(f(), restore())
}

// StartOn starts c on one core, or anywhere when core is negative.
func StartOn(core int, c *exec.Cmd) error { return On(core, c.Start) }
