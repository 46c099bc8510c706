package reverse_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
)

var every = flag.Bool("reverse.every", false, "meet every command with each fate, and not each with one")

var seeds = flag.Int("reverse.seeds", 2, "how many seeds the simulation has")

// one of so many commands has a fate, unless every has.
var oneOf = map[bool]int{false: 12, true: 24}[matrix.Race]

// A process is killed before and after each command that it sends, while it carries a
// change, a delete, an exchange of unique values and a barrier. Another one goes on.
func TestKilledAtEveryCommand(t *testing.T) {
	for i, fate := range []linktest.Fate{linktest.KillBefore, linktest.KillAfter, linktest.Lose, linktest.Repeat} {
		t.Run(fmt.Sprint(fate), func(t *testing.T) {
			w := newWorld(t)
			w.switchOwner()
			healthy := w.reverse()
			count := &linktest.Link{}
			for n := 0; n == 0 || n <= count.Sent(); n++ {
				w.put(user("a", "a", 2), user("b", "b", 2), user("c", fmt.Sprint(n), 2))
				w.drainWith(healthy)
				w.put(user("a", "b", 2), user("b", "a", 2))
				w.put(tombstone("c", 2))
				w.put(user(fmt.Sprint("n", n), "", 2))
				if n == 0 { // how many commands there are
					counted := w.reverse(count)
					w.drainWith(counted)
					continue
				}
				if !*every && (n+3*i)%oneOf > 0 {
					continue
				}
				w.runWith(fate, n)
				w.drainWith(healthy)
				w.mustBeEqual()
			}
			if h := w.health(); h.Misfits+h.LateWrites+h.OutOfBand > 0 || h.Ended != "" {
				t.Errorf("its health is %+v", h)
			}
		})
	}
}

// runWith has a process follow and drain, one of whose commands has a fate, until it is done
// or killed. What it may still do is waited for at the end of the test.
func (w *world) runWith(fate linktest.Fate, n int) {
	l := &linktest.Link{}
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	killed := make(chan struct{})
	l.Choose = func(c linktest.Command) linktest.Fate {
		if c.N != n {
			return linktest.Deliver
		}
		if fate == linktest.KillBefore || fate == linktest.KillAfter {
			close(killed)
		}
		return fate
	}
	r := w.reverse(l)
	r.Worker.Lease = 500 * time.Millisecond
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.WhileFollowing(ctx, r.Drain) // it may fail: another process goes on
	}()
	w.t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-ended:
	case <-killed:
		cancel()
	}
}

// gate stops a process at a command until it is opened.
type gate struct {
	at     func(linktest.Command) bool
	taken  atomic.Bool
	there  chan struct{}
	opened chan struct{}
}

func newGate(at func(linktest.Command) bool) *gate {
	return &gate{at: at, there: make(chan struct{}), opened: make(chan struct{})}
}

func (g *gate) link() *linktest.Link {
	return &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if g.at(c) && g.taken.CompareAndSwap(false, true) {
			close(g.there)
		}
		if g.taken.Load() && c.Store == "mongodb" { // all that it sends there
			<-g.opened
			if c.Name == "commitTransaction" { // it does not get as far as to write what is new
				return linktest.KillAfter
			}
		}
		return linktest.Deliver
	}}
}

// A reader sleeps within its transaction, before the position and before the commit, and
// believes in its lease when it wakes. Another one carries the shard meanwhile, and wins.
func TestAReaderThatWakesWritesNothingOld(t *testing.T) {
	for name, at := range map[string]func(linktest.Command) bool{
		"before its position": func(c linktest.Command) bool { return commandIs(c, "update", `"startTransaction":true`) },
		"before its commit":   func(c linktest.Command) bool { return c.Name == "commitTransaction" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.switchOwner()
			g := newGate(at)
			sleeper := w.reverse(g.link())
			sleeper.Worker.Lease = time.Minute // it believes in its lease when it wakes
			stopSleeper := w.follow(sleeper)
			w.put(user("a", "old", 2))
			<-g.there
			workers, err := sleeper.Control.Workers(w.ctx)
			w.must(err)
			for _, one := range workers { // and all others do not
				w.must(sleeper.Control.DeleteWorker(w.ctx, one.ID))
			}
			w.put(user("a", "new", 2))
			stop := w.follow(w.reverse())
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				w.drain()
			}()
			<-drained // nobody waits for the sleeper's transaction
			w.mustBeEqual()
			close(g.opened)
			w.drain()
			w.mustBeEqual()
			stopSleeper()
			stop()
		})
	}
}

