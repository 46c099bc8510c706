package measure

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// usage is what a run took.
type usage struct {
	cpu     float64 // seconds, user and system
	wall    float64 // seconds
	mallocs float64
}

func (u usage) cpuOf() float64 { return u.cpu }

// over is u as multiples of base.
func (u usage) over(base usage) usage {
	return usage{cpu: u.cpu / base.cpu, wall: u.wall / base.wall, mallocs: u.mallocs / base.mallocs}
}

// measured sends n events and returns what that used.
func measured(ctx context.Context, w way, n int) (usage, error) {
	runtime.GC() // of what is left from another run
	before, err := now()
	if err != nil {
		return usage{}, err
	}
	if err := w.send(ctx, n); err != nil {
		return usage{}, err
	}
	after, err := now()
	return usage{after.cpu - before.cpu, after.wall - before.wall, after.mallocs - before.mallocs}, err
}

var epoch = time.Now()

// now is what was used since the process began.
func now() (usage, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("getrusage: %w", err)
	}
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return usage{cpu.Seconds(), time.Since(epoch).Seconds(), float64(m.Mallocs)}, nil
}
