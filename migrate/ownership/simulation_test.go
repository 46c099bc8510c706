package ownership_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

var seeds = flag.Int("seeds", 4, "how many seeds the simulation runs")

// TestSwitchesUnderChaos lets several instances write and read while a coordinator
// changes the owner back and forth, requests to the control table are slow, lost or
// throttled, and instances stand still at any moment. It checks that
//
//   - a write that was acknowledged is never missing from what a later read returns,
//     whichever store it came from;
//   - after the acknowledgement of a hold, no write is admitted under the old epoch,
//     unless the instance stood still since;
//   - after the acknowledgement of a switch, no read of the old store is returned,
//     unless the instance stood still since;
//   - every write and read succeeds in the end.
func TestSwitchesUnderChaos(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, uint64(seed)) })
		})
	}
}

const entity = "users"

// database is a model of a store with a fence.
type database struct {
	fenced bool
	kept   map[int]bool
}

type world struct {
	t     *testing.T
	table *ownership.Table
	rng   func() *rand.Rand

	mu        sync.Mutex
	stores    map[ownership.Store]*database
	next      int
	acked     []int
	heldSince map[int64]time.Time // epoch: when the acknowledgement of its hold returned
	moved     map[int64]time.Time // epoch: when the acknowledgement of its end returned
	done      chan struct{}
	late      int
	slept     int
}

func simulate(t *testing.T, seed uint64) {
	server := newServer(t)
	w := &world{
		t: t, rng: seeded(seed), heldSince: map[int64]time.Time{}, moved: map[int64]time.Time{}, done: make(chan struct{}),
		stores: map[ownership.Store]*database{
			ownership.MongoDB: {kept: map[int]bool{}}, ownership.DynamoDB: {kept: map[int]bool{}, fenced: true},
		},
	}
	w.table = ownership.NewTable(clientOver(wire{handler: server, plan: w.faults()}), "")
	var running sync.WaitGroup
	for i := range 3 {
		p := newProcess()
		control := ownership.NewTable(clientOver(wire{handler: server, plan: w.faults(), stop: p.wait}), "")
		m, err := ownership.Join(t.Context(), ownership.MemberConfig{Table: control, Entity: entity, ID: fmt.Sprint("m", i), Clock: p})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { w.live(m, p) })
	}
	for range 4 {
		time.Sleep(time.Second)
		w.switchOver()
	}
	time.Sleep(time.Second)
	close(w.done)
	running.Wait()
	time.Sleep(5 * time.Second) // for requests given up that have their effect yet
	if w.late > 0 && w.slept == 0 {
		t.Errorf("%d writes were admitted late though nobody slept", w.late)
	}
	t.Logf("%d writes, %d reached a store late, %d sleeps", len(w.acked), w.late, w.slept)
}

// faults is a plan for one client: most requests are quick, some are not.
func (w *world) faults() func(string) fate {
	var mu sync.Mutex
	rng := w.rng()
	return func(string) fate {
		mu.Lock()
		defer mu.Unlock()
		f := fate{delay: time.Duration(rng.IntN(8)) * time.Millisecond}
		switch n := rng.IntN(100); {
		case n < 3:
			f.throttle = true
		case n < 6:
			f.delay = time.Duration(rng.IntN(1500)) * time.Millisecond
		case n < 8:
			f.lose = true
		}
		return f
	}
}

// live is the life of one instance: it serves, and sometimes stands still.
func (w *world) live(m *ownership.Member, p *process) {
	var serving sync.WaitGroup
	for range 3 {
		serving.Go(func() { w.writes(m, p, w.rng()) })
		serving.Go(func() { w.reads(m, p, w.rng()) })
	}
	serving.Go(func() { w.sleeps(p, w.rng()) })
	serving.Wait()
	if err := m.Leave(context.Background()); err != nil {
		w.t.Errorf("leave: %v", err)
	}
}

func (w *world) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func (w *world) sleeps(p *process, rng *rand.Rand) {
	for !w.over() {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		if w.over() {
			return
		}
		resume := p.stop()
		time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
		w.mu.Lock()
		w.slept++
		w.mu.Unlock()
		resume()
	}
}

