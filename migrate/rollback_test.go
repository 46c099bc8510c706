package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// renames has the users' service rename a user under a grant.
func (w *world) renames(g ownership.Grant, n int, name string) error {
	w.t.Helper()
	_, err := userstest.Store(w.t, w.db, w.ddb).Update(userstest.Under(w.ctx, g), userID(n), func(u *users.User) error { u.Name = name; return nil })
	return err
}

// writers are instances of the users' service that write to whichever store owns the
// users, and remember what was acknowledged.
type writers struct {
	w     *world
	store entity.Typed[users.User]
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu     sync.Mutex
	want   map[string]users.User // as acknowledged
	writes map[int64]int         // in each epoch
	failed []error
}

func (w *world) startWriters(n int, seed uint64) *writers {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	ws := &writers{w: w, store: userstest.Store(w.t, w.db, w.ddb), stop: cancel, want: map[string]users.User{}, writes: map[int64]int{}}
	for i := range n {
		m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", Service: "users", Probe: anyName})
		if err != nil {
			w.t.Fatal(err)
		}
		ws.wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for k := 0; ctx.Err() == nil; k++ {
				ws.write(m, i, k, r)
				_ = pause(ctx, slower*time.Duration(2+r.IntN(10))*time.Millisecond)
			}
			out, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_ = m.Leave(out)
		})
	}
	w.t.Cleanup(ws.end)
	return ws
}

func (ws *writers) end() {
	ws.stop()
	ws.wg.Wait()
}

// creating is how many writes of a writer may create a user: a collection that grows for as
// long as a test takes is never verified in the time that it has.
const creating = 200

// write creates a user of the writer's own, or changes one.
func (ws *writers) write(m *ownership.Member, writer, k int, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ws.w.ctx), 2*time.Minute)
	defer cancel()
	var epoch int64
	var after entity.Outcome[users.User]
	id := bson.ObjectID{0: 1, 1: byte(writer), 2: byte(k >> 8), 3: byte(k)}
	name := fmt.Sprintf("name %d of %d", k, writer)
	create := k < 5 || k < creating && r.IntN(4) == 0
	if !create {
		j := r.IntN(min(k, creating))
		id[2], id[3] = byte(j>>8), byte(j)
	}
	ws.mu.Lock()
	before, known := ws.want[id.Hex()]
	ws.mu.Unlock()
	if !create && !known {
		return
	}
	err := m.Write(ctx, func(ctx context.Context, g ownership.Grant) (err error) {
		epoch = g.Epoch
		if create {
			after, err = ws.store.Create(userstest.Under(ctx, g), users.User{ID: id.Hex(), Name: name, Email: id.Hex() + "@example.org", PasswordHash: "hash",
				Version: 1, CreatedAt: time.UnixMilli(1700000000000).UTC()})
			return err
		}
		after, err = ws.store.Update(userstest.Under(ctx, g), id, func(u *users.User) error { u.Name = name; return nil }, entity.IfVersion(&before.Version))
		return err
	})
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case err != nil:
		ws.failed = append(ws.failed, fmt.Errorf("write of %s in epoch %d: %w", id.Hex(), epoch, err))
	case !create && after.Version != before.Version+1:
		ws.failed = append(ws.failed, fmt.Errorf("%s has version %d after %d", id.Hex(), after.Version, before.Version))
	default:
		ws.want[id.Hex()] = after.Value
		ws.writes[epoch]++
	}
}

// mustHold compares what was acknowledged with what the owner has, and both stores.
func (ws *writers) mustHold() {
	ws.w.t.Helper()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, err := range ws.failed {
		ws.w.t.Error(err)
	}
	rec := ws.w.phase()
	g := ownership.Grant{Owner: rec.Owner, Epoch: rec.Epoch, Collection: rec.Collection, CollectionUUID: rec.CollectionUUID}
	for id, want := range ws.want {
		if got, err := ws.store.Get(userstest.Under(ws.w.ctx, g), userstest.ID(id)); err != nil || got.Value != want {
			ws.w.t.Errorf("user %s is %+v (%v) in %s, acknowledged was %+v", id, got, err, rec.Owner, want)
		}
	}
}

// awaitWrites waits for some more writes of the present owner.
func (ws *writers) awaitWrites(epoch int64, n int) {
	ws.w.t.Helper()
	waitFor(ws.w.t, func() bool {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		return ws.writes[epoch] >= n || len(ws.failed) > 0
	})
}