// Shards are split, and followed by one child each, while items change: each item's changes
// stay in order.
func TestShardsAreSplit(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	stop := w.follow(w.reverse(), w.reverse())
	defer stop()
	for round := range 6 {
		for i := range 40 {
			w.put(user(fmt.Sprint(i%10), fmt.Sprint(i%10, " ", round), 2))
		}
		w.must(w.server.SplitShards("users", 1+round%2))
	}
	w.drain()
	w.mustBeEqual()
	if h := w.health(); h.Shards != 8 {
		t.Errorf("its health is %+v, want 8 shards", h)
	}
}

// After the switch a position that the stream no longer holds ends the way back, and says
// so; before it, the way back begins anew.
func TestAPositionThatWasTrimmed(t *testing.T) {
	w := newWorld(t, func(c *dynamodbserver.Config) { c.StreamRecords = 20 })
	r := w.reverse()
	w.drainWith(r)
	for i := range 50 {
		w.put(user(fmt.Sprint(i), "", 1))
	}
	w.drainWith(r)
	w.update(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched })
	for i := range 50 {
		w.put(user(fmt.Sprint(i), "", 2))
	}
	if err := r.WhileFollowing(w.ctx, r.Drain); !errors.Is(err, reverse.ErrEnded) {
		t.Errorf("a trimmed position: %v", err)
	}
	if h := w.health(); h.Ended == "" || len(h.Problems()) != 1 {
		t.Errorf("its health is %+v", h)
	}
	if err := r.Drain(w.ctx); !errors.Is(err, reverse.ErrEnded) {
		t.Errorf("a drain afterwards: %v", err)
	}
}

// TestLateWritesThatNobodyHasRead: while MongoDB owns the entity, all that the stream still has
// is read, and what it has not any more ends verifications.
func TestLateWritesThatNobodyHasRead(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"a position that was trimmed": func(w *world) {
			for i := range 50 {
				w.put(user(fmt.Sprint(i), "", 3))
			}
		},
		"another stream": func(w *world) {
			for _, on := range []bool{false, true} {
				stream := &types.StreamSpecification{StreamEnabled: &on}
				if on {
					stream.StreamViewType = types.StreamViewTypeNewAndOldImages
				}
				_, err := w.ddb.UpdateTable(w.ctx, &dynamodb.UpdateTableInput{TableName: aws.String("users"), StreamSpecification: stream})
				w.must(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *dynamodbserver.Config) { c.StreamRecords = 20 })
			w.switchOwner()
			w.update(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.MongoDB, 3, ownership.Shadowing })
			lose(w)
			w.put(user("late", "", 2))
			r := w.reverse()
			w.drainWith(r)
			if h := w.health(); h.LateWrites != 1 {
				t.Errorf("its health is %+v, want one late write", h)
			}
			n, err := r.CountLateWrites(w.ctx)
			w.must(err)
			if job, err := r.Control.Job(w.ctx); err != nil || job.Changed < 2 || n < 2 {
				t.Errorf("verifications were ended %d times (%v), and %d late writes counted", job.Changed, err, n)
			}
		})
	}
}

