package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/rebuild"
	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// checkTables holds both tables to what was published.
func (w *world) checkTables() {
	w.Helper()
	for _, table := range []string{w.live, w.table} {
		model, err := once.NewModel(once.ModelConfig[customer]{
			Name: "customer", Client: w.dynamo, Table: table,
			Key:  func(consumers.Message) string { return "" },
			Fold: func(*customer, consumers.Message) error { return nil },
		})
		sandboxtest.Must(w.T, err)
		for key, want := range w.want {
			got, _, err := model.Get(w.Context(), key)
			if diff := cmp.Diff(*want, got); err != nil || diff != "" {
				w.Errorf("seed %d: %s of %s: %v %s", w.seed, key, table, err, diff)
			}
		}
	}
}

// runKilled runs a rebuild and ends it after some invocations, whose answer or state is lost as
// it happens. It reports whether the rebuild had caught up.
func (w *world) runKilled(ctx context.Context, r *rebuild.Rebuild, f *function, after int) bool {
	w.Helper()
	ctx, kill := context.WithCancelCause(ctx)
	var mu sync.Mutex
	f.invoked = func() {
		mu.Lock()
		defer mu.Unlock()
		if after--; after == 0 {
			kill(errKilled)
		}
	}
	r.Noted = func(s rebuild.State) {
		if !s.CaughtUp.IsZero() {
			kill(errKilled)
		}
	}
	if err := r.Run(ctx); !errors.Is(err, errKilled) && !errors.Is(err, context.Canceled) {
		w.Fatalf("seed %d: %v", w.seed, err)
	}
	s, err := w.control.State(w.Context(), "customers")
	sandboxtest.Must(w.T, err)
	return !s.CaughtUp.IsZero()
}

var errKilled = errors.New("killed by the test")

// TestRebuildUnderLiveTraffic: with events that are published twice, reshards, lost answers,
// faults of DynamoDB and deaths of the rebuild at any invocation the new table becomes what the
// live one is, whose consumer goes on.
func TestRebuildUnderLiveTraffic(t *testing.T) {
	w := newWorld(t)
	w.publish(40)
	w.reshard(3)
	w.publish(10)
	store := w.archived()
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() { w.follow(ctx) })

	f := w.consumer(w.table, streamtest.NewFaults(w.seed, 30))
	f.lost = 8
	random, runs := rand.New(rand.NewPCG(w.seed, 3)), 1
	for !w.runKilled(ctx, w.rebuild(f, store), f, 1+random.IntN(4)) {
		if runs++; runs == 3 {
			w.reshard(2)
		}
		if w.publish(5); runs == 5 {
			break
		}
	}
	if runs < 3 {
		t.Errorf("seed %d: killed %d times only", w.seed, runs-1)
	}
	f.invoked = nil
	running.Go(func() {
		if err := w.rebuild(f, store).Run(ctx); ctx.Err() == nil {
			t.Errorf("seed %d: %v", w.seed, err)
		}
	})
	w.publish(15)
	found := w.compare(eventually.Patience)
	if err := found.Err(); err != nil || found.Compared < len(w.want) {
		t.Errorf("seed %d: %v, %+v after %d events", w.seed, err, found, w.number)
	}
	w.checkCatchesUp()
	w.plantDifferences()
	found = w.compare(0)
	if want := []string{"customer-0", "customer-1", "customer-99"}; len(found.Different) != 3 || !errors.Is(found.Err(), rebuild.ErrDifferent) ||
		!slices.EqualFunc(found.Different, want, func(text, key string) bool { return strings.HasPrefix(text, fmt.Sprintf("%q ", key)) }) {
		t.Errorf("seed %d: planted differences in %v, found %v", w.seed, want, found.Different)
	}
	text := strings.Join(found.Different, "\n")
	for _, want := range []string{"Orders", "only in " + w.live, "only in " + w.table} {
		if !strings.Contains(text, want) {
			t.Errorf("seed %d: the differences lack %q: %s", w.seed, want, text)
		}
	}
}

// checkCatchesUp waits until both tables are what was published, when nothing is any more.
func (w *world) checkCatchesUp() {
	w.Helper()
	orders := 0
	for _, c := range w.want {
		orders += c.Orders
	}
	eventually.True(w.T, "both tables have all", func() bool {
		found := w.compare(0)
		return found.Err() == nil && found.OldItems == orders+len(w.want) // a marker for each order
	})
	w.checkTables()
}

