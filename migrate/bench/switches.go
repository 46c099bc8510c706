package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/verify"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/users"
)

// holdLimit is the longest that writes should wait for a change of owner, at the 99th percentile.
const holdLimit = 250 // ms

// switched is what a process of kindSwitch has measured.
type switched struct {
	Waits  map[string][]float64            // by verb: the longest wait of each instance in each change, in ms
	Steps  map[string]map[string][]float64 // by verb and step: what a step took while writes were held, in ms
	Failed int                             // requests that failed
	Writes int
}

// switches measures for how long writes wait while the owner changes.
func (b *bench) switches(ctx context.Context) error {
	r, err := b.run(ctx, task{Kind: kindSwitch, Database: "users", Switches: b.Switches})
	if err != nil {
		return err
	}
	write := func(name, metric string, value float64) { b.write(figures.Median(name, metric, []float64{value})) }
	worst := 0.0
	for _, verb := range []string{verbCutover, verbRollback} {
		name, waits := caseSwitch+"-"+verb, r.Switched.Waits[verb]
		slices.Sort(waits)
		at := func(percent int) float64 { return waits[(len(waits)*percent+99)/100-1] }
		write(name, "p50_ms", at(50))
		write(name, "p99_ms", at(99))
		write(name, "max_ms", at(100))
		worst = max(worst, at(99))
		for _, step := range append(cutover.Steps(), cutover.StepPosition) {
			if took := r.Switched.Steps[verb][step]; len(took) > 0 {
				b.write(figures.Median(name, "step_"+step+"_ms", took))
			}
		}
	}
	write(caseSwitch, "writes", float64(r.Switched.Writes))
	b.write(figures.Median(caseSwitch, "p99_ms", []float64{worst}).Within(figures.AtMost, holdLimit))
	write(caseSwitch, "p99_ratio_to_limit", worst/holdLimit)
	b.write(figures.Median(caseSwitch, "failed_requests", []float64{float64(r.Switched.Failed)}).Within(figures.AtMost, 0))
	return nil
}

// The verbs that change the owner.
const (
	verbCutover  = "cutover"
	verbRollback = "rollback"
)

// The service while the owner changes.
const (
	instances  = 20
	usersEach  = 10                    // of an instance
	writePause = 30 * time.Millisecond // between two writes of an instance, on average
)

// instance is one of the service.
type instance struct {
	*ownership.Member
	store    entity.Typed[users.User]
	number   byte
	versions [usersEach]int64 // as acknowledged
	admitted time.Time        // the last write was

	mu      sync.Mutex
	longest time.Duration
	writes  int
	failed  []error
}

// usersPlan is that of the users' service, with a budget that a busy machine keeps: it is
// the hold that is measured, and not whether it was undone.
func usersPlan() (*plan.Plan, error) {
	p, err := plan.Parse("users.yaml", plans.Users)
	if err == nil {
		p.Budgets.Hold = 10 * time.Second
	}
	return p, err
}

// startService starts the instances, which write until ctx ends.
func (w *work) startService(ctx context.Context, writing *sync.WaitGroup) ([]*instance, error) {
	p, err := usersPlan()
	if err != nil {
		return nil, err
	}
	db := mongoclient.Of(w.mongo.Database(w.Database))
	documents, items := mongodb.New(db, p, nil), dynamodb.New(w.dynamoDB, p)
	if err := documents.Prepare(ctx, ownership.Grant{}, true); err != nil {
		return nil, err
	}
	var all []*instance
	for n := range instances {
		m, err := ownership.Join(ctx, ownership.MemberConfig{
			Table: ownership.NewTable(w.dynamoDB, ""), Entity: "users", Probe: owned.New(db, p.Source.Collection).Probe,
		})
		if err != nil {
			return nil, err
		}
		i := &instance{Member: m, number: byte(n)}
		store, err := entity.New(entity.Config{Plan: p, Member: i, MongoDB: documents, DynamoDB: items})
		if err != nil {
			return nil, err
		}
		i.store = entity.Of[users.User](store)
		for k := range usersEach {
			u := users.User{ID: i.id(k).Hex(), Name: "Somebody", Email: fmt.Sprintf("%d.%d@example.com", n, k),
				PasswordHash: "hash", CreatedAt: time.UnixMilli(1700000000000).UTC()}
			i.write(k, func() (entity.Outcome[users.User], error) { return i.store.Create(ctx, u) })
		}
		writing.Go(func() { i.writeUntil(ctx) })
		all = append(all, i)
	}
	return all, nil
}

