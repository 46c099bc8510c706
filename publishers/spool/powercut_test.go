package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// TestAPowerCutLosesNothingThatWasSynced takes the file as it was at a sync and as
// it is later, and mixes them as a power cut does: of the pages written since,
// the disk got any.
func TestAPowerCutLosesNothingThatWasSynced(t *testing.T) {
	rnd := seeded(t)
	salvaged := 0
	directory := memoryDirectory(t)
	for round := range 4 {
		path := filepath.Join(directory, fmt.Sprint("s", round))
		s := open(t, spool.Config{Path: path, Sync: spool.SyncInterval, SyncEvery: 400 * time.Millisecond, Window: 50})
		to := &memory{}
		synced := busy(t, s, rnd, nil, 300)
		drainSome(t, s, to, rnd.IntN(200))
		eventually(t, "all synced", func() bool { return s.Status().Unsynced == 0 })
		before := contents(t, path)
		busy(t, s, rnd, synced, 200)
		drainSome(t, s, to, rnd.IntN(300))
		after := contents(t, path)
		if s.Status().Unsynced == 0 {
			t.Logf("round %d: synced too early", round)
			continue
		}
		forwarded := numbersOf(t, to.records())
		for i := range 25 {
			mixed := filepath.Join(directory, fmt.Sprint("mixed", round, i))
			if err := os.WriteFile(mixed, mix(rnd, before, after), 0o600); err != nil {
				t.Fatal(err)
			}
			m := open(t, spool.Config{Path: mixed, Sync: spool.SyncNever})
			salvaged += len(m.Status().Salvages)
			for key, there := range onDisk(t, mixed) {
				holdsSynced(t, key, forwarded[key], there, synced[key])
			}
			_ = m.Close(context.Background())
		}
	}
	if salvaged < 10 {
		t.Errorf("only %d mixtures needed salvage: too calm to prove anything", salvaged)
	}
}

// busy publishes n events, in many transactions, and returns how many there are
// now of each key.
func busy(t *testing.T, s *spool.Spool, rnd *rand.Rand, before map[string]int, n int) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for key, n := range before {
		counts[key] = n
	}
	for range n {
		key := fmt.Sprint("k", rnd.IntN(3))
		data := publisherstest.Body(key, counts[key])
		r, err := s.EnqueueEncoded(context.Background(), key, data)
		if err != nil {
			t.Fatal(err)
		}
		counts[key]++
		if rnd.IntN(3) == 0 {
			<-r.Done()
		}
	}
	r, err := s.EnqueueEncoded(context.Background(), "last", publisherstest.Body("last", counts["last"]))
	if err != nil {
		t.Fatal(err)
	}
	counts["last"]++
	<-r.Done()
	return counts
}

// drainSome passes about so many events on.
func drainSome(t *testing.T, s *spool.Spool, to *memory, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	to.mu.Lock()
	to.after, to.then = len(to.kept)+n, cancel
	to.mu.Unlock()
	if err := s.DrainAll(ctx, to); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	eventually(t, "all known to be forwarded", func() bool { return s.Status().Forwarded >= uint64(len(to.records())) })
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b[:used(b)]
}

// mix takes each page from one of two.
func mix(rnd *rand.Rand, before, after []byte) []byte {
	mixed := bytes.Clone(after)
	share := rnd.Float64()
	for at := 0; at < len(after); at += 4096 {
		if rnd.Float64() < share {
			clear(mixed[at:min(at+4096, len(mixed))])
			if at < len(before) {
				copy(mixed[at:at+4096], before[at:])
			}
		}
	}
	return mixed
}

func numbersOf(t *testing.T, records []publisherstest.Record) map[string][]int {
	t.Helper()
	numbers := make(map[string][]int)
	for _, r := range records {
		n, err := publisherstest.Number(r)
		if err != nil {
			t.Fatal(err)
		}
		numbers[r.PartitionKey] = append(numbers[r.PartitionKey], n)
	}
	return numbers
}

// holdsSynced checks one key: what was synced and not forwarded is there, and
// all that is there is in order.
func holdsSynced(t *testing.T, key string, forwarded, there []int, synced int) {
	t.Helper()
	next := len(forwarded)
	for i, n := range there {
		if i > 0 && n <= there[i-1] || n < synced && i > 0 && n != there[i-1]+1 || n < synced && i == 0 && n > next {
			t.Fatalf("%s: %d were forwarded, %d synced, there are %v", key, len(forwarded), synced, there)
		}
	}
	if next < synced && (len(there) == 0 || there[len(there)-1] < synced-1) {
		t.Fatalf("%s: %d were forwarded, %d synced, there are %v", key, len(forwarded), synced, there)
	}
}
