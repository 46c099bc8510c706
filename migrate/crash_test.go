package migrate_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

// shadowing brings a small world to the point where it can be cut over.
func shadowing(t *testing.T, users int) *world {
	t.Helper()
	w := newWorld(t)
	w.seed(users)
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	return w
}

// afterACrash is a hold for cut-overs that crash: the next process waits for as
// long before it undoes.
const afterACrash = 1500 * time.Millisecond

// cutOver tries with more and more time while that was too short, as an operator
// would on a slow machine.
func (w *world) cutOver() (migrate.Switch, error) {
	w.t.Helper()
	for hold := w.plan.Budgets.Hold; ; hold *= 2 {
		sum, err := w.engine(func(c *migrate.Config) {
			own := *w.plan
			own.Budgets.Hold = hold
			c.Plan = &own
		}).Cutover(w.ctx, migrate.CutoverOptions{})
		if !errors.Is(err, migrate.ErrUndone) || hold >= longHold {
			return sum, err
		}
	}
}

func (w *world) verified() migrate.Verification {
	w.t.Helper()
	v, err := w.engine().Verify(w.ctx, migrate.VerifyOptions{Report: func(m target.Mismatch) { w.t.Errorf("%+v", m) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// crashOnce crashes at the nth time a point is reached.
func crashOnce(point string, nth int) func(*migrate.Config) {
	var left atomic.Int64
	left.Store(int64(nth))
	return func(c *migrate.Config) {
		c.Lease = time.Second
		c.Crash = func(p string) error {
			if p == point && left.Add(-1) == 0 {
				return errors.New("here")
			}
			return nil
		}
	}
}

func TestACutoverKilledAnywhereIsFinishedOrUndoneByTheNext(t *testing.T) {
	for _, tc := range []struct {
		point    string
		nth      int
		switched bool // before it was killed
	}{
		{"held", 1, false}, {"fence step", 1, false}, {"fence step", 2, false},
		{"after " + migrate.StepFence, 1, false}, {"after " + migrate.StepDrain, 1, false}, {"after " + migrate.StepTail, 1, false},
		{"switched", 1, true}, {"released", 1, true},
	} {
		t.Run(tc.point, func(t *testing.T) {
			w := shadowing(t, 40)
			if !tc.switched {
				w.plan.Budgets.Hold = afterACrash
			}
			if _, err := w.engine(crashOnce(tc.point, tc.nth)).Cutover(w.ctx, migrate.CutoverOptions{}); err == nil {
				t.Fatal("it did not crash")
			}
			if got := w.phase().Owner == ownership.DynamoDB; got != tc.switched {
				t.Fatalf("owner %+v", w.phase())
			}
			sum, err := w.cutOver()
			if err != nil || sum.Step != migrate.StepDone {
				t.Fatalf("%+v %v", sum, err)
			}
			if r := w.phase(); r.Owner != ownership.DynamoDB || r.Epoch != 2 || r.Hold {
				t.Fatalf("%+v", r)
			}
			w.mustBeEqual("users")
		})
	}
}

func TestAnUndoneCutoverLeavesEverythingAsItWas(t *testing.T) {
	w := shadowing(t, 40)
	slow, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users"})
	if err != nil {
		t.Fatal(err)
	}
	inside, finish := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- slow.Write(w.ctx, func(context.Context, ownership.Grant) error {
			close(inside)
			<-finish
			return nil
		})
	}()
	<-inside
	finishOnce := sync.OnceFunc(func() { close(finish) })
	defer finishOnce()
	w.plan.Budgets.Hold = 300 * time.Millisecond
	sum, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{})
	if !errors.Is(err, migrate.ErrUndone) || sum.Step != migrate.StepUndone {
		t.Fatalf("%+v %v", sum, err)
	}
	if r := w.phase(); r.Owner != ownership.MongoDB || r.Phase != ownership.Shadowing || r.Hold || r.Epoch != 1 {
		t.Fatalf("%+v", r)
	}
	finishOnce()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := w.users.InsertOne(w.ctx, user(1000)); err != nil {
		t.Error("MongoDB does not take writes again: ", err)
	}
	w.plan.Budgets.Hold = longHold
	if _, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{}); err != nil {
		t.Error(err)
	}
	if err := slow.Leave(w.ctx); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// Undoing a fence copies the documents of recreated collections back.
func TestUndoMergesRecreatedCollections(t *testing.T) {
	w := shadowing(t, 40)
	w.plan.Budgets.Hold = afterACrash
	if _, err := w.engine(crashOnce("fence step", 1)).Cutover(w.ctx, migrate.CutoverOptions{}); err == nil {
		t.Fatal("it did not crash")
	}
	changed := user(3)
	changed[1].Value = "changed by a late writer"
	if _, err := w.users.InsertMany(w.ctx, []any{user(2002), append(changed, bson.E{Key: "version", Value: int64(7)})}); err != nil {
		t.Fatal(err)
	}
	run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
	if _, err := w.engine(crashOnce("held", 1)).Cutover(w.ctx, migrate.CutoverOptions{}); err == nil {
		t.Fatal("it did not crash")
	}
	names, err := w.db.ListCollectionNames(w.ctx, bson.D{})
	if err != nil || slices.Contains(names, "users__banyan_e1") || len(w.recreated()) > 0 {
		t.Errorf("%v %v", names, err)
	}
	if n, err := w.users.CountDocuments(w.ctx, bson.D{}); err != nil || n != 41 {
		t.Errorf("%d documents, %v", n, err)
	}
	waitFor(t, func() bool { // the run in the background undoes what is left behind
		_, err := w.cutOver()
		return err == nil
	})
	if err := run(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// A lease is renewed by its holder only: processes that wait for the one of a
// dead process, and die while they wait, do not make it last longer.
func TestWaitingForALeaseDoesNotRenewIt(t *testing.T) {
	w := shadowing(t, 20)
	const lease = 1500 * time.Millisecond
	holder := w.engine(crashOnce("position", 1), func(c *migrate.Config) { c.Lease = lease })
	if err := holder.Run(w.ctx, migrate.RunOptions{}); err == nil {
		t.Fatal("it did not crash")
	}
	patient := background(w.ctx, func(ctx context.Context) error {
		return w.engine(func(c *migrate.Config) { c.Lease = lease }).Run(ctx, migrate.RunOptions{})
	})
	for began := time.Now(); time.Since(began) < lease; {
		var requests atomic.Int64
		var dead atomic.Bool
		waiter := w.engine(func(c *migrate.Config) {
			c.Lease = time.Hour
			c.DynamoDB = dynamodb.New(w.ddb.Options(), func(o *dynamodb.Options) { o.HTTPClient = counted{o.HTTPClient, &requests} })
			c.Crash = func(string) error {
				if dead.Load() {
					return errors.New("killed")
				}
				return nil
			}
		})
		stop := background(w.ctx, func(ctx context.Context) error { return waiter.Run(ctx, migrate.RunOptions{}) })
		waitFor(t, func() bool { return requests.Load() > 10 })
		dead.Store(true)
		_ = stop()
	}
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("after the lease")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		st, err := w.engine().Status(w.ctx)
		return err == nil && st.Changes.Followed && st.Changes.Events > 0 && st.Changes.Lag >= 0 && st.Changes.Lag < time.Second
	})
	if err := patient(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// counted counts the requests of a client.
type counted struct {
	client   dynamodb.HTTPClient
	requests *atomic.Int64
}

func (c counted) Do(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.client.Do(r)
}