// plantDifferences changes, removes and adds an item of the new table.
func (w *world) plantDifferences() {
	w.Helper()
	_, err := w.dynamo.UpdateItem(w.Context(), &dynamodb.UpdateItemInput{
		TableName: &w.table, Key: dynamo.Key("customer-0", "customer"), UpdateExpression: aws.String("ADD Orders :one"),
		ExpressionAttributeValues: dynamo.Item{":one": dynamo.Int(1)},
	})
	sandboxtest.Must(w.T, err)
	_, err = w.dynamo.DeleteItem(w.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: dynamo.Key("customer-1", "customer")})
	sandboxtest.Must(w.T, err)
	w.put(w.table, "customer-99", "customer", nil)
}

func (w *world) put(table, pk, sk string, attributes dynamo.Item) {
	w.Helper()
	item := dynamo.Key(pk, sk)
	for name, v := range attributes {
		item[name] = v
	}
	_, err := w.dynamo.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item})
	sandboxtest.Must(w.T, err)
}

// TestSampleOfLargeTables: both directions have the same sample; counts show what it does not;
// what is left out is neither counted nor compared.
func TestSampleOfLargeTables(t *testing.T) {
	w := newWorld(t)
	for i := range 60 {
		for _, table := range []string{w.live, w.table} {
			w.put(table, fmt.Sprint("item-", i), "x", dynamo.Item{"n": dynamo.Int(int64(i)), "own": dynamo.String(table)})
		}
	}
	w.put(w.live, "queue#1", "x", nil)
	w.put(w.table, "marker", "x", dynamo.Item{"expires": dynamo.Int(1)})
	compare := rebuild.Compare{
		Client: w.dynamo, Old: w.live, New: w.table, Sample: 20, Seed: w.seed, Units: 1000, Skip: []string{"queue#"}, Ignore: []string{"own"},
	}
	run := func(c rebuild.Compare) rebuild.Comparison {
		t.Helper()
		found, err := c.Run(t.Context())
		sandboxtest.Must(t, err)
		return found
	}
	if found := run(compare); found.Err() != nil || found.OldItems != 60 || found.NewItems != 60 || found.Compared != 20 {
		t.Errorf("seed %d: %+v", w.seed, found)
	}
	other := compare
	other.Ignore = nil
	if found := run(other); len(found.Different) != 20 || !strings.HasSuffix(found.Different[0], ": own") {
		t.Errorf("seed %d: all differ in one attribute: %+v", w.seed, found)
	}
	other = compare
	other.Skip = nil
	if found := run(other); found.Err() == nil || found.OldItems != 61 {
		t.Errorf("seed %d: one more of 60: %+v, %v", w.seed, found, found.Err())
	}
	other.Tolerance, other.Sample = 0.05, 20
	if found := run(other); len(found.Different) == 0 && found.Err() != nil {
		t.Errorf("seed %d: one more of 60 is tolerable: %v", w.seed, found.Err())
	}
	other.Tolerance, other.Sample = 0.05, 61
	if found := run(other); found.Err() == nil || len(found.Different) != 1 || !strings.Contains(found.Different[0], "queue#1") {
		t.Errorf("seed %d: one more in a sample of all: %+v", w.seed, found)
	}
}

// TestItemsThatCatchUp: an item that one table has a moment later is no difference.
func TestItemsThatCatchUp(t *testing.T) {
	w := newWorld(t)
	w.put(w.live, "ada", "x", dynamo.Item{"n": dynamo.Int(2)})
	w.put(w.table, "ada", "x", dynamo.Item{"n": dynamo.Int(1)})
	faults := streamtest.NewFaults(w.seed, 0)
	looks := 0
	faults.Before = func(operation, body string) {
		if operation == "BatchGetItem" && strings.Contains(body, w.live) {
			if looks++; looks == 2 { // the live one has gone on, and the new one is where it was
				w.put(w.live, "ada", "x", dynamo.Item{"n": dynamo.Int(3)})
				w.put(w.table, "ada", "x", dynamo.Item{"n": dynamo.Int(2)})
			}
		}
	}
	found, err := rebuild.Compare{
		Client: w.db.Client(faults), Old: w.live, New: w.table, Sample: 10, Units: 1000, Patience: eventually.Patience,
	}.Run(t.Context())
	if err != nil || found.Err() != nil || looks != 2 {
		t.Errorf("%v, %v, after %d looks", err, found.Err(), looks)
	}
}