// rollBack is cutOver the other way.
func (w *world) rollBack() (control.Switch, error) {
	w.t.Helper()
	return w.changeOwner((*migrate.Engine).Rollback)
}

// mustBeOwned checks the record at rest.
func (w *world) mustBeOwned(owner ownership.Store, epoch int64, phase ownership.Phase) {
	w.t.Helper()
	if r := w.phase(); r.Owner != owner || r.Epoch != epoch || r.Phase != phase || r.Hold || r.Move != nil {
		w.t.Fatalf("%+v, want %s in epoch %d, phase %s", r, owner, epoch, phase)
	}
}

// TestThereAndBackAndThereAgain: writers never notice. After each change of owner both
// stores follow again, and nothing is copied a second time.
func TestThereAndBackAndThereAgain(t *testing.T) {
	w := newWorld(t)
	w.seed(60)
	w.encapsulate()
	ws := w.startWriters(3, uint64(time.Now().UnixNano()))
	run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
	var before migrate.Status
	waitFor(t, func() (ready bool) {
		var err error
		before, err = w.engine().Status(w.ctx)
		return err == nil && !before.Reverse.ProbedAt.IsZero() && before.Copied.Complete
	})
	for epoch := int64(1); epoch <= 4; epoch++ {
		ws.awaitWrites(epoch, 20)
		v := w.verified()
		change := w.cutOver
		if epoch%2 == 0 {
			change = w.rollBack
		}
		sum, err := change()
		if err != nil || sum.Step != cutover.StepDone || sum.Verified != v.ID || sum.Held < 1 {
			t.Fatalf("in epoch %d: %+v %v", epoch, sum, err)
		}
		steps := cutover.Steps()
		if epoch%2 == 0 {
			steps = cutover.RollbackSteps()
		}
		took := map[string]float64{}
		for _, s := range sum.Steps {
			took[s.Step] = s.Milliseconds
		}
		for _, step := range steps[1 : len(steps)-1] { // writes are held, and the step is over when that is stored
			if took[step] <= 0 || len(sum.Steps) != len(steps)-2 {
				t.Errorf("the steps are said to have taken %v", sum.Steps)
			}
		}
		t.Logf("epoch %d ended; writes were held for %d ms", epoch, sum.Held)
		if epoch%2 == 0 {
			w.mustBeOwned(ownership.MongoDB, epoch+1, ownership.Shadowing)
		} else {
			w.mustBeOwned(ownership.DynamoDB, epoch+1, ownership.Switched)
		}
		w.mustStand()
	}
	ws.awaitWrites(5, 20)
	ws.end()
	ws.mustHold()
	w.verified()
	after, err := w.engine().Status(w.ctx)
	if err != nil || after.Copied != before.Copied || after.Generation != before.Generation {
		t.Errorf("copied was %+v and is %+v (%v): something was copied again", before.Copied, after.Copied, err)
	}
	if err := run(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	t.Logf("writes by epoch: %v", maps.Clone(ws.writes))
}

// switched brings a small world to the point where it can be rolled back.
func switched(t *testing.T, users int) *world {
	t.Helper()
	w := shadowing(t, users)
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		t.Fatalf("%+v %v", sum, err)
	}
	w.verified()
	return w
}

// Whatever becomes of any command of a rollback, the same verb called again ends it: the
// owner is MongoDB, late commands do no harm, and the changes are followed from there on.
func TestARollbackWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	// announce, hold, rename, view, position, switch, release
	everyFate(t, []string{"owner", "owner", "renameCollection", "create", "changes", "owner", "owner"}, func(t *testing.T, l *linktest.Link) {
		w := switched(t, 40)
		w.plan.Budgets.Hold = afterACrash
		_, _ = w.process(l).Rollback(l.Context(w.ctx), cutover.Options{NoMembers: true}) // it may end in any way
		sum, err := w.rollBack()
		if err != nil || sum.Step != cutover.StepDone {
			t.Fatalf("%+v %v", sum, err)
		}
		l.AwaitLate()
		w.mustBeOwned(ownership.MongoDB, 3, ownership.Shadowing)
		w.mustGoOn(40)
	})
}

