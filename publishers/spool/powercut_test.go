package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// TestAPowerCutLosesNothingThatWasAcknowledged takes the file as it was after an
// acknowledgement and as it is one transaction later, and mixes them as a power cut
// in that transaction does: the disk got any of its pages, and not yet its root.
func TestAPowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	rnd := seeded(t)
	directory := memoryDirectory(t)
	path := filepath.Join(directory, "s")
	s := open(t, spool.Config{Path: path})
	to := &memory{}
	acknowledged := make(map[string]int)
	for round := range 40 {
		for range 1 + rnd.IntN(20) {
			publishNext(t, s, rnd, acknowledged)
		}
		drainSome(t, s, to, 1+rnd.IntN(10))
		there := onDisk(t, path)
		before := contents(t, path)
		publishNext(t, s, rnd, acknowledged)
		mixed := filepath.Join(directory, fmt.Sprint("mixed", round))
		if err := os.WriteFile(mixed, mix(rnd, before, contents(t, path)), 0o600); err != nil {
			t.Fatal(err)
		}
		m := open(t, spool.Config{Path: mixed})
		if salvages := m.Status().Salvages; len(salvages) > 0 {
			t.Errorf("round %d: a power cut left damage: %v", round, salvages)
		}
		if diff := cmp.Diff(there, onDisk(t, mixed)); diff != "" {
			t.Errorf("round %d: %s", round, diff)
		}
		_ = m.Close(context.Background())
	}
}

// publishNext publishes the next event of a key, and waits until it is on disk.
func publishNext(t *testing.T, s *spool.Spool, rnd *rand.Rand, counts map[string]int) {
	t.Helper()
	key := fmt.Sprint("k", rnd.IntN(3))
	r, err := s.EnqueueEncoded(context.Background(), key, publisherstest.Body(key, counts[key]))
	if err == nil {
		_, err = r.Wait(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	counts[key]++
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
	eventually.True(t, "all known to be forwarded", func() bool { return s.Status().Forwarded >= uint64(len(to.records())) })
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b[:used(b)]
}

// mix takes each page but the two roots from one of two.
func mix(rnd *rand.Rand, before, after []byte) []byte {
	mixed := bytes.Clone(before)
	mixed = append(mixed, make([]byte, max(0, len(after)-len(before)))...)
	share := rnd.Float64()
	for at := 2 * os.Getpagesize(); at < len(after); at += os.Getpagesize() {
		if rnd.Float64() < share {
			copy(mixed[at:], after[at:min(at+os.Getpagesize(), len(after))])
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
