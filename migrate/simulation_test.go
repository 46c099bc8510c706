package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// troubler kills a process at one of its commands, now and then, or loses, delays or
// repeats the command.
type troubler struct {
	mu    sync.Mutex
	rng   *rand.Rand
	odds  float64 // of a command that changes something
	kills int
	most  int // kills; 0 is unlimited
	count map[string]int
}

// changing are the commands that change something.
var changing = map[string]bool{"renameCollection": true, "create": true, "drop": true, "collMod": true, "insert": true, "PutItem": true,
	"TransactWriteItems": true, "DeleteItem": true}

func (c *troubler) choose(cmd linktest.Command) linktest.Fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	odds := c.odds
	if !is(cmd, "owner") && cmd.Store == "dynamodb" {
		odds /= 25 // these come often
	}
	if !changing[cmd.Name] || c.rng.Float64() >= odds {
		return linktest.Deliver
	}
	fate := []linktest.Fate{linktest.KillBefore, linktest.KillAfter, linktest.Lose, linktest.Late, linktest.Repeat}[c.rng.IntN(5)]
	if fate == linktest.KillBefore || fate == linktest.KillAfter {
		if c.most > 0 && c.kills == c.most {
			return linktest.Deliver
		}
		c.kills++
	}
	c.count[fmt.Sprint(cmd.Name, " ", fate)]++
	return fate
}

func (c *troubler) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.odds = 0
}

// TestMigrationUnderTrafficFaultsAndCrashes moves users while instances of their
// service write, both stores fail now and then, and every process crashes at
// random points and is started again.
func TestMigrationUnderTrafficFaultsAndCrashes(t *testing.T) {
	t.Parallel()
	mongodbtest.Lacks(t, "SecantusDB", "acknowledges writes to a view and loses them")
	drawn := matrix.Some(1, 2)
	for i, seed := range []uint64{uint64(time.Now().UnixNano()), 1} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			drawn.Skip(t, i)
			simulate(t, seed)
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	const users = 300
	w := newWorld(t)
	w.seed(users)
	w.encapsulate()
	c := &troubler{rng: rand.New(rand.NewPCG(seed, 7)), odds: 0.2, count: map[string]int{}}
	began := time.Now()
	small := func(cfg *migrate.Config) {
		cfg.RangeSize, cfg.ChunkSize = 100, 20
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
			if err := w.process(&linktest.Link{Choose: c.choose, Delay: 2 * time.Second}, small).Run(ctx, migrate.RunOptions{}); err == nil {
				return nil
			}
			_ = pause(ctx, 20*time.Millisecond)
		}
		return ctx.Err()
	})
	// The operator's commands crash too, and more often; three times, then not.
	commands := &troubler{rng: rand.New(rand.NewPCG(seed, 8)), odds: 0.3, most: 3, count: map[string]int{}}
	w.switchSomehow(func() *migrate.Engine {
		return w.process(&linktest.Link{Choose: commands.choose, Delay: 2 * time.Second}, small)
	}, 4*time.Minute)
	if err := stopRuns(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error("run: ", err)
	}
	w.faults.set(0, 0)
	waitFor(t, func() bool { return tr.switched.Load() > 0 })
	tr.end()
	if n := tr.late.Load(); n > 0 {
		t.Errorf("MongoDB acknowledged %d writes after DynamoDB was the owner", n)
	}
	w.mustBeEqual("users")
	w.mustStand()
	t.Logf("%d writes before the switch, %d faults, troubles of runs %v, of commands %v", tr.writes.Load(), w.faults.injected, c.count, commands.count)
}

// switchSomehow verifies and cuts over until the owner is DynamoDB and writes
// are released, as an operator would who does not give up.
func (w *world) switchSomehow(process func() *migrate.Engine, patience time.Duration) {
	w.t.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		e := process()
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		v, err := e.Verify(ctx, verify.Options{Report: func(m side.Mismatch) { w.t.Errorf("mismatch: %+v", m) }})
		if err == nil && v.Mismatches == 0 || w.ownerOrNone() == ownership.DynamoDB || w.switching() {
			var sum control.Switch
			if sum, err = process().Cutover(ctx, cutover.Options{NoMembers: true}); err == nil && sum.Step == cutover.StepDone {
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

// waitFor asks again and again, for as long as a slow machine may need, and more and more
// seldom: what it asks takes a processor from what it waits for.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	rest := 5 * time.Millisecond
	for end := time.Now().Add(2 * time.Minute); !done(); rest = min(rest*5/4, 200*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
		time.Sleep(rest)
	}
}