// mustGoOn checks that the service can write to MongoDB, and the table follows, so that a
// cut-over is possible without a copy.
func (w *world) mustGoOn(documents int64) {
	w.t.Helper()
	w.mustStand()
	w.follow()
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("in MongoDB again")); err != nil {
		w.t.Error("MongoDB does not accept writes again: ", err)
	}
	if n, err := w.users.CountDocuments(w.ctx, bson.D{}); err != nil || n != documents {
		w.t.Errorf("%d documents, %v", n, err)
	}
	w.verified()
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		w.t.Fatalf("%+v %v", sum, err)
	}
	w.mustBeEqual(w.phase().Collection)
}

// The same of the undoing of a rollback, by itself and by another process: DynamoDB stays
// the owner, and the way back goes on.
func TestAnUndoneRollbackWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	everyFate(t, []string{"renameCollection", "renameCollection", "create", "create", "owner", "owner", "owner", "owner"},
		func(t *testing.T, l *linktest.Link) {
			w := switched(t, 40)
			w.plan.Budgets.Hold = afterACrash
			_, err := w.process(l).Rollback(l.Context(w.ctx), cutover.Options{NoMembers: true, Step: func(step string) {
				if step == cutover.StepFence { // the tail will not be equal
					if _, err := w.db.Collection(w.phase().Collection).UpdateByID(w.ctx, userID(5), rename("changed")); err != nil && !l.Killed() {
						t.Error(err)
					}
				}
			}})
			if err == nil {
				t.Fatal("it switched with a document that differs")
			}
			run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
			waitFor(t, func() bool { r := w.phase(); return r.Phase == ownership.Switched && !r.Hold && r.Move == nil })
			l.AwaitLate()
			waitFor(t, func() bool { return len(w.astray()) == 0 }) // the run mends
			name := "by the service"
			rec := w.phase()
			if err := w.renames(ownership.Grant{Owner: rec.Owner, Epoch: rec.Epoch}, 5, name); err != nil {
				t.Error("the service cannot write: ", err)
			}
			w.follow()
			waitFor(t, func() bool { // which mends what the stranger changed
				var doc struct{ Name string }
				return w.users.FindOne(w.ctx, bson.D{{Key: "_id", Value: userID(5)}}).Decode(&doc) == nil && doc.Name == name
			})
			w.verified()
			if err := run(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
}

// A rollback that does not come through in its budget is undone: DynamoDB stays the owner,
// and a later one succeeds.
func TestARollbackThatTakesTooLongIsUndone(t *testing.T) {
	w := switched(t, 40)
	slow, finish := w.slowMember()
	w.plan.Budgets.Hold = 300 * time.Millisecond
	sum, err := w.engine().Rollback(w.ctx, cutover.Options{})
	if !errors.Is(err, cutover.ErrUndone) || sum.Step != cutover.StepUndone || sum.To != ownership.MongoDB {
		t.Fatalf("%+v %v", sum, err)
	}
	w.mustBeOwned(ownership.DynamoDB, 2, ownership.Switched)
	finish()
	w.plan.Budgets.Hold = longHold
	if _, err := w.engine().Rollback(w.ctx, cutover.Options{}); err != nil {
		t.Error(err)
	}
	w.mustBeOwned(ownership.MongoDB, 3, ownership.Shadowing)
	if err := slow.Leave(w.ctx); err != nil {
		t.Error(err)
	}
	w.mustGoOn(40)
}

// TestAZombieOfDynamoDBsEpoch: an instance that slept through a rollback, holding a grant of
// epoch 2, writes to the table when it wakes. Where the migration has written since, the item
// refuses it; anything else is kept, shown, and refuses the next cut-over, and MongoDB never
// has it.
func TestAZombieOfDynamoDBsEpoch(t *testing.T) {
	w := switched(t, 40)
	zombie := ownership.Grant{Owner: ownership.DynamoDB, Epoch: 2}
	if sum, err := w.rollBack(); err != nil {
		t.Fatalf("%+v %v", sum, err)
	}
	run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
	w.follow()
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("changed since")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: userID(2)}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return w.nameOf(1) == "changed since" && isTombstone(w.item(2)) })

	store, late, asleep := userstest.Store(t, w.db, w.ddb), "late", userstest.Under(w.ctx, zombie)
	if err := w.renames(zombie, 1, late); !errors.Is(err, ownership.ErrFenced) {
		t.Errorf("a late change of what changed since: %v, want ErrFenced", err)
	}
	again := users.User{ID: userID(2).Hex(), Name: late, Email: "late2@example.org", PasswordHash: "x", Version: 1}
	if _, err := store.Create(asleep, again); !errors.Is(err, ownership.ErrFenced) {
		t.Errorf("a late create of what was deleted since: %v, want ErrFenced", err)
	}
	if err := w.renames(zombie, 3, late); err != nil {
		t.Fatal("a late change of an untouched item: ", err)
	}
	if _, err := store.Create(asleep, users.User{ID: userID(900).Hex(), Name: late, Email: "late900@example.org", PasswordHash: "x",
		Version: 1}); err != nil {
		t.Fatal("a late create: ", err)
	}
	var kept []string
	waitFor(t, func() bool {
		all, _, err := w.engine().LateWrites(w.ctx)
		kept = nil
		for _, l := range all {
			kept = append(kept, l.Sequence)
		}
		return err == nil && len(kept) == 2
	})
	if _, err := w.engine().Verify(w.ctx, verify.Options{Repair: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	if sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); !errors.Is(err, cutover.ErrRefused) {
		t.Errorf("a cut-over with late writes that nobody has looked at: %+v %v", sum, err)
	}
	for _, name := range kept {
		if err := w.engine().Discard(w.ctx, name); err != nil {
			t.Error(err)
		}
	}
	if n, err := w.users.CountDocuments(w.ctx, bson.D{{Key: "name", Value: late}}); err != nil || n != 0 {
		t.Errorf("MongoDB has %d of the late writes (%v)", n, err)
	}
	if err := run(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.mustGoOn(39)
}

// TestALateWriteEndsVerifications: a cut-over does not take what a verification has not seen,
// whenever the late write comes and however soon somebody discards it.
func TestALateWriteEndsVerifications(t *testing.T) {
	w := switched(t, 20)
	if sum, err := w.rollBack(); err != nil {
		t.Fatalf("%+v %v", sum, err)
	}
	defer background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })()
	w.follow()
	lateWrite := func(n int) {
		t.Helper()
		if err := w.renames(ownership.Grant{Owner: ownership.DynamoDB, Epoch: 2}, n, "late"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			all, _, err := w.engine().LateWrites(w.ctx)
			return err == nil && len(all) == 1 && w.engine().Discard(w.ctx, all[0].Sequence) == nil
		})
	}
	w.verified()
	lateWrite(3)
	sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
	if !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), "late write") {
		t.Errorf("after a verification that has not seen a late write: %+v %v", sum, err)
	}
	if v, err := w.engine().Verify(w.ctx, verify.Options{Repair: true}); err != nil || v.Repaired != 1 {
		t.Errorf("%+v %v", v, err)
	}
	w.verified()
	sum, err = w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		if step == cutover.StepAnnounce {
			lateWrite(4)
		}
	}})
	if !errors.Is(err, cutover.ErrUndone) {
		t.Errorf("a late write within a cut-over: %+v %v", sum, err)
	}
	w.mustBeOwned(ownership.MongoDB, 3, ownership.Shadowing)
	if v, err := w.engine().Verify(w.ctx, verify.Options{Repair: true}); err != nil || v.Repaired != 1 {
		t.Errorf("%+v %v", v, err)
	}
	w.mustGoOn(20)
}

