package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// partly is a world of which a verification was killed when a part of it was finished.
func partly(t *testing.T, users int, report func(side.Mismatch), before ...func(*world)) *world {
	t.Helper()
	w := shadowing(t, users)
	for _, do := range before {
		do(w)
	}
	l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if is(c, "range") && strings.Contains(string(c.Body), `"documents":{"N":"10"}`) { // one is compared
			return linktest.KillAfter
		}
		return linktest.Deliver
	}}
	e := w.process(l, quickly)
	end := background(w.ctx, func(ctx context.Context) error {
		_, err := e.Verify(ctx, verify.Options{Report: report})
		return err
	})
	waitFor(t, func() bool { _, done := w.verifying(); return l.Killed() && len(done) > 0 })
	if err := end(); err == nil {
		t.Fatal("it was not killed")
	}
	return w
}

// inTens has small ranges, and quickly short leases, too: of those that die.
func inTens(c *migrate.Config)  { c.RangeSize = 10 }
func quickly(c *migrate.Config) { c.Lease, c.RangeSize = 2*time.Second, 10 }

// verifying is the last verification, and its ranges that are compared.
func (w *world) verifying() (v *control.Verifying, done []control.Range) {
	w.t.Helper()
	shared := control.New(w.ddb, "banyan-control", "users")
	v, err := shared.Verifying(w.ctx, verify.Options{}.Kind())
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := shared.Ranges(w.ctx, v.Result.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range all {
		if r.Done {
			done = append(done, r)
		}
	}
	return v, done
}

// A verification that was killed goes on with what it had not finished, and counts nothing
// twice.
func TestAVerificationGoesOnWhereItWasKilled(t *testing.T) {
	const users = 200
	w := partly(t, users, nil)
	before, done := w.verifying()
	if len(done) == 0 || len(done) == before.Units() {
		t.Fatalf("%+v %+v", before, done)
	}
	var finished int64
	for _, r := range done {
		finished += r.Found.Documents
	}
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("meanwhile")); err != nil {
		t.Fatal(err)
	}
	var shown []verify.Progress
	v, err := w.engine(inTens).Verify(w.ctx, verify.Options{Progress: func(p verify.Progress) { shown = append(shown, p) }})
	if err != nil || v.ID != before.Result.ID || v.AsOf != before.Result.AsOf || v.Documents != users || v.Items != users || v.Unique != users ||
		v.Mismatches != 0 {
		t.Errorf("%+v %v, of %+v", v, err, before.Result)
	}
	if len(shown) == 0 || shown[0].Finished < len(done) || shown[0].Documents < finished || shown[0].Documents >= users ||
		!slices.IsSortedFunc(shown, func(a, b verify.Progress) int { return int(a.Documents - b.Documents) }) {
		t.Errorf("progress %+v after %+v", shown, done)
	}
	_, all := w.verifying()
	for _, r := range done {
		if again := all[slices.IndexFunc(all, func(other control.Range) bool { return other.N == r.N })]; again.Rev != r.Rev {
			t.Errorf("range %d was compared again", r.N)
		}
	}
	if again, err := w.engine(inTens).Verify(w.ctx, verify.Options{}); err != nil || again.ID == v.ID {
		t.Errorf("a finished one went on: %+v %v", again, err)
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// What the killed process has found is found, and shown, by the one that goes on.
func TestMismatchesOfAKilledVerificationAreReportedAgain(t *testing.T) {
	var mu sync.Mutex
	found := map[string]int{}
	report := func(m side.Mismatch) {
		mu.Lock()
		defer mu.Unlock()
		found[m.ID]++
	}
	w := partly(t, 200, report, func(w *world) {
		for i := 3; i < 100; i += 10 { // one in every other range
			w.put("users", stamped(2*i, "tampered", map[string]types.AttributeValue{"t": &types.AttributeValueMemberN{Value: "1"}}))
		}
	})
	again := map[string]bool{}
	v, err := w.engine(inTens).Verify(w.ctx, verify.Options{Report: func(m side.Mismatch) { again[m.ID] = true }})
	if err != nil || v.Mismatches == 0 {
		t.Errorf("%+v %v", v, err)
	}
	mu.Lock()
	defer mu.Unlock()
	for id := range found {
		if !again[id] {
			t.Errorf("%s is not reported again", id)
		}
	}
}

// What is finished no longer counts when the collection, the plan or the copy is another,
// or when it is too old.
func TestAVerificationThatDoesNotHoldBeginsAgain(t *testing.T) {
	t.Parallel()
	drawn, i := matrix.Some(1, 3), -1
	for name, change := range map[string]func(*world, *migrate.Config){
		"collMod": func(w *world, _ *migrate.Config) {
			if err := w.db.RunCommand(w.ctx, bson.D{{Key: "collMod", Value: w.users.Name()}, {Key: "validationLevel", Value: "moderate"}}).Err(); err != nil {
				w.t.Fatal(err)
			}
		},
		"copied afresh": func(w *world, _ *migrate.Config) {
			if err := w.engine(inTens).Run(w.ctx, migrate.RunOptions{UntilShadowing: true, FromStart: true}); err != nil {
				w.t.Fatal(err)
			}
		},
		"too old": func(w *world, c *migrate.Config) {
			own := *w.plan
			own.Budgets.Verification = time.Nanosecond
			c.Plan = &own
		},
	} {
		i++
		t.Run(name, func(t *testing.T) {
			drawn.Skip(t, i)
			w := partly(t, 200, nil)
			killed, _ := w.verifying()
			before := killed.Result.ID
			var extra migrate.Config
			change(w, &extra)
			v, err := w.engine(inTens, func(c *migrate.Config) {
				if extra.Plan != nil {
					c.Plan = extra.Plan
				}
			}).Verify(w.ctx, verify.Options{})
			if err != nil || v.ID == before || v.Documents != 200 || v.Mismatches > 0 {
				t.Errorf("%+v %v, after %s", v, err, before)
			}
			if all, err := control.New(w.ddb, "banyan-control", "users").Ranges(w.ctx, before); err != nil || len(all) > 0 {
				t.Errorf("left behind: %d ranges, %v", len(all), err)
			}
		})
	}
}

// A process that planned the ranges, slept, and wakes after another has planned and copied
// them mixes none of its own among them, also when the copy was begun afresh meanwhile.
func TestAPlannerThatSleepsMixesNothingIntoTheRangesOfAnother(t *testing.T) {
	t.Parallel()
	for _, fromStart := range []bool{false, true} {
		t.Run(fmt.Sprint("from start ", fromStart), func(t *testing.T) {
			w := newWorld(t)
			w.seed(100)
			w.encapsulate()
			var ranges, woken atomic.Int64
			asleep, awake := make(chan struct{}), make(chan struct{})
			l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
				if is(c, "range") && ranges.Add(1) == 3 {
					close(asleep)
				}
				select {
				case <-asleep: // all that it does sleeps, its heartbeat too
					<-awake
					woken.Add(1)
				default:
				}
				return linktest.Deliver
			}}
			sleeper := w.process(l, func(c *migrate.Config) { c.Lease, c.RangeSize = 2*time.Second, 10 })
			run := background(w.ctx, func(ctx context.Context) error { return sleeper.Run(ctx, migrate.RunOptions{}) })
			<-asleep
			if err := w.engine(func(c *migrate.Config) { c.RangeSize = 25 }).Run(w.ctx,
				migrate.RunOptions{UntilShadowing: true, FromStart: fromStart}); err != nil {
				t.Fatal(err)
			}
			close(awake)
			waitFor(t, func() bool { return woken.Load() > 50 })
			waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && st.Changes.Followed })
			if err := run(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			st, err := w.engine().Status(w.ctx)
			if err != nil || st.Copied.Ranges < 4 || st.Copied.Ranges > 5 || st.Copied.Done != st.Copied.Ranges || st.Copied.Documents != 100 {
				t.Errorf("%+v %v", st.Copied, err)
			}
			w.verified()
			w.mustBeEqual("users")
		})
	}
}

