package spool

import (
	"errors"
	"strings"
	"syscall"
)

var (
	// ErrFull is returned by a spool with Config.RefuseWhenFull that holds as much
	// as it may, or whose disk is full. Nothing was enqueued.
	ErrFull = errors.New("spool is full")
	// ErrClosed is returned for an event that was given to a closed spool, and by
	// those that Close had no time to write.
	ErrClosed = errors.New("spool is closed")
	// ErrTooLarge is returned for an event beyond Config.MaxEventBytes. Nothing
	// was enqueued.
	ErrTooLarge = errors.New("event too large")
	// ErrLocked is returned by Open when another process has the file.
	ErrLocked = errors.New("spool is in use")
	// ErrNotSpool is returned for a file in which there is no trace of a spool. It
	// was left as it is.
	ErrNotSpool = errors.New("not a spool file")
	// ErrFormat is returned for a file that a later version has written.
	ErrFormat = errors.New("spool of a later format")
	// ErrBroken is returned by a spool after the disk failed in a way that leaves
	// it unknown what is on it. Open it again, which checks all of it.
	ErrBroken = errors.New("spool is broken")
	// ErrDraining is returned by a second drain at the same time.
	ErrDraining = errors.New("spool is being drained already")

	errDamaged = errors.New("damaged")
)

// noSpace reports whether a write failed for lack of space, which passes. bbolt
// drops the number of some errors and keeps their text.
func noSpace(err error) bool {
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}
