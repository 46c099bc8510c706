package follow_test

import (
	"slices"
	"testing"

	"github.com/banyan-fig/banyan/publishers/changestream/follow"
)

func TestGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t, 1)
	w.insert(1) // before the first start: not told
	var seen log
	_, stop := w.follower(follow.Config{Handle: seen.handle})
	w.insert(2, 3)
	waitFor(t, "two changes", func() bool { return len(seen.get()) == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.insert(4)
	_, stop = w.follower(follow.Config{Handle: seen.handle})
	w.insert(5)
	waitFor(t, "four changes", func() bool { return len(seen.get()) == 4 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{`insert {"$numberInt":"2"}`, `insert {"$numberInt":"3"}`, `insert {"$numberInt":"4"}`, `insert {"$numberInt":"5"}`}
	if !slices.Equal(seen.get(), want) {
		t.Errorf("%v", seen.get())
	}
}
