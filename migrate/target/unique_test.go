package target_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

// interrupted runs something else before the first write, behind what was read for it.
type interrupted struct {
	*dynamodb.Client
	before func()
}

func (c *interrupted) interrupt() {
	if before := c.before; before != nil {
		c.before = nil
		before()
	}
}

func (c *interrupted) PutItem(ctx context.Context, in *dynamodb.PutItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	c.interrupt()
	return c.Client.PutItem(ctx, in, opts...)
}

func (c *interrupted) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	opts ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	c.interrupt()
	return c.Client.TransactWriteItems(ctx, in, opts...)
}

// interrupt returns the same tables for one call, which before interrupts.
func (w *world) interrupt(before func()) *world {
	return &world{T: w.T, Tables: &target.Tables{Plan: w.Plan, Client: &interrupted{w.client, before}}, client: w.client}
}

// An owner's later claims raise no stamp: a claim from between them must not take the
// entry along when it gives the value up.
func TestAUniqueValueThatReturnsToAnEarlierOwnerKeepsItsEntry(t *testing.T) {
	w := newWorld(t)
	for _, at := range []stamp.ClusterTime{3, 5, 15} {
		w.apply("B", version{at: at, email: "e"})
	}
	w.apply("C", version{at: 4, email: "e"})
	w.apply("C", version{at: 6, email: "other"})
	w.mustHold(map[string]version{"B": {at: 15, email: "e"}, "C": {at: 6, email: "other"}})
}

// A repair may rewrite an item without another time. Who read it before must not take its
// unique values for those that it had then.
func TestAnItemRewrittenAtTheSameTimeIsReadAgain(t *testing.T) {
	w := newWorld(t)
	w.apply("B", version{at: 5, email: "e"})
	w.interrupt(func() {
		if err := w.Repair(t.Context(), w.version("B", version{email: "repaired"}, 5)); err != nil {
			t.Error(err)
		}
	}).apply("B", version{at: 7, email: "e"})
	w.mustHold(map[string]version{"B": {at: 7, email: "e"}})
}

func TestTwoClaimsAtOnceAreBothKept(t *testing.T) {
	w := newWorld(t)
	w.apply("B", version{at: 15, email: "e"})
	w.interrupt(func() { w.apply("D", version{at: 5, email: "e"}) }).apply("C", version{at: 4, email: "e"})
	w.apply("B", version{at: 16, deleted: true})
	w.apply("C", version{at: 17, deleted: true})
	w.mustHold(map[string]version{"B": {at: 16, deleted: true}, "C": {at: 17, deleted: true}, "D": {at: 5, email: "e"}})
}

// leaveOver puts an entry of B that its item does not have.
func (w *world) leaveOver(email string) {
	w.Helper()
	entry := codec.Item{"value": dynamo.String("email#" + email), "owner": dynamo.String("B")}
	stamp.Put(entry, 1, 4, false)
	table := "people-email"
	if _, err := w.client.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: &table, Item: entry}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) deleteLeftover(email string) {
	w.Helper()
	if err := w.DeleteLeftover(w.Context(), side.Mismatch{UniqueValue: "email#" + email}); err != nil {
		w.Fatal(err)
	}
}

// mustHaveLeftovers compares the unique entries with the items.
func (w *world) mustHaveLeftovers(want int) {
	w.Helper()
	var found []side.Mismatch
	var mu sync.Mutex
	err := w.ScanUnique(w.Context(), side.Segment{Of: 1}, func(_ context.Context, _ int, leftover []side.Mismatch) error {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, leftover...)
		return nil
	})
	again, againErr := w.CompareLeftovers(w.Context(), found)
	if err = errors.Join(err, againErr); err != nil || len(found) != want || len(again) != want {
		w.Errorf("%d leftovers, and again %d, want %d: %v (%v)", len(found), len(again), want, found, err)
	}
}

func TestALeftoverIsRemovedUnlessItIsClaimedMeanwhile(t *testing.T) {
	claimed := map[string]version{"B": {at: 4, email: "e"}}
	for name, c := range map[string]struct {
		run  func(w *world)
		want map[string]version
	}{
		"not claimed":           {func(w *world) { w.deleteLeftover("e") }, nil},
		"claimed before":        {func(w *world) { w.apply("B", claimed["B"]); w.deleteLeftover("e") }, claimed},
		"claimed afterwards":    {func(w *world) { w.deleteLeftover("e"); w.apply("B", claimed["B"]) }, claimed},
		"claimed meanwhile":     {func(w *world) { w.interrupt(func() { w.apply("B", claimed["B"]) }).deleteLeftover("e") }, claimed},
		"removed while claimed": {func(w *world) { w.interrupt(func() { w.deleteLeftover("e") }).apply("B", claimed["B"]) }, claimed},
		"beside another": {func(w *world) {
			w.apply("C", version{at: 9, email: "e"})
			w.mustHaveLeftovers(1)
			w.deleteLeftover("e")
		}, map[string]version{"C": {at: 9, email: "e"}}},
		"without an owner": {func(w *world) {
			table, entry := "people-email", codec.Item{"value": dynamo.String("email#e")}
			if _, err := w.client.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: &table, Item: entry}); err != nil {
				w.Fatal(err)
			}
			w.mustHaveLeftovers(1)
			w.deleteLeftover("e")
		}, nil},
		"of another now": {func(w *world) { w.apply("C", version{at: 4, email: "e"}); w.deleteLeftover("e") },
			map[string]version{"C": {at: 4, email: "e"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.leaveOver("e")
			w.mustHaveLeftovers(1)
			c.run(w)
			w.mustHold(c.want)
			w.mustHaveLeftovers(0)
		})
	}
}
