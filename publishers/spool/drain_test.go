package spool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// moody is a publisher that keeps order within a key and fails in every way that
// one may: it does not take events in, loses them, hangs for a while, keeps them
// and says that it did not, and never takes some.
type moody struct {
	memory
	rnd    *rand.Rand
	calm   bool
	poison func(data []byte) bool
	taken  []*moodyReceipt
	down   bool
	// careless: it may keep an event although it failed an earlier one of its key,
	// which was not given to it again.
	careless bool
	failed   map[string]string // by key: the first that it failed and was not given again
}

var (
	errMood   = errors.New("not in the mood")
	errPoison = fmt.Errorf("%w: nobody takes that", events.ErrMalformed)
)

type moodyReceipt struct {
	key  string
	data []byte
	err  error
	done chan struct{}
}

func (r *moodyReceipt) Done() <-chan struct{} { return r.done }

func (r *moodyReceipt) Wait(ctx context.Context) (events.Position, error) {
	select {
	case <-r.done:
		return events.Position{Sequence: "1"}, r.err
	case <-ctx.Done():
		return events.Position{}, ctx.Err()
	}
}

func (m *moody) EnqueueEncoded(_ context.Context, key string, data []byte) (publishers.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.poison != nil && m.poison(data) {
		if m.rnd.IntN(2) == 0 {
			return nil, errPoison
		}
		r := &moodyReceipt{key: key, err: errPoison, done: make(chan struct{})}
		m.taken = append(m.taken, r)
		return r, nil
	}
	if first := m.failed[key]; first == string(data) {
		delete(m.failed, key)
	} else if first != "" && !m.careless || !m.calm && m.rnd.IntN(200) == 0 {
		return nil, errMood
	}
	r := &moodyReceipt{key: key, data: data, done: make(chan struct{})}
	m.taken = append(m.taken, r)
	return r, nil
}

// work settles what was enqueued, in order, until ctx ends. A failure is of all
// that is there, as when a service refuses: a part of it may have been kept.
func (m *moody) work(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) // the service takes its time
		m.mu.Lock()
		if !m.down {
			m.settleSome()
		}
		if !m.calm {
			m.down = m.rnd.IntN(10) == 0
		}
		m.mu.Unlock()
	}
}

func (m *moody) settleSome() {
	n := m.rnd.IntN(len(m.taken) + 1)
	fails := !m.calm && m.rnd.IntN(8) == 0
	if fails {
		n = len(m.taken)
	}
	kept := m.rnd.IntN(n + 1)
	for i, r := range m.taken[:n] {
		if r.data != nil && (!fails || i < kept) {
			m.kept = append(m.kept, publisherstest.Record{PartitionKey: r.key, Data: r.data})
		}
		if fails && r.err == nil {
			r.err = errMood
			if m.failed[r.key] == "" {
				m.failed[r.key] = string(r.data)
			}
		}
		close(r.done)
	}
	m.taken = m.taken[n:]
}

func newMoody(t *testing.T, rnd *rand.Rand) *moody {
	m := &moody{rnd: rnd, failed: make(map[string]string)}
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { m.work(ctx) })
	t.Cleanup(func() { cancel(); working.Wait() })
	return m
}

func (m *moody) calmDown() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calm, m.down = true, false
}

