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

	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

var seeds = flag.Int("seeds", 4, "how many seeds the simulation runs")

// TestSwitchesUnderChaos lets several instances write and read while coordinators give
// the collection further names and change the owner back and forth, and die at any step;
// requests to the control table are slow, lost or throttled, a dead coordinator's rename
// arrives late, probes fail, and instances stand still at any moment. It checks that
//
//   - a write that was acknowledged is never missing from what a later read returns,
//     whichever store it came from, but for a stray, see below;
//   - after the acknowledgement of a hold, no write is admitted under the grant before it,
//     unless the instance stood still since, however long its coordinator has been dead;
//   - after the acknowledgement of a switch, no read of the old store is returned,
//     unless the instance stood still since;
//   - a write goes astray only if its instance stood still while the collection got its
//     first name, when it had no UUID to name;
//   - every write and read succeeds in the end.
func TestSwitchesUnderChaos(t *testing.T) {
	drawn := matrix.Some(2, *seeds)
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			drawn.Skip(t, seed)
			synctest.Test(t, func(t *testing.T) { simulate(t, uint64(seed)) })
		})
	}
}

const entity = "users"

type world struct {
	t     *testing.T
	table *ownership.Table
	rng   func() *rand.Rand

	mu        sync.Mutex
	mongo     collection
	dynamo    database
	next      int
	acked     []int
	heldSince map[ownership.Grant]time.Time // when the acknowledgement of its hold returned
	moved     map[int64]time.Time           // epoch: when the acknowledgement of its end returned
	done      chan struct{}
	late      int
	slept     int
	deaths    map[string]int
}

func simulate(t *testing.T, seed uint64) {
	server := newServer(t)
	w := &world{
		t: t, rng: seeded(seed), heldSince: map[ownership.Grant]time.Time{}, moved: map[int64]time.Time{}, done: make(chan struct{}),
		mongo:  collection{database: database{kept: map[int]bool{}}, name: publicName, views: map[string]bool{}, strays: map[int]bool{}},
		dynamo: database{kept: map[int]bool{}, fenced: true}, deaths: map[string]int{},
	}
	w.table = ownership.NewTable(clientOver(wire{handler: server, plan: w.faults()}), "")
	var running sync.WaitGroup
	for i := range 3 {
		p := newProcess()
		control := ownership.NewTable(clientOver(wire{handler: server, plan: w.faults(), stop: p.wait}), "")
		m, err := ownership.Join(t.Context(), ownership.MemberConfig{Table: control, Entity: entity, ID: fmt.Sprint("m", i), Clock: p, Probe: w.probe()})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { w.live(m, p) })
	}
	rng := w.rng()
	for range 12 {
		time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
		w.coordinate(rng)
	}
	time.Sleep(time.Second)
	close(w.done)
	running.Wait()
	time.Sleep(5 * time.Second) // for requests given up that have their effect yet
	if w.late > 0 && w.slept == 0 {
		t.Errorf("%d writes were admitted late though nobody slept", w.late)
	}
	if len(w.mongo.strays) > 0 && w.slept == 0 {
		t.Errorf("%d writes went astray though nobody slept", len(w.mongo.strays))
	}
	t.Logf("%d writes, %d reached a store late, %d went astray, %d sleeps; the name is %s; coordinators died %v",
		len(w.acked), w.late, len(w.mongo.strays), w.slept, w.mongo.name, w.deaths)
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
		id, began := 0, time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		err := m.Write(ctx, func(_ context.Context, g ownership.Grant) (err error) {
			w.judgeAdmission(g, p)
			travel(p, rng)
			id, err = w.write(g)
			return err
		})
		cancel()
		p.wait()
		if errors.Is(err, ownership.ErrLate) && p.sleptAfter(began) {
			continue // it is not acknowledged, though it may be kept
		}
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

// judgeAdmission is called right after a write was admitted.
func (w *world) judgeAdmission(g ownership.Grant, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since, held := w.heldSince[g]
	if !held || time.Now().Equal(since) {
		return
	}
	w.late++
	if !p.sleptAfter(since) {
		w.t.Errorf("a write was admitted under %+v %s after its hold was acknowledged", g, time.Since(since))
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
	kept := w.mongo.kept
	if g.Owner == ownership.DynamoDB {
		kept = w.dynamo.kept
	}
	for _, id := range known {
		if !kept[id] && !w.mongo.strays[id] {
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
