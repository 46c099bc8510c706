package spool_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// TestOrderAndNoLossThroughTheSpool publishes into a spool in front of the Kinesis
// publisher, while the stream throttles, fails in part, times out and is away for
// a while, and while the drain is broken off and the spool opened anew.
func TestOrderAndNoLossThroughTheSpool(t *testing.T) {
	total := 30_000
	if testing.Short() {
		total = 10_000
	}
	rnd := seeded(t)
	w := newWorld(t, rough)
	path := filepath.Join(t.TempDir(), "s")
	var ledger publisherstest.Ledger
	const rounds = 6
	for range rounds {
		s := open(t, spool.Config{Path: path, AckTimeout: -1, Permanent: permanent})
		p := w.publisher(t)
		ctx, cancel := context.WithCancel(context.Background())
		var working sync.WaitGroup
		working.Go(func() {
			if err := s.Drain(ctx, p); err != nil {
				t.Error(err)
			}
		})
		of := rand.New(rand.NewPCG(rnd.Uint64(), 7))
		working.Go(func() { w.comeAndGo(ctx, of) })
		var producing sync.WaitGroup
		for i := range 4 {
			of := rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))
			producing.Go(func() {
				for range total / rounds / 4 {
					key := fmt.Sprintf("p%d-%d", i, min(of.IntN(40), of.IntN(40)))
					body, _ := ledger.Next(key)
					publish(t, s, key, body)
				}
			})
		}
		producing.Wait()
		time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond) // somewhere in the drain
		cancel()                                                    // with a window of events in flight
		working.Wait()
		_ = p.Close(ended())
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	w.faults.Switch(false)
	s := open(t, spool.Config{Path: path, Permanent: permanent})
	left := s.Status().Events
	p := w.publisher(t)
	defer p.Close(ended())
	if err := s.DrainAll(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	duplicates, err := ledger.Check(w.read())
	if err != nil {
		t.Fatal(err)
	}
	st := s.Status()
	t.Logf("%d events, %d duplicates, %d left at last, faults %v", ledger.Len(), duplicates, left, w.faults.Counts())
	if duplicates == 0 || int(st.Forwarded) != ledger.Len() || st.Refused != 0 {
		t.Errorf("%d duplicates, %+v", duplicates, st)
	}
}

func permanent(error) bool { return false }

func (w *world) publisher(t *testing.T) *kinesis.Publisher {
	t.Helper()
	p, err := kinesis.New(context.Background(), kinesis.Config{
		Client: w.client, Stream: stream, Linger: time.Millisecond, AggregateBytes: 2000,
		BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, AttemptTimeout: time.Minute, RetryRefused: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// comeAndGo makes the stream unreachable now and then: every request to it fails.
func (w *world) comeAndGo(ctx context.Context, rnd *rand.Rand) {
	for {
		for _, away := range []bool{false, true} {
			w.away.Store(away)
			select {
			case <-ctx.Done():
				w.away.Store(false)
				return
			case <-time.After(time.Duration(10+rnd.IntN(60)) * time.Millisecond):
			}
		}
	}
}

// TestKilledDrainsKeepTheOrder kills, by SIGKILL, a process that publishes and
// drains, again and again, and reads the stream.
func TestKilledDrainsKeepTheOrder(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	w := newWorld(t, rough)
	path := filepath.Join(t.TempDir(), "s")
	acknowledged := make(map[string]int)
	for round := range 6 {
		c := start(t, orders{Path: path, Round: round / 2, Producers: 3 * (1 - round%2), Endpoint: w.url})
		if round == 0 {
			eventually.True(t, "something to be proved", func() bool { total, duplicates := w.counts(); return total >= 100 && duplicates > 0 })
		}
		time.Sleep(time.Duration(20+rnd.IntN(150)) * time.Millisecond) // its life
		maps.Copy(acknowledged, c.kill(t))
		w.front.CloseClientConnections() // what it has sent takes effect by now, or never
	}
	w.faults.Switch(false)
	s := open(t, spool.Config{Path: path})
	if st := s.Status(); len(st.Salvages) > 0 || st.Forwarded == 0 {
		t.Errorf("%+v", st)
	}
	p := w.publisher(t)
	defer p.Close(ended())
	if err := s.DrainAll(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	w.checkKilled(acknowledged)
}

// counts returns how many events are on the stream, and how many records more.
func (w *world) counts() (total, duplicates int) {
	w.t.Helper()
	distinct := make(map[string]bool)
	records := w.read()
	for _, r := range records {
		distinct[r.PartitionKey+string(r.Data)] = true
	}
	return len(distinct), len(records) - len(distinct)
}

// checkKilled holds the stream against what was acknowledged. Of what was taken
// in and not acknowledged any part may be there, in order.
func (w *world) checkKilled(acknowledged map[string]int) {
	w.t.Helper()
	records := w.read()
	total := 0
	for key, numbers := range numbersOf(w.t, records) {
		there := 0
		for _, n := range numbers {
			there = max(there, n+1)
		}
		if err := publisherstest.CheckOrder(key, numbers, there); err != nil {
			w.t.Error(err)
		}
		if there < acknowledged[key] {
			w.t.Errorf("%s: %d events were acknowledged, %d are on the stream", key, acknowledged[key], there)
		}
		total += there
		delete(acknowledged, key)
	}
	if len(acknowledged) > 0 {
		w.t.Errorf("nothing is on the stream of %v", acknowledged)
	}
	w.t.Logf("%d events, %d duplicates, faults %v", total, len(records)-total, w.faults.Counts())
}
