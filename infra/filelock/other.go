//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package filelock

import (
	"errors"
	"os"
)

// Try fails: this system does not have flock.
func Try(*os.File) (bool, error) {
	return false, errors.New("locking a file needs flock, which this system does not have")
}
