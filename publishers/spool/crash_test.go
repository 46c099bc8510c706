package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// seeded returns randomness that a failing test says the seed of.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// onDisk returns what is in a file, by key.
func onDisk(t *testing.T, path string) map[string][]int {
	t.Helper()
	numbers := make(map[string][]int)
	err := spool.Read(context.Background(), path, func(e spool.Entry, data []byte) error {
		n, err := publisherstest.Number(publisherstest.Record{PartitionKey: e.PartitionKey, Data: data})
		numbers[e.PartitionKey] = append(numbers[e.PartitionKey], n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// holds fails unless everything acknowledged is there, in order and once. More
// may be there.
func holds(t *testing.T, there map[string][]int, acknowledged map[string]int) {
	t.Helper()
	for key, n := range acknowledged {
		if len(there[key]) < n {
			t.Fatalf("%s: %d events were acknowledged, %d are there", key, n, len(there[key]))
		}
	}
	for key, numbers := range there {
		for i, n := range numbers {
			if n != i {
				t.Fatalf("%s: event %d is in place %d: ... %v", key, n, i, numbers[max(0, i-5):i+1])
			}
		}
	}
}

// TestAcknowledgedSurvivesSIGKILL kills a process that publishes, at any instant,
// again and again on one file.
func TestAcknowledgedSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	path := filepath.Join(t.TempDir(), "s")
	acknowledged := make(map[string]int)
	for round := range 6 {
		c := start(t, orders{Path: path, Round: round, Producers: 4})
		if round == 0 {
			<-c.keeps
		}
		time.Sleep(time.Duration(rnd.IntN(60_000)) * time.Microsecond) // its life
		maps.Copy(acknowledged, c.kill(t))
		s := open(t, spool.Config{Path: path})
		if salvages := s.Status().Salvages; len(salvages) > 0 {
			t.Fatalf("a killed process left damage: %v", salvages)
		}
		holds(t, onDisk(t, path), acknowledged)
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestACopyTakenWhileWritingHoldsWhatWasKept copies the file as backups do, while
// a process writes it: such a copy is of no single instant.
func TestACopyTakenWhileWritingHoldsWhatWasKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := open(t, spool.Config{Path: path})
	ctx, cancel := context.WithCancel(context.Background())
	produced := make(chan struct{})
	counts := make(chan int)
	go func() {
		defer close(produced)
		for n := 0; ctx.Err() == nil; n++ {
			r, err := s.EnqueueEncoded(ctx, "k", publisherstest.Body("k", n))
			if err == nil {
				_, err = r.Wait(context.Background())
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			select {
			case counts <- n + 1:
			default:
			}
		}
	}()
	defer func() { cancel(); <-produced }()
	torn := 0
	for i := range 30 {
		kept := <-counts
		copied := filepath.Join(t.TempDir(), fmt.Sprint("copy", i))
		slowCopy(t, path, copied)
		c, err := spool.Open(ctx, spool.Config{Path: copied, Log: silent})
		if err != nil {
			t.Fatal(err)
		}
		torn += len(c.Status().Salvages)
		holds(t, onDisk(t, copied), map[string]int{"k": kept})
		if err := c.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 30 copies were damaged", torn)
}

func slowCopy(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for {
		_, err := io.CopyN(out, in, 4096)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fill makes a spool of n events of 10 keys, closed, and returns its bytes.
func fill(t *testing.T, path string, n, size int) []byte {
	t.Helper()
	s := open(t, spool.Config{Path: path})
	var last interface {
		Done() <-chan struct{}
	}
	for i := range n {
		key := fmt.Sprint("k", i%10)
		data := append(publisherstest.Body(key, i/10), bytes.Repeat([]byte("x"), size)...)
		if size > 0 {
			data = data[:len(data)-1]
		}
		r, err := s.EnqueueEncoded(context.Background(), key, data)
		if err != nil {
			t.Fatal(err)
		}
		last = r
	}
	<-last.Done()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestATornWriteSurvives cuts and scribbles anywhere in the file. Whatever is
// readable must be there, in order, and what is not must be counted.
func TestATornWriteSurvives(t *testing.T) {
	rnd := seeded(t)
	directory := memoryDirectory(t)
	const events = 300
	whole := fill(t, filepath.Join(directory, "whole"), events, 0)
	whole = whole[:used(whole)]
	salvaged := 0
	for i := range 120 {
		damaged := bytes.Clone(whole)
		how := damage(rnd, &damaged)
		path := filepath.Join(directory, fmt.Sprint("s", i))
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := spool.Open(context.Background(), spool.Config{Path: path, Log: silent})
		if errors.Is(err, spool.ErrNotSpool) && len(damaged) < 8192 {
			continue // nothing is left of it
		}
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		salvaged += len(s.Status().Salvages)
		accounts(t, how, s, path, damaged, events)
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if salvaged < 20 {
		t.Errorf("only %d files needed salvage: too calm to prove anything", salvaged)
	}
}

// used is the length of a file without the zeros at its end.
func used(b []byte) int {
	n := len(bytes.TrimRight(b, "\x00"))
	return min((n+4095)&^4095, len(b))
}

// damage does something that a disk could.
func damage(rnd *rand.Rand, b *[]byte) string {
	at := rnd.IntN(len(*b))
	switch rnd.IntN(4) {
	case 0:
		*b = (*b)[:at]
		return fmt.Sprintf("cut at %d", at)
	case 1:
		n := min(1+rnd.IntN(5000), len(*b)-at)
		for i := range n {
			(*b)[at+i] = byte(rnd.Uint32())
		}
		return fmt.Sprintf("%d bytes scribbled at %d", n, at)
	case 2:
		at &^= 511
		clear((*b)[at:min(at+512*(1+rnd.IntN(16)), len(*b))])
		return fmt.Sprintf("sectors zeroed at %d", at)
	}
	(*b)[at] ^= 1 << rnd.IntN(8)
	return fmt.Sprintf("one bit changed at %d", at)
}

// accounts checks what became of a damaged file of so many events.
func accounts(t *testing.T, how string, s *spool.Spool, path string, damaged []byte, events int) {
	t.Helper()
	there := 0
	for key, numbers := range onDisk(t, path) {
		there += len(numbers)
		for i := 1; i < len(numbers); i++ {
			if numbers[i] <= numbers[i-1] {
				t.Fatalf("%s: %s is out of order: %v", how, key, numbers)
			}
		}
	}
	// A body that stands in the damaged file as a whole with its header is
	// readable; few are torn by one damage.
	st := s.Status()
	if int(st.Events) != there {
		t.Fatalf("%s: %d events are there, the status says %d", how, there, st.Events)
	}
	if len(st.Salvages) == 0 {
		if there != events {
			t.Fatalf("%s: %d of %d events, and nothing was said", how, there, events)
		}
		return
	}
	report := st.Salvages[len(st.Salvages)-1]
	if int(report.Events) != there || there+int(report.LostEvents) > events || report.Exact && there+int(report.LostEvents) != events {
		t.Fatalf("%s: %d of %d events are there: %v", how, there, events, report)
	}
	if kept, err := os.ReadFile(report.SetAway); err != nil || !bytes.Equal(kept, damaged) {
		t.Fatalf("%s: the damaged file was not set aside as it was: %v", how, err)
	}
}

// TestADamagedRootLosesNothing damages either root. bbolt by itself would take up
// the state before the last transaction, and say nothing.
func TestADamagedRootLosesNothing(t *testing.T) {
	for root := range 2 {
		path := filepath.Join(memoryDirectory(t), "s")
		s := open(t, spool.Config{Path: path})
		for i := range 20 {
			<-publish(t, s, "k", publisherstest.Body("k", i)).Done()
		}
		_ = s.Close(context.Background())
		b := contents(t, path)
		b[root*4096+16+48] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, spool.Config{Path: path})
		holds(t, onDisk(t, path), map[string]int{"k": 20})
		for _, report := range s.Status().Salvages {
			if report.Events != 20 || report.LostEvents != 0 {
				t.Errorf("root %d: %v", root, report)
			}
		}
		_ = s.Close(context.Background())
	}
}

// TestSalvageRestoresNoRemovedEvents damages a file in which the events that were passed
// on still stand on free pages.
func TestSalvageRestoresNoRemovedEvents(t *testing.T) {
	path := filepath.Join(memoryDirectory(t), "s")
	fill(t, path, 300, 0)
	s := open(t, spool.Config{Path: path, AckTimeout: -1})
	to := &memory{}
	drainSome(t, s, to, 100)
	_ = s.Close(context.Background())
	b := contents(t, path)
	if !bytes.Contains(b, []byte("k3#2#")) {
		t.Fatal("what was forwarded is nowhere any more, so that this proves nothing")
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("k3#29#"), []byte("k3?29?")), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, spool.Config{Path: path})
	passed := len(to.records())
	if st := s.Status(); len(st.Salvages) != 1 || int(st.Events) != 299-passed || st.Salvages[0].LostEvents != 1 {
		t.Errorf("%d were forwarded: %+v", passed, st)
	}
	for key, numbers := range onDisk(t, path) {
		if before := numbersOf(t, to.records())[key]; numbers[0] != len(before) {
			t.Errorf("%s: %d were forwarded, and %v are there", key, len(before), numbers[:3])
		}
	}
}
