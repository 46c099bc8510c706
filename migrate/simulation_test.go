package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

// crasher ends an engine's work at one of its named points, now and then.
type crasher struct {
	mu    sync.Mutex
	rng   *rand.Rand
	odds  float64
	total int
	most  int // crashes; 0 is unlimited
	count map[string]int
}

func (c *crasher) at(point string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	odds := c.odds
	if point == "change" || point == "position" {
		odds /= 25 // these come often
	}
	if c.rng.Float64() >= odds || c.most > 0 && c.total == c.most {
		return nil
	}
	c.total++
	c.count[point]++
	return errors.New("simulated")
}

func (c *crasher) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.odds = 0
}

// TestMigrationUnderTrafficFaultsAndCrashes moves users while instances of their
// service write, both stores fail now and then, and every process crashes at
// random points and is started again.
func TestMigrationUnderTrafficFaultsAndCrashes(t *testing.T) {
	for _, seed := range []uint64{1, uint64(time.Now().UnixNano())} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { simulate(t, seed) })
	}
}

func simulate(t *testing.T, seed uint64) {
	const users = 300
	w := newWorld(t)
	w.seed(users)
	c := &crasher{rng: rand.New(rand.NewPCG(seed, 7)), odds: 0.2, count: map[string]int{}}
	began := time.Now()
	small := func(cfg *migrate.Config) {
		cfg.RangeSize, cfg.ChunkSize, cfg.Crash = 100, 20, c.at
		// A machine too slow for these is given more, as an operator would.
		own, times := *w.plan, 1+time.Since(began)/(10*time.Second)
		own.Budgets.Hold = times * 1500 * time.Millisecond // faults make requests slow here
		cfg.Plan, cfg.Lease = &own, times*time.Second
	}
	w.engine(small)
	tr := w.startTraffic(3, users, seed)
	defer tr.end()
	w.faults.set(0.03, seed)
	calm := time.AfterFunc(3*time.Second, func() { c.calm(); w.faults.set(0, 0) })
	defer calm.Stop()

	stopRuns := background(w.ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := w.engine(small).Run(ctx, migrate.RunOptions{}); err == nil {
				return nil
			}
			_ = pause(ctx, 20*time.Millisecond)
		}
		return ctx.Err()
	})
	// The operator's commands crash too, and more often; three times, then not.
	commands := &crasher{rng: rand.New(rand.NewPCG(seed, 8)), odds: 0.3, most: 3, count: map[string]int{}}
	w.switchSomehow(func(cfg *migrate.Config) { small(cfg); cfg.Crash = commands.at }, 4*time.Minute)
	if err := stopRuns(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error("run: ", err)
	}
	w.faults.set(0, 0)
	waitFor(t, func() bool { return tr.switched.Load() > 0 })
	tr.end()
	if n := tr.late.Load(); n > 0 {
		t.Errorf("MongoDB acknowledged %d writes after DynamoDB was the owner", n)
	}
	w.mustBeEqual(append([]string{"users__banyan_e1"}, w.recreated()...)...)
	t.Logf("%d writes before the switch, %d faults, crashes of runs %v, of commands %v", tr.writes.Load(), w.faults.injected, c.count, commands.count)
}

// switchSomehow verifies and cuts over until the owner is DynamoDB and writes
// are released, as an operator would who does not give up.
func (w *world) switchSomehow(change func(*migrate.Config), patience time.Duration) {
	w.t.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		e := w.engine(change)
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		v, err := e.Verify(ctx, migrate.VerifyOptions{Report: func(m target.Mismatch) { w.t.Errorf("mismatch: %+v", m) }})
		if err == nil && v.Mismatches == 0 || w.ownerOrNone() == ownership.DynamoDB || w.switching() {
			var sum migrate.Switch
			if sum, err = w.engine(change).Cutover(ctx, migrate.CutoverOptions{}); err == nil && sum.Step == migrate.StepDone {
				cancel()
				return
			}
		}
		cancel()
		last = err
		_ = pause(w.ctx, 50*time.Millisecond)
	}
	w.t.Fatalf("not switched in time: %v", last)
}

func (w *world) ownerOrNone() ownership.Store {
	r, err := w.owners.Load(w.ctx, "users")
	if err != nil {
		return ""
	}
	return r.Owner
}

func (w *world) switching() bool {
	r, err := w.owners.Load(w.ctx, "users")
	return err == nil && r.Phase == ownership.Switching
}

func (w *world) recreated() []string {
	w.t.Helper()
	names, err := w.db.ListCollectionNames(w.ctx, bson.D{{Key: "name", Value: bson.Regex{Pattern: "^users__banyan_recreated_"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// waitFor asks again and again, for as long as a slow machine may need.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
