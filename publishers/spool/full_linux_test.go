package spool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// raiseLimit lets a process write files of any size.
func raiseLimit(t *testing.T, pid int) {
	t.Helper()
	limit := syscall.Rlimit{Cur: 1 << 62, Max: 1 << 62}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
}

// TestAFullDiskLosesNothing runs a process into the limit of a file's size, which
// fails writes as a full disk does, lifts the limit, and kills the process.
func TestAFullDiskLosesNothing(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		name := map[bool]string{false: "waits", true: "refuses"}[refuse]
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			c := start(t, orders{Path: path, Producers: 4, FileLimit: 400 << 10, Refuse: refuse})
			full := awaitFull(t, c, path)
			raiseLimit(t, c.cmd.Process.Pid)
			eventually.True(t, "enqueued again after there was space", func() bool { return takenIn(t, path) >= full+100 })
			acknowledged := c.killFull(t)
			s := open(t, spool.Config{Path: path})
			if salvages := s.Status().Salvages; len(salvages) > 0 {
				t.Errorf("a full disk left damage: %v", salvages)
			}
			holds(t, onDisk(t, path), acknowledged)
			refused := strings.Contains(strings.Join(c.lines, "\n"), "refused")
			if refused != refuse || len(acknowledged) != 4 {
				t.Errorf("refused: %v, acknowledged: %v", refused, acknowledged)
			}
		})
	}
}

// killFull is kill for a child that may log that its disk is full.
func (c *child) killFull(t *testing.T) map[string]int {
	t.Helper()
	_ = c.cmd.Process.Kill()
	<-c.said
	_ = c.cmd.Wait()
	if !strings.Contains(c.err.String(), "the disk is full") || !strings.Contains(c.err.String(), "file too large") {
		t.Errorf("the log says nothing of it: %q", c.err.String())
	}
	c.err.reset()
	return c.kept(t)
}

func takenIn(t *testing.T, path string) uint64 {
	t.Helper()
	in, err := spool.Inspect(context.Background(), path, spool.InspectOptions{Entries: -1, Keys: -1, Refused: -1})
	if err != nil {
		t.Fatal(err)
	}
	return in.Enqueued
}

// awaitFull waits until the child says that its disk is full.
func awaitFull(t *testing.T, c *child, path string) uint64 {
	t.Helper()
	eventually.True(t, "the file full", func() bool { return strings.Contains(c.err.String(), "the disk is full") })
	return takenIn(t, path)
}

// TestDrainingAFullDiskMakesSpace uses a real file system that is full.
func TestDrainingAFullDiskMakesSpace(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("no file system of its own: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	s := open(t, spool.Config{Path: filepath.Join(disk, "s")})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	const events = 6000
	var producing sync.WaitGroup
	producing.Go(func() {
		for n := range events {
			r, err := s.EnqueueEncoded(ctx, "k", publisherstest.Body("k", n))
			if err == nil {
				_, err = r.Wait(ctx)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	eventually.True(t, "the disk full", func() bool { return s.Status().Failing })
	st := s.Status()
	if !strings.Contains(st.LastError, syscall.ENOSPC.Error()) {
		t.Errorf("the last error is %q", st.LastError)
	}
	brief, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	r, err := s.EnqueueEncoded(brief, "other", publisherstest.Body("other", 0))
	if err == nil {
		_, err = r.Wait(brief)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("while the disk is full: %v", err)
	}
	to := &memory{}
	var draining sync.WaitGroup
	draining.Go(func() {
		if err := s.Drain(ctx, to); err != nil {
			t.Error(err)
		}
	})
	producing.Wait()
	eventually.True(t, "all drained", func() bool { st := s.Status(); return st.Events == 0 && st.Pending == 0 })
	cancel()
	draining.Wait()
	numbers := numbersOf(t, to.records())
	if err := publisherstest.CheckOrder("k", numbers["k"], events); err != nil {
		t.Error(err)
	}
	t.Logf("full with %d events; %d were forwarded", st.Events, len(to.records()))
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(disk, "s")); err != nil {
		t.Error(err)
	}
}
