package once_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countingClient counts what it sends.
type countingClient struct {
	*dynamodb.Client
	requests, mostItems atomic.Int64
}

func (c *countingClient) TransactWriteItems(
	ctx context.Context, in *dynamodb.TransactWriteItemsInput, options ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	c.requests.Add(1)
	if n := int64(len(in.TransactItems)); n > c.mostItems.Load() {
		c.mostItems.Store(n)
	}
	return c.Client.TransactWriteItems(ctx, in, options...)
}

type fixture struct {
	t      *testing.T
	db     streamtest.DynamoDB
	client *dynamodb.Client // without faults
	table  string
	sent   *countingClient // with faults
}

func newFixture(t *testing.T, faults *streamtest.Faults) fixture {
	t.Helper()
	db := streamtest.NewDynamoDB(t)
	return fixture{t, db, db.Client(nil), db.CreateTable(dynamo.CompositeTable), &countingClient{Client: db.Client(faults)}}
}

// newWriter writes to the fixture's table through its faults.
func newWriter(t *testing.T, cfg once.Config, faults *streamtest.Faults) (*once.Writer, fixture) {
	t.Helper()
	f := newFixture(t, faults)
	cfg.Client, cfg.Table, cfg.Timeout = f.sent, f.table, time.Minute
	return once.NewWriter(cfg), f
}

