//go:build !linux

package demo

import "syscall"

// diesWithParent: only Linux can tie a child's life to its parent's; elsewhere
// a child is stopped by an orderly end of this process.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