// A process that abandons a migration, sleeps before it removes what that has stored, and
// wakes when another migration of the entity is under way, removes nothing of it.
func TestAnAbandonmentThatSleepsLeavesTheNextMigrationAlone(t *testing.T) {
	t.Parallel()
	drawn := matrix.Some(1, 4)
	for i, before := range []struct {
		command string
		nth     int64
	}{{"delete", 1}, {"DeleteItem", 1}, {"DeleteItem", 3}, {"Query", 2}} {
		t.Run(fmt.Sprint(before.command, " ", before.nth), func(t *testing.T) {
			drawn.Skip(t, i)
			w := shadowing(t, 40)
			var seen atomic.Int64
			var armed atomic.Bool
			asleep, awake := make(chan struct{}), make(chan struct{})
			e := w.process(&linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
				if c.Name == "renameCollection" {
					armed.Store(true)
				}
				// The fence removes a barrier of its own before.
				if armed.Load() && c.Name == before.command && !strings.Contains(string(c.Body), "banyan_barriers") && seen.Add(1) == before.nth {
					close(asleep)
					<-awake
				}
				return linktest.Deliver
			}})
			done := make(chan error, 1)
			go func() {
				_, err := e.Abandon(w.ctx)
				done <- err
			}()
			select {
			case <-asleep:
			case err := <-done:
				t.Fatalf("it did not sleep: %v", err)
			}
			if _, err := w.engine().Abandon(w.ctx); err != nil {
				t.Fatal(err)
			}
			w.shadowed()
			rows := len(w.scan("banyan-control"))
			close(awake)
			if err := <-done; err != nil {
				t.Log(err)
			}
			if now := len(w.scan("banyan-control")); now != rows {
				t.Errorf("%d rows of the next migration, of %d", now, rows)
			}
			if _, err := w.cutOver(); err != nil {
				t.Error(err)
			}
			w.mustBeEqual("users")
		})
	}
}

