package deadletter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t *testing.T, faults *streamtest.Faults) *deadletter.Store {
	t.Helper()
	db := streamtest.NewDynamoDB(t)
	return deadletter.New(db.Client(faults), db.CreateTable(deadletter.TableInput))
}

func letter(n int, raw []byte) consumers.DeadLetter {
	return consumers.DeadLetter{
		Consumer: "test", Shard: "shardId-000000000000", PartitionKey: "ada",
		Position: events.Position{Sequence: streamtest.Sequence(n), Sub: n % 3},
		EventID:  "id", EventType: "post.published", Raw: raw, Reason: fmt.Sprint("reason ", n),
		Arrived: streamtest.Start, At: streamtest.Start.Add(time.Second),
	}
}

func random(n int) []byte {
	r, raw := rand.NewChaCha8([32]byte{1}), make([]byte, n)
	_, _ = r.Read(raw)
	return raw
}

// TestEveryByteIsKept: up to a whole Kinesis record, and around every limit on
// the way.
func TestEveryByteIsKept(t *testing.T) {
	s := newStore(t, nil)
	for i, size := range []int{0, 1, 32 << 10, 32<<10 + 1, 350 << 10, 350<<10 + 1, 1 << 20} {
		d := letter(i+1, random(size))
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		l, err := s.Get(t.Context(), deadletter.IDOf(d))
		if err != nil || !bytes.Equal(l.Raw, d.Raw) || l.Size != size || !l.RedrivenAt.IsZero() {
			t.Errorf("%d bytes: got %d (size %d), %v", size, len(l.Raw), l.Size, err)
		}
		l.Raw, d.Raw = nil, nil
		if fmt.Sprintf("%+v", l.DeadLetter) != fmt.Sprintf("%+v", d) {
			t.Errorf("%d bytes: got %+v, want %+v", size, l.DeadLetter, d)
		}
	}
}

func TestPutAgainChangesNothing(t *testing.T) {
	s := newStore(t, nil)
	d := letter(1, []byte("raw"))
	again := d
	again.Reason, again.Raw = "another", []byte("other")
	for _, d := range []consumers.DeadLetter{d, again} {
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := s.Get(t.Context(), deadletter.IDOf(d)); err != nil || l.Reason != d.Reason || string(l.Raw) != "raw" {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestListPagesOneConsumer(t *testing.T) {
	s := newStore(t, nil)
	for n := range 25 {
		d := letter(n+1, random(40<<10*(n%2)))
		if n%5 == 4 {
			d.Consumer = "other"
		}
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	redriven := letter(1, nil)
	if err := s.Redrive(t.Context(), deadletter.IDOf(redriven), func(context.Context, consumers.DeadLetter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{false, true} {
		want := 19
		if all {
			want = 20
		}
		n, last, pages, cursor := 0, events.Position{}, 0, ""
		for {
			p, err := s.List(t.Context(), "test", deadletter.ListOptions{Cursor: cursor, Limit: 7, Redriven: all})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range p.Letters {
				if !last.Before(l.Position) || l.Consumer != "test" || l.Raw != nil {
					t.Errorf("%v after %v, of %s, %d bytes", l.Position, last, l.Consumer, len(l.Raw))
				}
				last = l.Position
				n++
			}
			pages++
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if n != want || pages != 3 {
			t.Errorf("redriven %v: %d in %d pages, want %d in 3", all, n, pages, want)
		}
	}
	if _, err := s.List(t.Context(), "test", deadletter.ListOptions{Cursor: "x"}); !errors.Is(err, deadletter.ErrCursor) {
		t.Errorf("a cursor of nobody: %v", err)
	}
}

func TestRedrive(t *testing.T) {
	s := newStore(t, nil)
	d := letter(1, random(50<<10))
	if err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("still wrong")
	calls := 0
	handle := func(err error) func(context.Context, consumers.DeadLetter) error {
		return func(_ context.Context, got consumers.DeadLetter) error {
			calls++
			if !bytes.Equal(got.Raw, d.Raw) || got.Position != d.Position {
				t.Errorf("handed %+v", got.Position)
			}
			return err
		}
	}
	if err := s.Redrive(t.Context(), deadletter.IDOf(d), handle(wrong)); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	if l, _ := s.Get(t.Context(), deadletter.IDOf(d)); !l.RedrivenAt.IsZero() {
		t.Error("marked although it failed")
	}
	for range 2 { // the second finds the mark
		if err := s.Redrive(t.Context(), deadletter.IDOf(d), handle(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if l, _ := s.Get(t.Context(), deadletter.IDOf(d)); l.RedrivenAt.IsZero() || calls != 2 {
		t.Errorf("redriven at %v after %d calls", l.RedrivenAt, calls)
	}
	if err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if l, _ := s.Get(t.Context(), deadletter.IDOf(d)); l.RedrivenAt.IsZero() {
		t.Error("a late delivery took the mark away")
	}
	if err := s.Redrive(t.Context(), deadletter.IDOf(letter(9, nil)), handle(nil)); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("nothing to redrive: %v", err)
	}
}

// TestFaults: whatever the wire does, a Put without error has kept every byte.
func TestFaults(t *testing.T) {
	s := newStore(t, streamtest.NewFaults(3, 4))
	for n := 1; n <= 12; n++ {
		d := letter(n, random(n*50<<10))
		var err error
		for range 5 {
			if err = s.Put(t.Context(), d); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		var l deadletter.Letter
		for range 5 {
			if l, err = s.Get(t.Context(), deadletter.IDOf(d)); err == nil {
				break
			}
		}
		if err != nil || !bytes.Equal(l.Raw, d.Raw) {
			t.Fatalf("%d: %d bytes, %v", n, len(l.Raw), err)
		}
	}
}

func TestOddLetters(t *testing.T) {
	s := newStore(t, nil)
	for _, d := range []consumers.DeadLetter{{}, {Consumer: "test"}, {Position: letter(1, nil).Position}} {
		if err := s.Put(t.Context(), d); err == nil {
			t.Errorf("took %+v", d)
		}
	}
	d := letter(1, nil)
	d.Reason, d.PartitionKey = strings.Repeat("ü", 3000)+"\xff", "\xff"
	if err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Get(t.Context(), deadletter.IDOf(d)); err != nil || len(l.Reason) > 4200 || !strings.HasPrefix(l.Reason, "üü") {
		t.Errorf("reason of %d bytes, %v", len(l.Reason), err)
	}
}
