package once_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/profile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	t      *testing.T
	client *dynamodb.Client
	table  string
}

func newFixture(t *testing.T, cfg once.Config, faults *streamtest.Faults) (*once.Group, fixture) {
	t.Helper()
	db := streamtest.NewDynamoDB(t)
	f := fixture{t, db.Client(nil), db.CreateTable(profile.TableInput)}
	cfg.Client, cfg.Table = db.Client(faults), f.table
	return once.NewGroup(cfg), f
}

func (f fixture) get(k once.Key) once.Attributes {
	f.t.Helper()
	out, err := f.client.GetItem(f.t.Context(), &dynamodb.GetItemInput{TableName: &f.table, Key: k.Attributes(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Item
}

func guarded(i int, text string) once.Step {
	return once.Step{
		Items: []once.Item{once.Put(once.At("guard", fmt.Sprint(i)), once.Attributes{"text": once.S(text)}, once.Absent())},
		Adds:  []once.Add{{Key: once.At("counter", "all"), Deltas: map[string]int64{"n": 1, "sum": int64(i)}}},
	}
}

func number(t *testing.T, item once.Attributes, name string) int64 {
	t.Helper()
	n, err := once.Number(item, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEachStepOnce: many callers, the same steps twice each, one counter, and
// faults: each step takes effect once and its twin is dropped.
func TestEachStepOnce(t *testing.T) {
	requests := 0
	g, f := newFixture(t, once.Config{Writers: 1, Requests: func(items, _ int) {
		requests++
		if items > 100 {
			t.Errorf("%d items in a transaction", items)
		}
	}}, streamtest.NewFaults(5, 6))
	const steps = 250
	var work errgroup.Group
	for i := range steps {
		for range 2 {
			work.Go(func() error { _, err := g.Do(t.Context(), guarded(i, "x")); return err })
		}
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	counter := f.get(once.At("counter", "all"))
	if n, sum := number(t, counter, "n"), number(t, counter, "sum"); n != steps || sum != steps*(steps-1)/2 {
		t.Errorf("counted %d, sum %d", n, sum)
	}
	if requests > steps/4 {
		t.Errorf("%d requests for %d steps: they were not put together", requests, 2*steps)
	}
}

func TestDroppedTakesNoOtherWithIt(t *testing.T) {
	g, _ := newFixture(t, once.Config{}, nil)
	if _, err := g.Do(t.Context(), guarded(1, "x")); err != nil {
		t.Fatal(err)
	}
	applied, err := g.Do(t.Context(), guarded(0, "x"), guarded(1, "x"), guarded(2, "x"))
	if err != nil || fmt.Sprint(applied) != "[true false true]" {
		t.Errorf("got %v, %v", applied, err)
	}
}

// TestOneBadStepFailsAlone: an item that DynamoDB refuses is its owner's fault.
func TestOneBadStepFailsAlone(t *testing.T) {
	g, f := newFixture(t, once.Config{Writers: 1}, nil)
	var work errgroup.Group
	for i := range 50 {
		work.Go(func() error {
			text := "x"
			if i == 20 {
				text = strings.Repeat("x", 500_000)
			}
			_, err := g.Do(t.Context(), guarded(i, text))
			if i != 20 {
				return err
			}
			if !consumers.IsPermanent(once.Classify(err)) {
				return fmt.Errorf("the bad one: %w", err)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Error(err)
	}
	if n := number(t, f.get(once.At("counter", "all")), "n"); n != 49 {
		t.Errorf("counted %d, want 49", n)
	}
}

func TestStepsThatShareAKeyGoOneAfterTheOther(t *testing.T) {
	g, f := newFixture(t, once.Config{}, nil)
	var steps []once.Step
	for i := range 30 {
		steps = append(steps, once.Step{Items: []once.Item{once.Put(once.At("same", "key"), once.Attributes{"n": once.N(int64(i))}, once.Expression{})}})
	}
	if applied, err := g.Do(t.Context(), steps...); err != nil || len(applied) != 30 {
		t.Errorf("got %v, %v", applied, err)
	}
	if len(f.get(once.At("same", "key"))) == 0 {
		t.Error("nothing was written")
	}
}

func TestMoreThanATransactionHolds(t *testing.T) {
	g, _ := newFixture(t, once.Config{}, nil)
	if _, err := g.Do(t.Context(), once.Step{}); err == nil {
		t.Error("took a step of nothing")
	}
	if _, err := g.Do(t.Context(), once.Step{Items: make([]once.Item, 101)}); err == nil {
		t.Error("took a step of 101 items")
	}
	var big []once.Step // 30 MB, where a transaction has 4
	for i := range 100 {
		big = append(big, guarded(i, strings.Repeat("x", 300_000)))
	}
	if _, err := g.Do(t.Context(), big...); err != nil {
		t.Error(err)
	}
}

func TestGivesUpWithItsCaller(t *testing.T) {
	gate := streamtest.NewGate("TransactWriteItems", "guard")
	faults := streamtest.NewFaults(0, 0)
	faults.Before = gate.Before
	g, f := newFixture(t, once.Config{Writers: 1}, faults)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { _, err := g.Do(ctx, guarded(1, "on its way")); done <- err }()
	gate.Wait(t)
	go func() { _, err := g.Do(ctx, guarded(2, "in line")); done <- err }()
	time.Sleep(10 * time.Millisecond)
	cancel()
	for range 2 {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	gate.Open()
	if _, err := g.Do(t.Context(), guarded(3, "later")); err != nil {
		t.Error(err)
	}
	if len(f.get(once.At("guard", "2"))) != 0 {
		t.Error("a step that was withdrawn took effect")
	}
}

// TestEndsWhenNobodyWaits: no attempt is made for a caller that has gone.
func TestEndsWhenNobodyWaits(t *testing.T) {
	var attempts atomic.Int64
	g, _ := newFixture(t, once.Config{Attempts: 1 << 20, Base: time.Millisecond, Requests: func(int, int) { attempts.Add(1) }}, streamtest.NewFaults(1, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := g.Do(ctx, guarded(1, "x"), guarded(2, "y")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	time.Sleep(50 * time.Millisecond)
	before := attempts.Load()
	time.Sleep(200 * time.Millisecond)
	if n := attempts.Load(); before == 0 || n != before {
		t.Errorf("%d attempts while somebody waited, %d after", before, n-before)
	}
}

func TestGivesUpInTime(t *testing.T) {
	g, _ := newFixture(t, once.Config{Attempts: 3, Base: time.Millisecond}, streamtest.NewFaults(1, 1))
	started := time.Now()
	_, err := g.Do(t.Context(), guarded(1, "x"))
	if err == nil || !consumers.IsUnavailable(once.Classify(err)) || time.Since(started) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(started), err)
	}
}
