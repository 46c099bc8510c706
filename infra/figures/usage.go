package figures

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	CPU     float64 // seconds, user and system
	Wall    float64 // seconds
	Mallocs float64 // how often memory was allocated
}

// Over is u as multiples of base.
func (u Usage) Over(base Usage) Usage {
	return Usage{CPU: u.CPU / base.CPU, Wall: u.Wall / base.Wall, Mallocs: u.Mallocs / base.Mallocs}
}

var epoch = time.Now()

// Now is what this process has used since it began.
func Now() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // it fails only for another argument
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return Usage{cpu.Seconds(), time.Since(epoch).Seconds(), float64(m.Mallocs)}
}

// Since is what this process has used since before.
func Since(before Usage) Usage {
	now := Now()
	return Usage{now.CPU - before.CPU, now.Wall - before.Wall, now.Mallocs - before.Mallocs}
}

// ResidentMiB is what this process has in memory, in MiB, by a line of /proc/self/status:
// VmRSS for now, VmHWM for the most so far. 0 where there is no such file.
func ResidentMiB(line string) float64 {
	text, _ := os.ReadFile("/proc/self/status") // only Linux has it
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			kB := 0.0
			_, _ = fmt.Sscan(rest, &kB)
			return kB / 1024
		}
	}
	return 0
}