// TestDrainingIntoAnUnreliablePublisher publishes and drains at once, and opens the
// spool anew now and then.
func TestDrainingIntoAnUnreliablePublisher(t *testing.T) {
	for _, cfg := range []spool.Config{
		{Window: 100}, {Window: 1}, {Window: 20, PerKey: 1}, {Window: 50, MaxEvents: 100},
	} {
		t.Run(fmt.Sprintf("window=%d,perkey=%d,max=%d", cfg.Window, cfg.PerKey, cfg.MaxEvents), func(t *testing.T) {
			t.Parallel()
			rnd := seeded(t)
			cfg.Path = filepath.Join(t.TempDir(), "s")
			cfg.AckTimeout = 5 * time.Millisecond
			to := newMoody(t, rand.New(rand.NewPCG(rnd.Uint64(), 1)))
			to.poison = func(data []byte) bool { return strings.Contains(string(data), "poison") }
			to.careless = cfg.PerKey == 1
			var ledger publisherstest.Ledger
			poisoned := 0
			for range 4 {
				s := open(t, cfg)
				ctx, cancel := context.WithCancel(context.Background())
				var draining sync.WaitGroup
				draining.Go(func() {
					if err := s.Drain(ctx, to); err != nil {
						t.Error(err)
					}
				})
				for range 100 {
					key := fmt.Sprint("k", rnd.IntN(5))
					body, _ := ledger.Next(key)
					publish(t, s, key, body)
					if rnd.IntN(20) == 0 {
						poisoned++
						publish(t, s, key, []byte("poison"))
					}
				}
				eventually.True(t, "nearly drained", func() bool { return s.Status().Events <= 20 })
				cancel()
				draining.Wait()
				if err := s.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			to.calmDown()
			s := open(t, cfg)
			if err := s.DrainAll(context.Background(), to); err != nil {
				t.Fatal(err)
			}
			duplicates, err := ledger.Check(to.records())
			if err != nil {
				t.Error(err)
			}
			st := s.Status()
			if int(st.Refused) != poisoned || int(st.Forwarded) != ledger.Len() || st.Events != 0 {
				t.Errorf("%d events and %d poisoned, %d duplicates: %+v", ledger.Len(), poisoned, duplicates, st)
			}
			t.Log(duplicates, "duplicates") // as many as the moods of this run made
		})
	}
}

func publish(t *testing.T, s *spool.Spool, key string, data []byte) publishers.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := s.EnqueueEncoded(ctx, key, data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stuck takes events in and never says what became of them.
type stuck struct {
	publishers.Publisher
	mu    sync.Mutex
	taken map[string]int
}

func (s *stuck) EnqueueEncoded(_ context.Context, key string, _ []byte) (publishers.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = make(map[string]int)
	}
	s.taken[key]++
	return &moodyReceipt{done: make(chan struct{})}, nil
}

func (s *stuck) counts() (total, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.taken {
		total += n
		most = max(most, n)
	}
	return total, most
}

// TestAStuckDestination gets no more than the window, while events are enqueued.
func TestAStuckDestination(t *testing.T) {
	for _, perKey := range []int{0, 1, 3} {
		s := open(t, spool.Config{Path: filepath.Join(t.TempDir(), "s"), Window: 10, PerKey: perKey, AckTimeout: 10 * time.Millisecond})
		to := &stuck{}
		ctx, cancel := context.WithCancel(context.Background())
		var draining sync.WaitGroup
		draining.Go(func() {
			if err := s.Drain(ctx, to); err != nil {
				t.Error(err)
			}
		})
		for i := range 100 {
			<-publish(t, s, fmt.Sprint("k", i/50), []byte("x")).Done()
		}
		want := map[int]int{0: 10, 1: 1, 3: 3}[perKey]
		eventually.True(t, "the window is full", func() bool { return s.Status().InFlight >= want })
		if st := s.Status(); st.Events != 100 || !st.Draining || st.InFlight != want || st.Failing {
			t.Errorf("%+v", st)
		}
		if err := s.Drain(ctx, to); !errors.Is(err, spool.ErrDraining) {
			t.Errorf("a second drain: %v", err)
		}
		brief, stop := context.WithTimeout(context.Background(), time.Minute)
		cancel()
		draining.Wait()
		if total, most := to.counts(); total != want || most != want { // nothing was ever acknowledged
			t.Errorf("per key %d: %d in flight, %d of one key, want %d", perKey, total, most, want)
		}
		if err := s.Close(brief); err != nil {
			t.Error(err)
		}
		stop()
	}
}

// TestDrainAllSaysWhatIsLeft ends before it is done.
func TestDrainAllSaysWhatIsLeft(t *testing.T) {
	s := open(t, spool.Config{Path: filepath.Join(t.TempDir(), "s"), AckTimeout: -1})
	<-publish(t, s, "k", []byte("x")).Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := s.DrainAll(ctx, &failing{end: cancel})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errMood) || !strings.Contains(err.Error(), "1 events are left") {
		t.Errorf("got %v", err)
	}
	if st := s.Status(); !st.Failing || !strings.Contains(st.LastError, errMood.Error()) || st.LastErrorAt.IsZero() {
		t.Errorf("%+v", st)
	}
	if err := s.DrainAll(context.Background(), &memory{}); err != nil {
		t.Error(err)
	}
	if st := s.Status(); st.Failing || st.LastError == "" || st.Events != 0 || st.Forwarded != 1 {
		t.Errorf("%+v", st)
	}
}

// failing fails, and has its caller end at the third attempt.
type failing struct {
	publishers.Publisher
	attempts int
	end      func()
}

