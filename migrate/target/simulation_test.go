package target_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// history is what happened in the source: the versions of each document in their order.
// At each time no two documents have the same e-mail; some change at the same time, as
// in a transaction.
type history struct {
	*rand.Rand
	versions map[string][]version
	ids      []string
	now      stamp.ClusterTime
}

func newHistory(seed uint64, documents, changes int) *history {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 9)), versions: map[string][]version{}}
	for i := range documents {
		h.ids = append(h.ids, fmt.Sprintf("d%d", i))
	}
	for range changes {
		h.now++
		id := h.ids[h.IntN(documents)]
		switch h.IntN(7) {
		case 0:
			h.change(id, version{deleted: true})
		case 2: // a transaction changes a document twice
			h.change(id, version{email: h.freeEmail(id)})
			h.change(id, version{email: h.freeEmail(id), deleted: h.IntN(3) == 0})
		case 1: // a transaction swaps two e-mails
			other := h.ids[h.IntN(documents)]
			mine, its := h.current(id, h.now), h.current(other, h.now)
			if id != other && !mine.deleted && !its.deleted {
				h.change(id, version{email: its.email})
				h.change(other, version{email: mine.email})
			}
		default:
			h.change(id, version{email: h.freeEmail(id)})
		}
	}
	return h
}

func (h *history) change(id string, v version) {
	v.at = h.now
	h.versions[id] = append(h.versions[id], v)
}

// freeEmail is one that no other document has now, often that which the document has.
func (h *history) freeEmail(id string) string {
	email := []string{"", "a", "b"}[h.IntN(3)]
	for _, other := range h.ids {
		if other != id && h.current(other, h.now).email == email {
			return h.current(id, h.now).email
		}
	}
	return email
}

// current is a document's version at a time.
func (h *history) current(id string, at stamp.ClusterTime) version {
	last := version{deleted: true}
	for _, v := range h.versions[id] {
		if v.at <= at {
			last = v
		}
	}
	return last
}

// end is the last version of each document that ever existed.
func (h *history) end() map[string]version {
	end := map[string]version{}
	for id, all := range h.versions {
		end[id] = all[len(all)-1]
	}
	return end
}

// follow applies a document's nth change; its content may be of a later time, as that of
// an update which the server looks up.
func (h *history) follow(w *world, r *rand.Rand, id string, n int) error {
	change := h.versions[id][n]
	content := change
	if !change.deleted && r.IntN(3) == 0 {
		later := h.current(id, change.at+stamp.ClusterTime(r.Uint64N(uint64(h.now-change.at)+1)))
		if later.deleted {
			return nil // the lookup finds nothing; the delete is still to come
		}
		content = later
	}
	err := w.Apply(w.Context(), w.version(id, content, change.at))
	if errors.Is(err, side.ErrSameTime) { // ask the source
		now := h.current(id, change.at+stamp.ClusterTime(r.Uint64N(uint64(h.now-change.at)+1)))
		if now.deleted && !change.deleted {
			return nil
		}
		last := w.version(id, now, change.at)
		last.Read = true
		err = w.Apply(w.Context(), last)
	}
	return err
}

// copy writes a chunk of the backfill: some documents as of one time, or, where the
// server has no snapshot reads, each at least as new as that.
func (h *history) copy(w *world, r *rand.Rand) error {
	at := stamp.ClusterTime(r.Uint64N(uint64(h.now)) + 1)
	snapshot, fresh := r.IntN(2) == 0, r.IntN(3) == 0
	var chunk []bson.Raw
	for _, id := range h.ids {
		of := at
		if !snapshot {
			of += stamp.ClusterTime(r.Uint64N(uint64(h.now-at) + 1))
		}
		if v := h.current(id, of); !v.deleted && r.IntN(3) > 0 {
			chunk = append(chunk, w.document(id, v))
		}
	}
	batches, _, err := w.Batches(chunk, at)
	if err != nil {
		return err
	}
	for _, batch := range batches {
		if err := batch.Fill(w.Context(), fresh); err != nil {
			return err
		}
	}
	return nil
}

// followAll applies a document's changes in their order from the nth on; now and then it
// begins again further back, as a follower does that was killed.
func (h *history) followAll(w *world, r *rand.Rand, id string, n int) error {
	for n < len(h.versions[id]) {
		if err := h.follow(w, r, id, n); err != nil {
			return err
		}
		if n++; r.IntN(5) == 0 {
			n = r.IntN(n)
		}
	}
	return nil
}

// fewer seeds are for the race detector; make simulate runs all.
var fewer = map[bool]uint64{false: 1, true: 4}[matrix.Race]

// eachPlan runs a simulation with keys that stay and with keys that change.
func eachPlan(t *testing.T, simulate func(*world)) {
	for name, text := range map[string]string{"keys that stay": peoplePlan, "keys that change": movingPlan, "no constraint": freePlan} {
		t.Run(name, func(t *testing.T) {
			simulate(newWorldOf(t, text, func(h http.Handler) http.Handler { return h }))
		})
	}
}

// TestSimulation: whatever the order in which the changes of several documents and the
// chunks of the backfill arrive, items and unique entries end as the fold of the changes.
// One goroutine in random order, so that a seed repeats.
func TestSimulation(t *testing.T) { eachPlan(t, simulate) }

func simulate(w *world) {
	t := w.T
	first := uint64(time.Now().UnixNano())
	for seed := first; seed < first+30/fewer && !t.Failed(); seed++ {
		h := newHistory(seed, 4, 30)
		next := map[string]int{}
		for left := len(h.versions); left > 0; {
			id := h.ids[h.IntN(len(h.ids))]
			var err error
			switch {
			case h.IntN(8) == 0:
				err = h.copy(w, h.Rand)
			case next[id] > 0 && h.IntN(6) == 0: // a follower that has lost its lease
				err = h.follow(w, h.Rand, id, h.IntN(next[id]))
			case next[id] > 0 && h.IntN(6) == 0 && next[id] < len(h.versions[id]):
				next[id] = h.IntN(next[id])
			case next[id] < len(h.versions[id]):
				err = h.follow(w, h.Rand, id, next[id])
				if next[id]++; next[id] == len(h.versions[id]) {
					left--
				}
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		w.mustHold(h.end())
		w.empty()
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}
}

// TestConcurrentSimulation: the same with a follower for each document, two backfills, and
// followers that have lost their lease and write on.
func TestConcurrentSimulation(t *testing.T) { eachPlan(t, simulateConcurrently) }

func simulateConcurrently(w *world) {
	t := w.T
	first := uint64(time.Now().UnixNano())
	for seed := first; seed < first+8/fewer && !t.Failed(); seed++ {
		h := newHistory(seed, 4, 24)
		var all sync.WaitGroup
		run := func(n uint64, work func(r *rand.Rand) error) {
			r := rand.New(rand.NewPCG(seed, n))
			all.Go(func() {
				if err := work(r); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			})
		}
		for i, id := range h.ids {
			run(uint64(i), func(r *rand.Rand) error { return h.followAll(w, r, id, 0) })
			if n := len(h.versions[id]); n > 0 {
				run(uint64(100+i), func(r *rand.Rand) error { return h.followAll(w, r, id, r.IntN(n)) })
			}
		}
		for i := range uint64(2) {
			run(200+i, func(r *rand.Rand) error {
				for range 6 {
					if err := h.copy(w, r); err != nil {
						return err
					}
				}
				return nil
			})
		}
		all.Wait()
		w.mustHold(h.end())
		w.empty()
	}
}
