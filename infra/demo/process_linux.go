package demo

import "syscall"

// diesWithParent has the kernel kill the child when this process dies, also
// by SIGKILL, so that no server is left behind.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
