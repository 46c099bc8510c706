package outboxtable_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

// Only keys with something old are swept; of those, everything.
func TestSweepRelaysOldItems(t *testing.T) {
	w := newWorld(t)
	old := event("old", 1)
	old.Time = time.Now().Add(-time.Hour)
	w.write(old)
	w.write(event("old", 2))
	w.write(event("new", 1))
	r := w.relay(outboxtable.Config{})
	rep, err := r.Sweep(t.Context(), time.Minute)
	if err != nil || rep.Published != 2 || rep.Keys != 1 {
		t.Errorf("Sweep = %+v, %v", rep, err)
	}
	if err := inOrder(2, w.published()["old"]); err != nil {
		t.Error(err)
	}
	if n := len(w.left("new")); n != 1 {
		t.Errorf("%d new items are left, want 1", n)
	}
}

func TestSweepOfManyPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const keys, each = 12, 3
	for i := range keys {
		for n := 1; n <= each; n++ {
			e := event(fmt.Sprint("k", i), n)
			e.Data = []byte(fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("x", 40<<10)))
			w.write(e)
		}
	}
	rep, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0)
	if err != nil || rep.Published != keys*each {
		t.Errorf("Sweep = %d events, %v", rep.Published, err)
	}
	for key, got := range w.published() {
		if err := inOrder(each, got); err != nil {
			t.Errorf("key %s: %v", key, err)
		}
	}
}

// A sweep keeps off a key that another relay is at, and the other way round.
func TestClaimsKeepRelaysApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := 1; n <= 3; n++ {
		w.write(event("k", n))
	}
	w.faults("delay 400ms\nkinesis.PutRecords timeout-before=1")
	ahead := func() time.Time { return time.Now().Add(time.Minute) } // so that no claim runs out while the machine stalls
	slow := w.relay(outboxtable.Config{ID: "slow", Claim: time.Second, Now: ahead, Publisher: w.publisher(kinesis.Config{})})
	done := make(chan error, 1)
	go func() {
		_, err := slow.Sweep(t.Context(), 0)
		done <- err
	}()
	eventually.True(t, "the claim", func() bool { return w.claimedUntil("k") != "" })
	quick := w.relay(outboxtable.Config{ID: "quick"})
	renewals, until := 0, w.claimedUntil("k")
	eventually.True(t, "the claim to be renewed", func() bool {
		rep, err := quick.Sweep(t.Context(), 0)
		if err != nil || rep.Busy != 1 || rep.Published != 0 {
			t.Fatalf("beside another sweep: %+v, %v", rep, err)
		}
		out, err := quick.Handle(t.Context(), batch(change("INSERT", "k", 1)))
		if err != nil || failed(out) != "s1" {
			t.Fatalf("beside a sweep: %v, %v", out, err)
		}
		if now := w.claimedUntil("k"); now != until {
			renewals, until = renewals+1, now
		}
		return renewals == 4
	})
	w.faults("")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := inOrder(3, w.published()["k"]); err != nil {
		t.Error(err)
	}
	if n := w.items(); n != 0 {
		t.Errorf("%d items are left", n)
	}
}

// claimedUntil is until when a relay has claimed a key, "" for none. It fails if the
// key is empty.
func (w *world) claimedUntil(key string) string {
	w.Helper()
	out, err := w.dynamo.GetItem(w.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(table), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: key}, "sk": &types.AttributeValueMemberS{Value: w.left(key)[0]},
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	until, ok := out.Item["until"].(*types.AttributeValueMemberN)
	if !ok {
		return ""
	}
	return until.Value
}