// TestARollbackIsRefused where there is nothing to go back from, or nothing verified in that
// direction; a dry run touches nothing.
func TestARollbackIsRefused(t *testing.T) {
	w := shadowing(t, 20)
	if _, err := w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true}); !errors.Is(err, cutover.ErrRefused) {
		t.Errorf("before the switch: %v", err)
	}
	if _, err := w.cutOver(); err != nil {
		t.Fatal(err)
	}
	_, err := w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true})
	if !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), "since the owner changed") {
		t.Errorf("with a verification of before the switch: %v", err)
	}
	w.verified()
	before := w.phase()
	sum, err := w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true, DryRun: true})
	if err != nil || sum.Step != cutover.StepPossible || w.phase().Revision != before.Revision {
		t.Errorf("a dry run: %+v %v", sum, err)
	}
	if st, err := w.engine().Status(w.ctx); err != nil || st.RollbackUntil.Before(time.Now().Add(20*time.Hour)) {
		t.Errorf("status says that a rollback is possible until %s (%v)", st.RollbackUntil, err)
	}
	if _, err := w.engine().Abandon(w.ctx); err == nil || !strings.Contains(err.Error(), "banyan-migrate rollback") {
		t.Errorf("an abandonment while DynamoDB is the owner: %v", err)
	}
}

