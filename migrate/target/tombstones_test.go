package target_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// put writes an item as the owning service does: with its epoch, perhaps a tombstone.
func (w *world) put(id string, deleted bool) {
	w.Helper()
	members := dynamo.Item{stamp.Epoch: dynamo.Int(2)}
	if deleted {
		members[stamp.Tombstone] = dynamo.Bool(true)
	}
	item, table := dynamo.Item{"id": dynamo.String(id), stamp.Attribute: &types.AttributeValueMemberM{Value: members}}, "people"
	if _, err := w.client.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) mustHaveTombstones(want int64) {
	w.Helper()
	if n, err := w.CountTombstones(w.Context()); err != nil || n != want {
		w.Errorf("%d tombstones, want %d (%v)", n, want, err)
	}
}

// TestTombstonesAreRemovedAndNothingElse, also by a second run after the first was stopped.
func TestTombstonesAreRemovedAndNothingElse(t *testing.T) {
	w := newWorld(t)
	live := map[string]version{"M": {at: 9, email: "m"}}
	w.apply("M", live["M"])
	for i := range stamp.ClusterTime(30) {
		w.apply(fmt.Sprint("m", i), version{at: i + 1, deleted: true})
	}
	w.put("service", false)
	w.put("service-deleted", true)
	w.mustHaveTombstones(31)

	ctx, stop := context.WithCancel(t.Context())
	var sent atomic.Int64
	first, err := w.Checked(func(context.Context) error {
		if sent.Add(1) == 10 {
			stop()
		}
		return nil
	}).RemoveTombstones(ctx, 0)
	if !errors.Is(err, context.Canceled) || first > 30 {
		t.Errorf("%d removed, %v", first, err)
	}
	began := time.Now()
	second, err := w.RemoveTombstones(t.Context(), 100)
	if err != nil || first+second > 31 || second < 2 {
		t.Errorf("%d and %d removed, %v", first, second, err)
	}
	if most := time.Duration(second-1) * 10 * time.Millisecond; time.Since(began) < most {
		t.Errorf("%d removed in %s, at 100 a second", second, time.Since(began))
	}
	w.mustHaveTombstones(0)
	items := w.scan("people")
	if len(items) != 2 || dynamo.StringOf(items[0], "id") == dynamo.StringOf(items[1], "id") {
		t.Errorf("left: %v", items)
	}
}

// TestATombstoneThatIsNoneAnyMoreStays: an item that is written between the scan and the
// delete.
func TestATombstoneThatIsNoneAnyMoreStays(t *testing.T) {
	byMigration := func(w *world) { w.apply("A", version{at: 7, deleted: true}) }
	byService := func(w *world) { w.put("A", true) }
	for name, c := range map[string]struct{ before, meanwhile func(*world) }{
		"restored":                {byMigration, func(w *world) { w.apply("A", version{at: 8}) }},
		"deleted again":           {byMigration, func(w *world) { w.apply("A", version{at: 8, deleted: true}) }},
		"restored by the service": {byMigration, func(w *world) { w.put("A", false) }},
		"deleted by the service":  {byMigration, byService},
		"in the same epoch":       {byService, func(w *world) { w.put("A", false) }},
		"nothing happened":        {byMigration, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.before(w)
			removed, err := w.Checked(func(context.Context) error {
				if c.meanwhile != nil {
					c.meanwhile(w)
				}
				return nil
			}).RemoveTombstones(t.Context(), 0)
			if stayed := len(w.scan("people")) == 1; err != nil || stayed != (c.meanwhile != nil) || stayed != (removed == 0) {
				t.Errorf("%d removed, stayed %v, %v", removed, stayed, err)
			}
		})
	}
}