// Faults of the tables, one after the other, at every request of a relay.
func TestSweepThroughFaults(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{
		"dynamodb.Query throttle=0.5 internal=0.2", "dynamodb.UpdateItem throttle=0.3 timeout-after=0.3 partial=0.2",
		"dynamodb.DeleteItem throttle=0.3 timeout-after=0.3 partial=0.2", "dynamodb.TransactWriteItems throttle=0.3 timeout-after=0.3 partial=0.3",
		"dynamodb.Scan throttle=0.5 internal=0.3", "kinesis.PutRecords throttle=0.3 partial=0.3 timeout-after=0.3",
	} {
		t.Run(plan, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for n := 1; n <= 4; n++ {
				for i := range 5 {
					if n == 1 || i > 2 {
						w.write(event(fmt.Sprint("k", i), n))
					}
				}
			}
			w.faults("delay 10ms\n" + plan)
			r := w.relay(outboxtable.Config{Claim: time.Second})
			eventually.True(t, "a sweep without faults", func() bool { return !w.sweepFails(r) })
			w.faults("")
			if n := w.items(); n != 0 {
				t.Errorf("%d items are left", n)
			}
			for key, got := range w.published() {
				want := 4
				if key < "k3" {
					want = 1
				}
				if err := inOrder(want, got); err != nil {
					t.Errorf("key %s: %v", key, err)
				}
			}
		})
	}
}

// sweepFails sweeps and reports whether it has to be tried again.
func (w *world) sweepFails(r *outboxtable.Relay) bool {
	rep, err := r.Sweep(w.Context(), 0)
	return err != nil || rep.Busy > 0 || rep.Published > 0
}

// gated is a publisher that takes nothing in before its gate is open.
type gated struct {
	publishers.Publisher
	arrived, open chan struct{}
}

func newGated(p publishers.Publisher) *gated {
	return &gated{p, make(chan struct{}, 100), make(chan struct{})}
}

func (g *gated) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	g.arrived <- struct{}{}
	select {
	case <-g.open:
		return g.Publisher.EnqueueEncoded(ctx, key, data)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A relay that slept for longer than its claim deletes nothing: whoever took the
// key over publishes all of it again, and may be in the middle of that.
func TestALostClaimDeletesNothing(t *testing.T) {
	w := newWorld(t)
	for n := 1; n <= 3; n++ {
		w.write(event("k", n))
	}
	type outcome struct {
		rep outboxtable.Report
		err error
	}
	start := func(ahead time.Duration) (*gated, chan outcome) {
		g := newGated(w.publisher(kinesis.Config{}))
		r := w.relay(outboxtable.Config{Publisher: g, Claim: time.Minute, Now: func() time.Time { return time.Now().Add(ahead) }})
		done := make(chan outcome, 1)
		go func() {
			rep, err := r.Sweep(t.Context(), 0)
			done <- outcome{rep, err}
		}()
		<-g.arrived
		return g, done
	}
	slept, first := start(0)
	heir, second := start(time.Hour) // sees the claim as run out
	close(slept.open)
	if out := <-first; out.err != nil || out.rep.Busy != 1 || out.rep.Published != 3 {
		t.Errorf("the relay that slept: %+v, %v", out.rep, out.err)
	}
	if left := w.left("k"); len(left) != 3 {
		t.Errorf("left for the one that took over: %v", left)
	}
	w.write(event("k", 4))
	close(heir.open)
	if out := <-second; out.err != nil || out.rep.Published != 3 {
		t.Errorf("the relay that took over: %+v, %v", out.rep, out.err)
	}
	if rep, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0); err != nil || rep.Published != 1 {
		t.Errorf("what came meanwhile: %+v, %v", rep, err)
	}
	if err := inOrder(4, w.published()["k"]); err != nil {
		t.Error(err)
	}
	if n := w.items(); n != 0 {
		t.Errorf("%d items are left", n)
	}
}

// A publisher that takes nothing in loses nothing, and the key is free for
// others at once.
func TestAFullPublisher(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(event("k", 1))
	w.write(event("k", 2))
	g := newGated(w.publisher(kinesis.Config{}))
	rep, err := w.relay(outboxtable.Config{Publisher: g, Claim: 100 * time.Millisecond}).Sweep(t.Context(), 0)
	mustBe(t, err, context.DeadlineExceeded)
	if rep.Failed != 1 || rep.Published != 0 || len(w.left("k")) != 2 {
		t.Errorf("a publisher that takes nothing: %+v, left %v", rep, w.left("k"))
	}
	if rep, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0); err != nil || rep.Published != 2 {
		t.Errorf("another relay, right after it: %+v, %v", rep, err)
	}
}