// item is that of a user.
func (w *world) item(n int) codec.Item {
	w.t.Helper()
	for _, item := range w.scan("users") {
		if dynamo.StringOf(item, "id") == userID(n).Hex() {
			return item
		}
	}
	return nil
}

// TestWhatTheWayBackHasMissedUndoesARollback: the tail is read from the table's stream beside
// the way back, so that what that took for the migration's own is compared.
func TestWhatTheWayBackHasMissedUndoesARollback(t *testing.T) {
	w := switched(t, 40)
	var sum control.Switch
	var err error
	for range 5 { // a machine may be too slow for the first
		sum, err = w.engine().Rollback(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
			if step == cutover.StepHold {
				item := stamped(5, "missed", dynamo.Item{"e": dynamo.Int(1), "t": dynamo.Int(1)})
				item["email"] = dynamo.String("u5@example.com")
				w.put("users", item)
			}
		}})
		if err == nil || strings.Contains(err.Error(), userID(5).Hex()) {
			break
		}
	}
	if !errors.Is(err, cutover.ErrUndone) && !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), userID(5).Hex()) {
		t.Errorf("%+v %v", sum, err)
	}
	w.mustBeOwned(ownership.DynamoDB, 2, ownership.Switched)
	if v, err := w.engine().Verify(w.ctx, verify.Options{Repair: true}); err != nil || v.Repaired != 1 || v.Mismatches != 0 {
		t.Errorf("%+v %v", v, err)
	}
	w.verified()
	if sum, err := w.rollBack(); err != nil || sum.Step != cutover.StepDone {
		t.Fatalf("%+v %v", sum, err)
	}
	w.follow()
	var doc struct{ Name string }
	if err := w.users.FindOne(w.ctx, bson.D{{Key: "_id", Value: userID(5)}}).Decode(&doc); err != nil || doc.Name != "missed" {
		t.Errorf("MongoDB has %+v (%v), and the table was right", doc, err)
	}
}

// TestMigrationThereAndBackUnderTrafficAndKills changes the owner again and again while
// writers write, and every process of the migration crashes at random commands, which are
// late, lost and repeated as well, and is started again. `make simulate SWITCHES=20` does so 20 times.
func TestMigrationThereAndBackUnderTrafficAndKills(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "acknowledges writes to a view and loses them")
	changes, err := strconv.ParseInt(os.Getenv("BANYAN_SIMULATION_SWITCHES"), 10, 64)
	if err != nil {
		t.Skip("it takes minutes; make simulate runs it")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newWorld(t)
	w.seed(100)
	w.encapsulate()
	began := time.Now()
	small := func(cfg *migrate.Config) {
		own, times := *w.plan, 1+time.Since(began)/(30*time.Second) // more for a machine that is too slow
		own.Budgets.Hold = times * afterACrash
		cfg.Plan, cfg.Lease, cfg.RangeSize, cfg.ChunkSize = &own, times*time.Second, 50, 20
	}
	troubled := func(c *troubler) process {
		return func(ctx context.Context) (*migrate.Engine, context.Context) {
			l := &linktest.Link{Choose: c.choose, Delay: 2 * time.Second}
			return w.process(l, small), l.Context(ctx)
		}
	}
	c := &troubler{rng: rand.New(rand.NewPCG(seed, 7)), odds: 0.03, count: map[string]int{}}
	run := troubled(c)
	ws := w.startWriters(3, seed)
	stopRuns := background(w.ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			e, alive := run(ctx)
			_ = e.Run(alive, migrate.RunOptions{}) // it crashes
			_ = pause(ctx, 20*time.Millisecond)
		}
		return ctx.Err()
	})
	for epoch := int64(1); epoch <= changes; epoch++ {
		ws.awaitWrites(epoch, 10)
		// The operator's commands crash more often; three times, then not.
		commands := &troubler{rng: rand.New(rand.NewPCG(seed, uint64(7+epoch))), odds: 0.2, most: 3, count: map[string]int{}}
		w.changeSomehow(epoch, troubled(commands))
		t.Logf("epoch %d ended after %s; troubles of commands %v", epoch, time.Since(began).Round(time.Second), commands.count)
	}
	ws.awaitWrites(changes+1, 10)
	ws.end()
	c.calm()
	if err := stopRuns(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if late, _, err := w.engine().LateWrites(w.ctx); err != nil || len(late) > 0 {
		t.Errorf("%d late writes, though no instance slept: %v (%v)", len(late), late, err)
	}
	w.verified()
	ws.mustHold()
	w.mustStand()
	t.Logf("writes by epoch %v, troubles of runs %v", ws.writes, c.count)
}

