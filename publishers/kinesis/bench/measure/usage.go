package measure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
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

// measured sends n events and tells what that took.
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

// profile runs both ways of a comparison once more, each under the profiler.
func (r *run) profile(ctx context.Context, c comparison) error {
	if r.Profiles == "" {
		return nil
	}
	if err := os.MkdirAll(r.Profiles, 0o755); err != nil {
		return err
	}
	for _, name := range []string{c.base, c.way} {
		if err := r.profileWay(ctx, name); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
	}
	return nil
}

// profiledRuns make a profile of some seconds.
const profiledRuns = 5

func (r *run) profileWay(ctx context.Context, name string) error {
	w, err := r.start(ctx, name)
	if err != nil {
		return err
	}
	defer w.close(ctx)
	f, err := os.Create(filepath.Join(r.Profiles, r.profileName(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return w.send(ctx, r.Events*profiledRuns)
}