// TestADrainBelievesWhatAMajorityHas: a change of primary would take back what only the
// primary has of a transaction, after the owner had changed.
func TestADrainBelievesWhatAMajorityHas(t *testing.T) {
	w := newWorld(t)
	w.switchOwner()
	var reads, local atomic.Int64
	client, err := mongo.Connect(options.Client().ApplyURI(w.uri).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if name, _ := e.Command.Lookup("find").StringValueOK(); name != source.Positions {
				return
			}
			if _, err := e.Command.LookupErr("filter", "_id"); err == nil {
				return // whether to hurry: nothing is believed to be carried by it
			}
			reads.Add(1)
			if level, _ := e.Command.Lookup("readConcern", "level").StringValueOK(); level != "majority" {
				local.Add(1)
			}
		}}))
	w.must(err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	r := w.reverse()
	r.Source.DB = source.Primary(client, w.db.Name())
	w.put(user("a", "", 2))
	w.drainWith(r)
	if reads.Load() == 0 || local.Load() > 0 {
		t.Errorf("%d of %d reads of positions were of what the primary alone may have", local.Load(), reads.Load())
	}
}

// Services write, exchange unique values and delete, shards split, and processes are killed
// or lose commands. In the end MongoDB has what the table has.
func TestSimulation(t *testing.T) {
	drawn := matrix.Some(1, *seeds)
	for i := range *seeds {
		t.Run("", func(t *testing.T) {
			drawn.Skip(t, i)
			seed := uint64(time.Now().UnixNano()) + uint64(i)
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			simulate(newWorld(t), seed, (*world).traffic)
		})
	}
}

func simulate(w *world, seed uint64, traffic func(*world, *rand.Rand)) {
	w.switchOwner()
	ctx, cancel := context.WithCancel(w.ctx)
	var running sync.WaitGroup
	for p := range 2 {
		rng := rand.New(rand.NewPCG(seed, uint64(p)))
		var mu sync.Mutex
		next := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
		running.Go(func() {
			for ctx.Err() == nil {
				lifetime := 20 + next(300)
				l := &linktest.Link{Delay: 300 * time.Millisecond}
				l.Choose = func(c linktest.Command) linktest.Fate {
					switch k := next(200); {
					case c.N == lifetime:
						return []linktest.Fate{linktest.KillBefore, linktest.KillAfter}[k%2]
					case k < 2:
						return linktest.Lose
					case k < 4:
						return linktest.Late
					}
					return linktest.Deliver
				}
				live, die := context.WithCancel(ctx)
				stop := w.follow(w.reverse(l))
				for !l.Killed() && live.Err() == nil {
					time.Sleep(10 * time.Millisecond)
				}
				die()
				stop()
				l.AwaitLate()
			}
		})
	}
	traffic(w, rand.New(rand.NewPCG(seed, 99)))
	cancel()
	running.Wait()
	w.drainWith(w.reverse())
	stop := w.follow(w.reverse())
	w.eventually("all fit", func() bool { return w.health().Misfits == 0 })
	stop()
	w.mustBeEqual()
}

// traffic is a service that keeps its rules: no two items have one e-mail address.
func (w *world) traffic(rng *rand.Rand) {
	emails := map[string]string{} // of each item
	for op := range 250 {
		a, b := fmt.Sprint(rng.IntN(12)), fmt.Sprint(rng.IntN(12))
		fresh := fmt.Sprint("mail", op)
		switch k := rng.IntN(10); {
		case k < 2 && a != b && emails[a] != "" && emails[b] != "":
			emails[a], emails[b] = emails[b], emails[a]
			w.put(user(a, emails[a], 2), user(b, emails[b], 2))
		case k < 4 && a != b && emails[a] != "":
			emails[b], emails[a] = emails[a], fresh
			w.put(user(b, emails[b], 2), user(a, emails[a], 2))
		case k < 5:
			delete(emails, a)
			w.put(tombstone(a, 2))
		case k < 6:
			delete(emails, a)
			w.remove(a)
		default:
			emails[a] = fresh
			w.put(user(a, fresh, 2))
		}
		if op%60 == 30 {
			w.must(w.server.SplitShards("users", 1+rng.IntN(2)))
		}
	}
}
