package fence_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

func budget(d time.Duration) func(*fence.Fence) { return func(f *fence.Fence) { f.Budget = d } }

// How long a process is waited for is what it said itself, not the plan of whoever waits.
func TestTurnIsThatOfTheProcessAtWork(t *testing.T) {
	w := newWorld(t)
	w.encapsulate(w.fence())

	at := w.announceAndHold(w.fence()) // for as long as longHold
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	if rec, err := w.fence(budget(10*time.Millisecond)).Undo(ctx, 0); err == nil {
		t.Errorf("somebody in more of a hurry undid what another process is at: %+v", rec)
	}
	if now := w.record(); now.Revision != at.Revision {
		t.Errorf("%+v", now)
	}
	_, err := w.fence().Undo(w.ctx, at.Revision)
	w.must(err)

	rec, err := w.fence().Announce(w.ctx, w.record(), ownership.Switching)
	w.must(err)
	_, err = w.fence(budget(10*time.Millisecond)).Hold(w.ctx, rec)
	w.must(err)
	ctx, cancel = context.WithTimeout(w.ctx, longHold/2)
	defer cancel()
	if _, err := w.fence().Undo(ctx, 0); err != nil {
		t.Errorf("somebody with more time waited for longer than the process said: %v", err)
	}
}

// An instance that knows the collection by one name only may register after the look at
// the members: nothing moves.
func TestMembersThatDoNotFollowAreRefusedWhenTheyJoinLate(t *testing.T) {
	w := newWorld(t)
	old, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", ID: "old"})
	w.must(err)
	leave := func() { w.must(old.Leave(context.Background())) }
	if _, err := w.fence().Encapsulate(w.ctx); !contains(err, "does not follow the collection to another name") {
		t.Errorf("encapsulate: %v", err)
	}
	w.mustBeHome(ownership.Legacy, "user")
	leave()
	w.encapsulate(w.fence())

	rec, err := w.fence().Announce(w.ctx, w.record(), ownership.Switching)
	w.must(err)
	old, err = ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", ID: "old"})
	w.must(err)
	defer leave()
	if rec, err = w.fence().Hold(w.ctx, rec); !contains(err, "does not follow the collection to another name") {
		t.Errorf("hold: %v", err)
	}
	_, err = w.fence().Undo(w.ctx, rec.Revision)
	w.must(err)
	w.mustStand(w.fence(), w.record().Collection)
}

// A collection whose name a migration would give later is somebody else's.
func TestACollectionThatWasNotSetAsideIsNotDiscarded(t *testing.T) {
	w := newWorld(t)
	w.encapsulate(w.fence())
	w.fill("users__banyan_stray_g2", "somebody's")
	if err := w.fence().Discard(w.ctx, "users__banyan_stray_g2"); !contains(err, "it is not a collection that was set aside") {
		t.Errorf("%v", err)
	}
	w.mustRead("users__banyan_stray_g2", "somebody's")
	problems, err := w.fence().Check(w.ctx, w.record())
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0], "rename or drop it") {
		t.Errorf("%q %v", problems, err)
	}
}
