//go:build unix && !linux

package environment

import "syscall"

// processAttributes puts the process into a group of its own, so that it dies
// with what it started. Only Linux can also tie it to the sandbox's own death.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