func (f fixture) get(k once.Key) dynamo.Item {
	f.t.Helper()
	out, err := f.client.GetItem(f.t.Context(), &dynamodb.GetItemInput{TableName: &f.table, Key: k.Item(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Item
}

func (f fixture) number(k once.Key, name string) int64 {
	f.t.Helper()
	n, err := dynamo.IntOf(f.get(k), name)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

var counter = once.KeyOf("counter", "all")

// counted is a fact with the number i, and two counters that move with it.
func counted(i int, text string) once.Change {
	return once.Change{
		Ops:  []once.Op{once.Put(fact(i), dynamo.Item{"text": dynamo.String(text)}, once.Absent())},
		Adds: []once.Add{{Key: counter, Deltas: map[string]int64{"n": 1, "sum": int64(i)}}},
	}
}

func fact(i int) once.Key { return once.KeyOf("fact", fmt.Sprint(i)) }

// TestEachChangeOnce: many callers, the same changes twice each, one counter, and
// faults: each change takes effect once and its duplicate is dropped.
func TestEachChangeOnce(t *testing.T) {
	w, f := newWriter(t, once.Config{Writers: 1}, streamtest.NewFaults(5, 6))
	const changes = 250
	var work errgroup.Group
	for i := range changes {
		for range 2 {
			work.Go(func() error { _, err := w.Write(t.Context(), counted(i, "x")); return err })
		}
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if n, sum := f.number(counter, "n"), f.number(counter, "sum"); n != changes || sum != changes*(changes-1)/2 {
		t.Errorf("counted %d, sum %d", n, sum)
	}
	if most := f.sent.mostItems.Load(); most > 100 {
		t.Errorf("%d items in a transaction", most)
	}
	if n := f.sent.requests.Load(); n > changes/4 {
		t.Errorf("%d requests for %d changes: they did not share transactions", n, 2*changes)
	}
}

func TestADroppedChangeDoesNotAffectOthers(t *testing.T) {
	w, _ := newWriter(t, once.Config{}, nil)
	if _, err := w.Write(t.Context(), counted(1, "x")); err != nil {
		t.Fatal(err)
	}
	applied, err := w.Write(t.Context(), counted(0, "x"), counted(1, "x"), counted(2, "x"))
	if err != nil || fmt.Sprint(applied) != "[true false true]" {
		t.Errorf("got %v, %v", applied, err)
	}
}

// TestOneBadChangeFailsAlone: an item that DynamoDB refuses is its owner's fault.
func TestOneBadChangeFailsAlone(t *testing.T) {
	w, f := newWriter(t, once.Config{Writers: 1}, nil)
	var work errgroup.Group
	for i := range 50 {
		work.Go(func() error {
			text := "x"
			if i == 20 {
				text = strings.Repeat("x", 500_000)
			}
			_, err := w.Write(t.Context(), counted(i, text))
			if i != 20 {
				return err
			}
			if !consumers.IsPermanent(err) {
				return fmt.Errorf("the bad one: %w", err)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Error(err)
	}
	if n := f.number(counter, "n"); n != 49 {
		t.Errorf("counted %d, want 49", n)
	}
}

func TestChangesOfOneKeyAreSerial(t *testing.T) {
	w, f := newWriter(t, once.Config{}, nil)
	var changes []once.Change
	for i := range 30 {
		put := once.Put(once.KeyOf("same", "key"), dynamo.Item{"n": dynamo.Int(int64(i))}, once.Condition{})
		changes = append(changes, once.Change{Ops: []once.Op{put}})
	}
	if applied, err := w.Write(t.Context(), changes...); err != nil || len(applied) != 30 {
		t.Errorf("got %v, %v", applied, err)
	}
	if len(f.get(once.KeyOf("same", "key"))) == 0 {
		t.Error("nothing was written")
	}
}

func TestMoreThanATransactionHolds(t *testing.T) {
	w, _ := newWriter(t, once.Config{}, nil)
	if _, err := w.Write(t.Context(), once.Change{}); !consumers.IsPermanent(err) {
		t.Errorf("an empty change: %v", err)
	}
	for name, op := range map[string]once.Op{"no condition": once.Check(once.KeyOf("a", "b"), once.Condition{}), "no op": {}} {
		if _, err := w.Write(t.Context(), once.Change{Ops: []once.Op{op}}); !consumers.IsPermanent(err) {
			t.Errorf("%s, which the SDK does not send: %v", name, err)
		}
	}
	if _, err := w.Write(t.Context(), once.Change{Ops: make([]once.Op, 101)}); !consumers.IsPermanent(err) {
		t.Errorf("a change of 101 keys: %v", err)
	}
	var big []once.Change // 30 MB, where a transaction has 4
	for i := range 100 {
		big = append(big, counted(i, strings.Repeat("x", 300_000)))
	}
	if _, err := w.Write(t.Context(), big...); err != nil {
		t.Error(err)
	}
}

// TestCallerWhoseContextEnds: what is not in flight is withdrawn.
func TestCallerWhoseContextEnds(t *testing.T) {
	gate := streamtest.NewGate("TransactWriteItems", "fact")
	faults := streamtest.NewFaults(0, 0)
	faults.Before = gate.Before
	w, f := newWriter(t, once.Config{Writers: 1}, faults)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := w.Write(ctx, counted(1, "in flight")); done <- err }()
	gate.Wait(t)
	second := writeInBacklog(ctx, w, counted(2, "in the backlog"))
	cancel()
	for _, c := range []<-chan error{done, second} {
		if err := <-c; !errors.Is(err, context.Canceled) || !consumers.IsUnavailable(err) {
			t.Errorf("got %v", err)
		}
	}
	gate.Open()
	if _, err := w.Write(t.Context(), counted(3, "later")); err != nil {
		t.Error(err)
	}
	if len(f.get(fact(2))) != 0 {
		t.Error("a change that was withdrawn took effect")
	}
}

// writeInBacklog returns when the change is in the backlog of a busy writer.
func writeInBacklog(ctx context.Context, w *once.Writer, c once.Change) <-chan error {
	done, before := make(chan error, 1), w.Backlog()
	go func() { _, err := w.Write(ctx, c); done <- err }()
	for w.Backlog() == before {
		runtime.Gosched()
	}
	return done
}

// TestEndsWithoutCallers: no attempt is made for a caller that has returned.
func TestEndsWithoutCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &throttledClient{}
		w := once.NewWriter(once.Config{Client: client, Table: "t", Attempts: 1 << 20, Timeout: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := w.Write(ctx, counted(1, "x"), counted(2, "y")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		before := client.attempts
		time.Sleep(time.Minute)
		if before == 0 || client.attempts != before {
			t.Errorf("%d attempts while a caller waited, %d after", before, client.attempts-before)
		}
	})
}

func TestRetriesEndWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			cfg      once.Config
			attempts int
			within   time.Duration
		}{
			{once.Config{Attempts: 3}, 3, time.Second},
			{once.Config{Attempts: 1 << 20}, 0, 8 * time.Second},
		} {
			client, started := &throttledClient{}, time.Now()
			c.cfg.Client, c.cfg.Table = client, "t"
			_, err := once.NewWriter(c.cfg).Write(t.Context(), counted(1, "x"))
			if !consumers.IsUnavailable(err) || time.Since(started) > c.within || c.attempts > 0 && client.attempts != c.attempts {
				t.Errorf("after %v and %d attempts: %v", time.Since(started), client.attempts, err)
			}
		}
	})
}

// throttledClient refuses everything.
type throttledClient struct{ attempts int }

func (c *throttledClient) TransactWriteItems(
	context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	c.attempts++
	return nil, &types.ProvisionedThroughputExceededException{}
}
