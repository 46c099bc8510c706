package environment

import "syscall"

// processAttributes puts the process into a group of its own, so that it dies
// with what it started, and has the kernel kill it when the sandbox dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