// TestSwitchAndBack: readers are where the pointer is once a switch is done; each verb can be
// repeated; and after the end there is no way back.
func TestSwitchAndBack(t *testing.T) {
	w := newWorld(t)
	w.publish(3)
	ctx := t.Context()
	if _, err := w.control.Back(ctx, "customers", 0); !errors.Is(err, rebuild.ErrNone) {
		t.Errorf("back without a rebuild: %v", err)
	}
	f := w.consumer(w.table, nil)
	w.runKilled(ctx, w.rebuild(f, nil), f, 100)
	if _, err := w.control.Back(ctx, "customers", 0); !errors.Is(err, rebuild.ErrNoWayBack) {
		t.Errorf("back before a switch: %v", err)
	}
	const age = 20 * time.Millisecond
	reader, err := livetable.Follow(livetable.Config{Client: w.dynamo, Control: w.control.Table, Model: "customers", Default: w.live, Age: age})
	sandboxtest.Must(t, err)
	check := func(what, want string, p livetable.Pointer, err error) {
		t.Helper()
		got, readErr := reader.Table(ctx)
		if err != nil || readErr != nil || got != want || p.Table != want {
			t.Errorf("%s: reads from %s, the pointer is %+v, want %s (%v)", what, got, p, want, errors.Join(err, readErr))
		}
	}
	was, err := w.control.Pointer(ctx, "customers")
	check("before", w.live, was, err)
	p, err := w.control.Switch(ctx, was, w.table, age)
	check("switch", w.table, p, err)
	if _, err := w.control.Switch(ctx, was, w.table, age); !errors.Is(err, livetable.ErrMoved) {
		t.Errorf("a switch by what was so before: %v", err)
	}
	p, err = w.control.Switch(ctx, p, w.table, age)
	check("switch again", w.table, p, err)
	w.runKilled(ctx, w.rebuild(f, nil), f, 100) // follows still
	for range 2 {
		p, err = w.control.Back(ctx, "customers", age)
		check("back", w.live, p, err)
	}
	p, err = w.control.Switch(ctx, p, w.table, age)
	check("switch once more", w.table, p, err)
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := w.control.Switch(ended, p, w.table, time.Hour); err == nil || !strings.Contains(err.Error(), "give the same command again") {
		t.Errorf("stopped while it waits: %v", err)
	}
	w.checkRemove(f, reader, p)
}

func (w *world) checkRemove(f *function, reader *livetable.Follower, p livetable.Pointer) {
	w.Helper()
	r := w.rebuild(f, nil)
	var once sync.Once
	r.Noted = func(rebuild.State) {
		once.Do(func() {
			left, now, err := w.control.Remove(w.Context(), "customers")
			if err != nil || left != (rebuild.Leftover{Table: w.live}) || now.Table != w.table || now.Former != "" || !now.Since.Equal(p.Since) {
				w.Errorf("%+v, %+v, %v", left, now, err)
			}
		})
	}
	if err := r.Run(w.Context()); !errors.Is(err, rebuild.ErrTakenOver) {
		w.Errorf("after the rebuild was removed: %v", err)
	}
	if table, err := reader.Table(w.Context()); table != w.table || err != nil {
		w.Errorf("reads from %s, want %s (%v)", table, w.table, err)
	}
	if err := w.rebuild(f, nil).Run(w.Context()); err == nil || !strings.Contains(err.Error(), "is the live table") {
		w.Errorf("a rebuild of the live table: %v", err)
	}
	if _, _, err := w.control.Remove(w.Context(), "customers"); !errors.Is(err, rebuild.ErrNone) {
		w.Errorf("removed twice: %v", err)
	}
}

// TestOneRebuildAtATime: a second start takes over, and one of something else is refused; given
// up before a switch, the new table and its function are what nobody needs.
func TestOneRebuildAtATime(t *testing.T) {
	w := newWorld(t)
	w.publish(3)
	f := w.consumer(w.table, nil)
	first, second := w.rebuild(f, nil), w.rebuild(f, nil)
	ctx, end := context.WithCancel(t.Context())
	second.Noted = func(rebuild.State) { end() }
	first.Noted = func(rebuild.State) {
		if err := second.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the second: %v", err)
		}
	}
	if err := first.Run(t.Context()); !errors.Is(err, rebuild.ErrTakenOver) {
		t.Errorf("the first: %v", err)
	}
	other := w.rebuild(f, nil)
	other.Plan.Table = w.db.CreateTable(dynamo.CompositeTable)
	if err := other.Run(t.Context()); !errors.Is(err, rebuild.ErrOther) {
		t.Errorf("another table: %v", err)
	}
	left, p, err := w.control.Remove(t.Context(), "customers")
	if err != nil || left != (rebuild.Leftover{Table: w.table, Function: "customers-b"}) || p.Table != w.live {
		t.Errorf("%+v, %+v, %v", left, p, err)
	}
}