func (f *failing) EnqueueEncoded(context.Context, string, []byte) (publishers.Receipt, error) {
	if f.attempts++; f.attempts == 3 {
		f.end()
	}
	return nil, errMood
}

// TestCloseEndsADrain and lets what is in flight be acknowledged.
func TestCloseEndsADrain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := open(t, spool.Config{Path: path})
	to := newMoody(t, rand.New(rand.NewPCG(1, 1)))
	to.calmDown()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background(), to) }()
	for i := range 200 {
		publish(t, s, "k", publisherstest.Body("k", i))
	}
	eventually.True(t, "the first event forwarded", func() bool { return len(to.records()) > 0 })
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err := s.Drain(context.Background(), to); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("drain after Close: %v", err)
	}
	there := onDisk(t, path)["k"]
	if kept := len(to.records()); kept+len(there) != 200 {
		t.Errorf("%d were forwarded, %d are there: something would be sent twice or is lost", kept, len(there))
	}
}

// TestRefusedEvents are listed, driven again and removed.
func TestRefusedEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cfg := spool.Config{Path: path, MaxEvents: 20}
	s := open(t, cfg)
	for i := range 10 {
		<-publish(t, s, fmt.Sprint("k", i%2), publisherstest.Body("k", i)).Done()
	}
	to := newMoody(t, rand.New(rand.NewPCG(1, 1)))
	to.calmDown()
	to.poison = func(data []byte) bool { return data[2]%2 == 1 }
	if err := s.DrainAll(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	_ = s.Close(context.Background())
	s = open(t, cfg)
	in, err := spool.Inspect(context.Background(), path, spool.InspectOptions{Refused: 3})
	if err != nil || in.Refused != 5 || in.Events != 0 || len(in.RefusedEntries) != 3 || in.RefusedBytes == 0 || in.Forwarded != 5 {
		t.Fatalf("%+v, %v", in, err)
	}
	first := in.RefusedEntries[0]
	if first.Number != 2 || first.PartitionKey != "k1" || first.Reason != errPoison.Error() ||
		time.Since(first.RefusedAt) > time.Minute || first.EnqueuedAt.IsZero() || first.Bytes != 4 {
		t.Errorf("%+v", first)
	}
	// They count towards the limit.
	for i := range 15 {
		<-publish(t, s, "z", publisherstest.Body("z", i)).Done()
	}
	brief, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.EnqueueEncoded(brief, "z", []byte("x")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "5 of them refused") {
		t.Errorf("beyond the limit: %v", err)
	}
	removed, err := s.RemoveRefused(context.Background(), func(r spool.Refused) bool { return r.Number == 4 })
	if err != nil || removed != 1 {
		t.Errorf("removed %d: %v", removed, err)
	}
	publish(t, s, "z", publisherstest.Body("z", 15))
	again, err := s.Redrive(context.Background(), func(r spool.Refused) bool { return r.Number < 7 })
	if err != nil || again != 2 {
		t.Errorf("driven again %d: %v", again, err)
	}
	to.poison = nil
	if err := s.DrainAll(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range to.records() {
		if r.PartitionKey == "k1" {
			got = append(got, string(r.Data))
		}
	}
	if fmt.Sprint(got) != "[k#1# k#5#]" {
		t.Errorf("of the refused ones came %v", got)
	}
	rest, err := s.Redrive(context.Background(), nil)
	if err != nil || rest != 2 || s.Status().Refused != 0 {
		t.Errorf("the rest: %d, %v, %+v", rest, err, s.Status())
	}
	_ = s.Close(context.Background())
	if _, err := s.Redrive(context.Background(), nil); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestManyRefusedEvents are more than one transaction looks at.
func TestManyRefusedEvents(t *testing.T) {
	s := open(t, spool.Config{Path: filepath.Join(t.TempDir(), "s")})
	for i := range 1700 {
		publish(t, s, "k", publisherstest.Body("k", i))
	}
	to := newMoody(t, rand.New(rand.NewPCG(1, 1)))
	to.calmDown()
	to.poison = func([]byte) bool { return true }
	if err := s.DrainAll(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Redrive(context.Background(), func(r spool.Refused) bool { return r.Number%2 == 0 }); n != 850 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := s.RemoveRefused(context.Background(), nil); n != 850 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if st := s.Status(); st.Events != 850 || st.Refused != 0 || st.OldestAge == 0 {
		t.Errorf("%+v", st)
	}
}
