//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

// Package filelock keeps two processes from using a file at the same time, by flock(2), and a
// reader from finding half of one.
package filelock

import (
	"errors"
	"os"
	"syscall"
)

// Try locks the file; false says that another process has it. The lock goes when the file is
// closed, and so with the process.
func Try(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