func (w *world) writes(m *ownership.Member, p *process, rng *rand.Rand) {
	for !w.over() {
		p.wait()
		id := 0
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		err := m.Write(ctx, func(_ context.Context, g ownership.Grant) (err error) {
			w.judgeAdmission(g, p)
			travel(p, rng)
			id, err = w.write(g)
			return err
		})
		cancel()
		p.wait()
		if err != nil {
			w.t.Errorf("write: %v; %+v; ready %v", err, m.Stats(), m.Ready())
			continue
		}
		w.mu.Lock()
		w.acked = append(w.acked, id)
		w.mu.Unlock()
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
	}
}

func (w *world) write(g ownership.Grant) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	db := w.stores[g.Owner]
	if db.fenced {
		return 0, fmt.Errorf("epoch %d: %w", g.Epoch, ownership.ErrFenced)
	}
	w.next++
	db.kept[w.next] = true
	return w.next, nil
}

// judgeAdmission is called right after a write was admitted.
func (w *world) judgeAdmission(g ownership.Grant, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since, held := w.heldSince[g.Epoch]
	if !held || time.Now().Equal(since) {
		return
	}
	w.late++
	if !p.sleptAfter(since) {
		w.t.Errorf("a write was admitted under epoch %d %s after its hold was acknowledged", g.Epoch, time.Since(since))
	}
}

func (w *world) reads(m *ownership.Member, p *process, rng *rand.Rand) {
	for !w.over() {
		p.wait()
		w.mu.Lock()
		known := w.acked[:len(w.acked):len(w.acked)]
		w.mu.Unlock()
		var missing []int
		var readAt time.Time
		var epoch int64
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		err := m.Read(ctx, func(_ context.Context, g ownership.Grant) error {
			travel(p, rng)
			missing, readAt, epoch = w.missing(g, known), time.Now(), g.Epoch
			travel(p, rng)
			return nil
		})
		cancel()
		if err != nil {
			w.t.Errorf("read: %v", err)
		}
		if moved, ok := w.movedAt(epoch); ok && readAt.After(moved) && !p.sleptAfter(moved) {
			w.t.Errorf("a read of the old store %s after reads had moved was returned", readAt.Sub(moved))
		}
		if len(missing) > 0 {
			w.t.Errorf("a read did not return %d writes acknowledged before it began", len(missing))
		}
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
	}
}

func (w *world) movedAt(epoch int64) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.moved[epoch]
	return at, ok
}

func (w *world) missing(g ownership.Grant, known []int) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var missing []int
	for _, id := range known {
		if !w.stores[g.Owner].kept[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// travel is the way to a store or back, on which the process may stop.
func travel(p *process, rng *rand.Rand) {
	p.wait()
	time.Sleep(time.Duration(rng.IntN(6)) * time.Millisecond)
	p.wait()
}

// switchOver changes the owner as the cut-over does, without a time budget.
func (w *world) switchOver() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	rec := must(w.table.Load(ctx, entity))(w.t)
	from, to := rec.Owner, ownership.DynamoDB
	if from == to {
		to = ownership.MongoDB
	}
	rec = must(w.table.Update(ctx, rec, func(r *ownership.Record) { r.Hold, r.Phase = true, ownership.Switching }))(w.t)
	w.await(ctx, rec)
	w.mu.Lock()
	w.heldSince[rec.Epoch] = time.Now()
	w.mu.Unlock()
	time.Sleep(30 * time.Millisecond)
	w.mu.Lock()
	w.stores[from].fenced = true
	w.mu.Unlock()
	time.Sleep(30 * time.Millisecond)
	w.mu.Lock()
	for id := range w.stores[from].kept {
		w.stores[to].kept[id] = true
	}
	w.stores[to].fenced = false
	w.mu.Unlock()
	rec = must(w.table.Update(ctx, rec, func(r *ownership.Record) {
		r.Owner, r.Epoch, r.Phase = to, r.Epoch+1, ownership.Switched
	}))(w.t)
	w.await(ctx, rec)
	w.mu.Lock()
	w.moved[rec.Epoch-1] = time.Now()
	w.mu.Unlock()
	must(w.table.Update(ctx, rec, func(r *ownership.Record) { r.Hold = false }))(w.t)
}

func (w *world) await(ctx context.Context, rec ownership.Record) {
	if err := w.table.AwaitAck(ctx, entity, rec.Revision); err != nil {
		w.t.Errorf("await: %v", err)
	}
}

func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Error(errors.Join(errors.New("the coordinator failed"), err))
		}
		return v
	}
}