func (i *instance) id(k int) bson.ObjectID { return bson.ObjectID{0: 1, 1: i.number, 2: byte(k)} }

func (i *instance) writeUntil(ctx context.Context) {
	for k := 0; backoff.Sleep(ctx, writePause/2+rand.N(writePause)) == nil; k = (k + 1) % usersEach {
		i.write(k, func() (entity.Outcome[users.User], error) {
			return i.store.Update(context.WithoutCancel(ctx), i.id(k), func(u *users.User) error {
				u.Name = fmt.Sprintf("Somebody %d", i.writes)
				return nil
			}, entity.IfVersion(&i.versions[k]))
		})
	}
}

// Write notes when a write was admitted last.
func (i *instance) Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return i.Member.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
		i.admitted = time.Now()
		return fn(ctx, g)
	})
}

// write writes the kth user, and notes for how long the write waited until it was admitted
// by the store that made it.
func (i *instance) write(k int, send func() (entity.Outcome[users.User], error)) {
	began := time.Now()
	after, err := send()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.writes++; err != nil {
		i.failed = append(i.failed, err)
		return
	}
	i.versions[k], i.longest = after.Version, max(i.longest, i.admitted.Sub(began))
}

// longestWait is that since the last call, in ms, once a write has ended after the call: so
// one that was waiting has, too.
func (i *instance) longestWait(ctx context.Context) (float64, error) {
	i.mu.Lock()
	seen := i.writes
	i.mu.Unlock()
	for {
		i.mu.Lock()
		if i.writes > seen {
			longest := i.longest
			i.longest = 0
			i.mu.Unlock()
			return milliseconds(longest), nil
		}
		i.mu.Unlock()
		if err := backoff.Sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// changeOwners changes the owner there and back while the service writes and a process
// follows, as often as the task says.
func (w *work) changeOwners(ctx context.Context, r *result) error {
	run, err := w.engine()
	if err != nil {
		return err
	}
	operator, err := w.engine()
	if err != nil {
		return err
	}
	if err := operator.Init(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	service, err := w.startService(ctx, &beside)
	if err != nil {
		return err
	}
	if err := errors.Join(w.encapsulate(ctx, operator), run.Run(ctx, migrate.RunOptions{UntilShadowing: true})); err != nil {
		return err
	}
	beside.Go(func() { _ = run.Run(ctx, migrate.RunOptions{}) }) // where it fails, so does a change of owner
	r.Switched = switched{Waits: map[string][]float64{}, Steps: map[string]map[string][]float64{verbCutover: {}, verbRollback: {}}}
	for range w.Switches {
		for _, verb := range []string{verbCutover, verbRollback} {
			if err := w.changeOwner(ctx, operator, verb, service, &r.Switched); err != nil {
				return fmt.Errorf("%s: %w", verb, err)
			}
		}
	}
	for _, i := range service {
		i.mu.Lock()
		r.Switched.Writes += i.writes
		r.Switched.Failed += len(i.failed)
		err = errors.Join(append([]error{err}, i.failed...)...)
		i.mu.Unlock()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "requests that failed:", err)
	}
	return nil
}

// changeOwner changes the owner once.
func (w *work) changeOwner(ctx context.Context, operator *migrate.Engine, verb string, service []*instance, into *switched) error {
	if found, err := operator.Verify(ctx, verify.Options{}); err != nil || found.Mismatches > 0 {
		return fmt.Errorf("%d mismatches: %w", found.Mismatches, err)
	}
	for _, i := range service {
		if _, err := i.longestWait(ctx); err != nil { // what had another reason
			return err
		}
	}
	change := operator.Cutover
	if verb == verbRollback {
		change = operator.Rollback
	}
	sum, err := w.insist(ctx, change)
	if err != nil {
		return err
	}
	for _, s := range sum.Steps {
		into.Steps[verb][s.Step] = append(into.Steps[verb][s.Step], s.Milliseconds)
	}
	for _, i := range service {
		waited, err := i.longestWait(ctx)
		if err != nil {
			return err
		}
		into.Waits[verb] = append(into.Waits[verb], waited)
	}
	return nil
}

// insist changes the owner, waiting for what refuses it for a moment: the way back of a
// migration that has just begun has not carried a probe.
func (w *work) insist(ctx context.Context, change func(context.Context, cutover.Options) (control.Switch, error)) (control.Switch, error) {
	for end := time.Now().Add(time.Minute); ; {
		sum, err := change(ctx, cutover.Options{})
		if err == nil || !errors.Is(err, cutover.ErrRefused) || time.Now().After(end) {
			return sum, err
		}
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return sum, err
		}
	}
}
