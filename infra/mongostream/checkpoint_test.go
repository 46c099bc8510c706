package mongostream_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

// A process that is paused over its lease and wakes handles nothing more, and
// does not put the position back.
func TestAPausedFollowerCannotSaveWhenItResumes(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "gives tokens that do not compare as text")
	w := newWorld(t, 1)
	paused := w.process()
	paused.awaits(t, "ready", 1)
	w.insert(1, 2)
	paused.awaits(t, "handled", 2)
	paused.pause(t)
	w.insert(3)
	var seen log
	_, stop := w.follower(mongostream.Config{Handle: seen.handle})
	w.insert(4, 5)
	eventually.True(t, "the second follower to take over", func() bool { return slices.Contains(seen.get(), inserted(5)) })
	if !slices.Contains(seen.get(), inserted(3)) {
		t.Errorf("the change made in between was lost: %v", seen.get())
	}
	w.awaitPosition()
	before := w.position()
	if err := paused.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	last := data(before)
	eventually.True(t, "the woken follower to notice", func() bool {
		now := data(w.position())
		if now < last {
			t.Fatalf("the position went back from %s to %s", last, now)
		}
		last = now
		return paused.said("note") > 0
	})
	w.insert(6)
	eventually.True(t, "one more", func() bool { return slices.Contains(seen.get(), inserted(6)) })
	w.awaitPosition()
	after := w.position()
	if paused.said("handled") != 2 {
		t.Errorf("the woken follower said %v", paused.lines)
	}
	if data(before) > data(after) || after.Lookup("epoch").AsInt64() != before.Lookup("epoch").AsInt64() {
		t.Errorf("the position went from %v to %v", before, after)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.insert(7) // the woken one waits for the lease and follows again
	paused.awaits(t, "handled 7", 1)
	if paused.said("handled") != 3 {
		t.Errorf("the woken follower said %v", paused.lines)
	}
}

// A save that the network held up must not undo a later one: neither one of the
// same follower nor one of the follower that took over meanwhile.
func TestALateSaveIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		lease, late time.Duration
		saves       int64 // held up
	}{
		"of the same owner":  {lease: 10 * time.Second, late: 900 * time.Millisecond, saves: 1},
		"of an owner before": {lease: 300 * time.Millisecond, late: 1200 * time.Millisecond, saves: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left, hits atomic.Int64
			w := newWorld(t, 1, func(c *mongodb.Config) {
				c.Fault = func(command, namespace string) mongodb.Fault {
					if command == "update" && namespace == "legacy."+mongostream.Checkpoints && left.Add(-1) >= 0 {
						hits.Add(1)
						return mongodb.Fault{Delay: tc.late}
					}
					return mongodb.Fault{}
				}
			})
			var seen log
			cfg := mongostream.Config{Handle: seen.handle, Lease: tc.lease, SaveEvery: 10 * time.Millisecond}
			_, stop := w.follower(cfg)
			cfg.SaveEvery = time.Second // so that the number of its saves stays below the first one's
			_, stopSecond := w.start(cfg)
			n := 0
			insert := func() { w.insert(n); n++ }
			w.awaitSaves(20, insert)
			left.Store(tc.saves)
			insert()
			eventually.True(t, "a save to be held up", func() bool { return hits.Load() > 0 })
			last, arrived := "", time.Now().Add(tc.late+200*time.Millisecond)
			eventually.True(t, "the delayed save to arrive, and the owner to change where the lease ran out", func() bool {
				insert()
				now := data(w.position())
				if now < last {
					t.Fatalf("the position went back from %s to %s", last, now)
				}
				last = now
				changed := w.position().Lookup("epoch").AsInt64() > 1
				return time.Now().After(arrived) && (changed || tc.lease > tc.late)
			})
			if err := errors.Join(stop(), stopSecond()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func data(position bson.Raw) string { return position.Lookup("token", "_data").StringValue() }

func TestOnlyOneFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	const lease = 4 * time.Second
	var first, second log
	a, stopA := w.follower(mongostream.Config{Handle: first.handle, Lease: lease})
	b, stopB := w.start(mongostream.Config{Handle: second.handle, Lease: lease})
	w.insert(1, 2, 3)
	eventually.True(t, "the first to handle", func() bool { return len(first.get()) == 3 })
	expires := func() int64 { return w.position().Lookup("expires").DateTime() }
	once := expires()
	eventually.True(t, "the lease to be renewed beyond its term", func() bool { return expires() > once+lease.Milliseconds() })
	if len(second.get()) > 0 || b.Status().Following || !a.Status().Following {
		t.Fatalf("both follow: %v %v", first.get(), second.get())
	}
	if err := mongostream.Forget(w.ctx, w.db.Collection(mongostream.Checkpoints), "test"); !errors.Is(err, mongostream.ErrFollowed) {
		t.Errorf("forgetting the position of a running follower: %v", err)
	}
	if err := stopA(); err != nil {
		t.Fatal(err)
	}
	w.insert(4)
	eventually.True(t, "the second to go on", func() bool { return slices.Equal(second.get(), []string{inserted(4)}) })
	if err := stopB(); err != nil {
		t.Fatal(err)
	}
}

// The start is stored before anything is handled: what happens while a follower
// that was killed at once is away is not lost.
func TestKilledRightAfterTheStart(t *testing.T) {
	w := newWorld(t, 1)
	killed := w.process()
	killed.awaits(t, "ready", 1)
	killed.kill()
	w.insert(1, 2)
	var seen log
	_, stop := w.follower(mongostream.Config{Handle: seen.handle})
	eventually.True(t, "what happened in between", func() bool { return slices.Equal(seen.get(), []string{inserted(1), inserted(2)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
