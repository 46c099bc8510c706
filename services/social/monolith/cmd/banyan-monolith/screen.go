package main

import (
	"fmt"
	"os"
	"time"
)

// screen shows progress in one line, if it is a terminal; else nothing.
type screen struct {
	file *os.File
	last time.Time
	used bool
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &screen{}
	}
	return &screen{file: f}
}

// show replaces the line, at most ten times a second. It is not safe for concurrent
// use.
func (s *screen) show(format string, args ...any) {
	if s.file == nil || time.Since(s.last) < 100*time.Millisecond {
		return
	}
	s.last, s.used = time.Now(), true
	fmt.Fprintf(s.file, "\r\x1b[K"+format, args...)
}

// done ends the line.
func (s *screen) done() {
	if s.used {
		fmt.Fprint(s.file, "\r\x1b[K")
	}
}