// process starts a process that may crash, and returns the context that ends when it does.
type process func(context.Context) (*migrate.Engine, context.Context)

// changeSomehow verifies and changes the owner until that is so and writes are released, as
// an operator would who does not give up.
func (w *world) changeSomehow(epoch int64, start process) {
	w.t.Helper()
	var last error
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); {
		if r, err := w.owners.Load(w.ctx, "users"); err == nil && r.Epoch > epoch && !r.Hold {
			return
		}
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		e, alive := start(ctx)
		_, err := e.Verify(alive, verify.Options{Report: func(m side.Mismatch) { w.t.Errorf("in epoch %d: %+v", epoch, m) }})
		e, alive = start(ctx)
		change := e.Cutover
		if epoch%2 == 0 {
			change = e.Rollback
		}
		_, changeErr := change(alive, cutover.Options{NoMembers: true})
		cancel()
		last = errors.Join(err, changeErr)
		w.t.Logf("epoch %d: verified: %v; changed: %v", epoch, err, changeErr)
		_ = pause(w.ctx, 20*time.Millisecond)
	}
	w.t.Fatalf("epoch %d has not ended in time: %v", epoch, last)
}

// A run that dies within a transaction of the way back leaves it open, and a rename would
// wait for it. The cut-over takes the shard over, which ends that, and needs no other process.
func TestACutoverEndsTheTransactionOfAReaderThatHasDied(t *testing.T) {
	w := shadowing(t, 20)
	l := &linktest.Link{Choose: at("commitTransaction", 1, linktest.KillBefore)}
	stop := background(w.ctx, func(ctx context.Context) error { return w.process(l).Run(l.Context(ctx), migrate.RunOptions{}) })
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("a change for the table")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, l.Killed)
	_ = stop()
	waitFor(t, func() bool { // until nobody would take it for one of the moment
		_, err := w.engine().Cutover(w.ctx, cutover.Options{DryRun: true, NoMembers: true})
		return err != nil && strings.Contains(err.Error(), "a transaction is open")
	})
	if _, err := w.engine().Verify(w.ctx, verify.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Error(err)
	}
}

// A rollback whose process dies within a transaction of the way back holds writes, and leaves
// the transaction open, for which the undo's rename would wait for a minute. Whoever undoes it
// takes the shard over beside.
func TestAnUndoEndsTheTransactionOfAReaderThatHasDied(t *testing.T) {
	w := switched(t, 20)
	w.verified()
	var armed atomic.Bool
	dies := func(c linktest.Command) linktest.Fate {
		if armed.Load() && c.Name == "commitTransaction" {
			return linktest.KillBefore
		}
		return linktest.Deliver
	}
	w.plan.Budgets.Hold = afterACrash
	w.mustDie(func() func(linktest.Command) linktest.Fate { return dies }, func(ctx context.Context, e *migrate.Engine) error {
		_, err := e.Rollback(ctx, cutover.Options{NoMembers: true, Step: func(step string) { armed.Store(step == cutover.StepDrain) }})
		return err
	})
	if r := w.phase(); r.Phase != ownership.RollingBack || !r.Hold {
		t.Fatalf("the process was not killed while it held writes: %+v", r)
	}
	ctx, cancel := context.WithTimeout(w.ctx, 40*time.Second) // MongoDB ends a transaction after a minute
	defer cancel()
	if _, err := w.engine().Rollback(ctx, cutover.Options{NoMembers: true}); ctx.Err() != nil {
		t.Error(err)
	}
	if r := w.phase(); r.Phase == ownership.RollingBack || r.Hold {
		t.Errorf("writes are held still: %+v", r)
	}
}