// A verification that could not reach the control table for longer than its lease goes on
// by itself.
func TestAVerificationGoesOnAfterItsLeaseWasLost(t *testing.T) {
	w := shadowing(t, 40)
	var seen atomic.Bool
	var denied sync.Once
	e := w.process(&linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if is(c, "range") && seen.CompareAndSwap(false, true) {
			w.faults.with(func() {
				w.faults.deny = func(operation, table string) bool { return table == "banyan-control" && operation != "GetItem" }
			})
			denied.Do(func() { time.AfterFunc(2*time.Second, func() { w.faults.with(func() { w.faults.deny = nil }) }) })
		}
		return linktest.Deliver
	}}, func(c *migrate.Config) { c.Lease = time.Second })
	if v, err := e.Verify(w.ctx, verify.Options{}); err != nil || v.Documents != 40 || v.Mismatches > 0 || !seen.Load() {
		t.Errorf("%+v %v", v, err)
	}
}

// TestProcessesDivideAVerification: each range is compared by one, those of one that is killed
// by another, and all that live return what all have found.
func TestProcessesDivideAVerification(t *testing.T) {
	const users, wrong = 200, 4
	w := shadowing(t, users)
	for i := range wrong {
		w.put("users", stamped(50*i+3, "tampered", map[string]types.AttributeValue{"t": &types.AttributeValueMemberN{Value: "1"}}))
	}
	begun, dead := make(chan struct{}), make(chan struct{})
	var compared atomic.Int64
	var claimed sync.Map // ranges, by number, of the one that is killed
	number := regexp.MustCompile(`"n":\{"N":"(\d+)"\}`)
	victim := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if n := number.FindSubmatch(c.Body); is(c, "range") && !strings.Contains(string(c.Body), `"worker":{"S":""}`) {
			claimed.Store(string(n[1]), true)
		}
		if !is(c, "compared") {
			return linktest.Deliver
		}
		switch compared.Add(1) {
		case 1:
			close(begun)
		case 2:
			defer close(dead)
			return linktest.KillAfter
		}
		return linktest.Deliver
	}}
	var both, all sync.WaitGroup
	both.Add(2)
	other := func() *linktest.Link {
		once := sync.OnceFunc(func() { both.Done(); both.Wait() })
		return &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
			if is(c, "range") {
				<-dead // nothing is claimed before
			}
			if is(c, "compared") {
				once() // so that both take part
			}
			return linktest.Deliver
		}}
	}
	e := w.process(victim, quickly)
	end := background(w.ctx, func(ctx context.Context) error {
		_, err := e.Verify(ctx, verify.Options{})
		return err
	})
	<-begun
	var found [2]control.Verification
	for i := range found {
		e, shown := w.process(other(), quickly, func(c *migrate.Config) { c.Lease = time.Minute }), map[string]bool{} // none takes it for dead
		all.Go(func() {
			var err error
			found[i], err = e.Verify(w.ctx, verify.Options{Report: func(m side.Mismatch) { shown[m.ID+m.Kind] = true }})
			if err != nil || len(shown) != int(found[i].Mismatches) {
				t.Errorf("process %d: %d shown, %v", i, len(shown), err)
			}
		})
	}
	all.Wait()
	if err := end(); err == nil {
		t.Error("it was not killed")
	}
	v := found[0]
	if v.ID != found[1].ID || v.Counts != found[1].Counts || v.Documents != users || v.Items != users || v.Unique != users || v.Mismatches < wrong {
		t.Errorf("%+v and %+v", v, found[1])
	}
	row, done := w.verifying()
	workers := map[string]bool{}
	for _, r := range done {
		workers[r.Worker] = true
		if _, again := claimed.Load(fmt.Sprint(r.N)); r.Rev > 3 && !again { // written down, claimed, compared
			t.Errorf("range %d was saved %d times, and the process that was killed never had it", r.N, r.Rev)
		}
	}
	if len(done) != row.Units() || len(workers) < 2 {
		t.Errorf("%d of %d compared, by %d processes", len(done), row.Units(), len(workers))
	}
}
