package target_test

import (
	"context"
	"maps"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

func newMovingWorld(t *testing.T) *world {
	return newWorldOf(t, movingPlan, func(h http.Handler) http.Handler { return h })
}

// copyOf copies a version as of a time.
func (w *world) copyOf(id string, v version, at stamp.ClusterTime, fresh bool) {
	w.Helper()
	if err := w.fill(at, fresh, w.document(id, v)); err != nil {
		w.Error(err)
	}
}

// TestADeletionFindsItsItem, which its change does not name: by the entry of the _id. One
// that is ahead of the copy leaves a tombstone there, and a document that comes back replaces it.
func TestADeletionFindsItsItem(t *testing.T) {
	w := newMovingWorld(t)
	w.copyOf("A", version{at: 1, email: "a"}, 1, false)
	w.apply("A", version{at: 3, deleted: true})
	w.apply("B", version{at: 5, deleted: true})
	w.copyOf("B", version{at: 4, email: "b"}, 4, false)
	w.copyOf("B", version{at: 4, email: "b"}, 4, true)
	w.copyOf("A", version{at: 2, email: "a"}, 2, false)
	w.apply("A", version{at: 2, deleted: true})
	gone := map[string]version{"A": {deleted: true}, "B": {deleted: true}}
	w.mustHold(gone)
	w.apply("A", version{at: 7, email: "again"})
	w.apply("A", version{at: 6, deleted: true})
	w.mustHold(map[string]version{"A": {at: 7, email: "again"}, "B": {deleted: true}})
}

// TestALateCopyOfBeforeAMove does not bring the item back that the document has left, nor
// does one of before its deletion; and unique values go with the document.
func TestALateCopyOfBeforeAMove(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		w := newMovingWorld(t)
		w.apply("A", version{at: 2, email: "a"})
		w.copyOf("A", version{at: 1, email: "a"}, 1, fresh) // of a key that it never had here
		w.mustHold(map[string]version{"A": {at: 2, email: "a"}})
		w.apply("A", version{at: 4, email: "a"})
		w.copyOf("A", version{at: 2, email: "a"}, 2, fresh)
		w.copyOf("A", version{at: 3, email: "a"}, 3, fresh)
		w.mustHold(map[string]version{"A": {at: 4, email: "a"}})
		w.apply("A", version{at: 8, deleted: true})
		for at := stamp.ClusterTime(1); at < 8; at++ {
			w.copyOf("A", version{at: at, email: "a"}, at, fresh)
		}
		w.mustHold(map[string]version{"A": {deleted: true}})
	}
}

// TestAnItemWhereNoEntryLeads is found by a verification, since a document is looked for where
// its entry leads, and is removed by its repair. One that moves meanwhile is not found twice.
func TestAnItemWhereNoEntryLeads(t *testing.T) {
	w := newMovingWorld(t)
	w.apply("A", version{at: 1, email: "a"})
	stray, err := w.Encode(w.document("A", version{at: 2, email: "b"}), 2)
	if err != nil {
		t.Fatal(err)
	}
	put := func(item codec.Item) {
		if _, err := w.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.Plan.Target.Table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	put(stray.Item)
	bad, err := w.verified()
	if err != nil || len(bad) != 1 || bad[0].Kind != side.MismatchMisplaced || bad[0].ID != `"A"` {
		t.Fatal(bad, err)
	}
	if still, err := w.CompareLeftovers(t.Context(), bad); err != nil || len(still) != 1 {
		t.Error(still, err)
	}
	if err := w.DeleteLeftover(t.Context(), bad[0]); err != nil {
		t.Error(err)
	}
	if still, err := w.CompareLeftovers(t.Context(), bad); err != nil || len(still) != 0 {
		t.Error(still, err)
	}
	w.mustHold(map[string]version{"A": {at: 1, email: "a"}})
	put(codec.Item{"id": stray.Key, stamp.Attribute: &types.AttributeValueMemberM{Value: codec.Item{stamp.Epoch: dynamo.Int(2)}}})
	if err := w.DeleteLeftover(t.Context(), bad[0]); err != nil || len(w.scan("people")) != 2 {
		t.Error(err)
	}
	if bad, err := w.verified(); err != nil || len(bad) != 1 {
		t.Error("an item of the owner's was removed: ", bad, err)
	}
}

// torn reads entries first, and items behind what happens meanwhile: BatchGetItem is no
// snapshot.
type torn struct {
	*dynamodb.Client
	meanwhile func()
}

func (c *torn) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	entries, items := map[string]types.KeysAndAttributes{}, map[string]types.KeysAndAttributes{}
	for table, keys := range in.RequestItems {
		if table == "people" {
			items[table] = keys
		} else {
			entries[table] = keys
		}
	}
	if len(items) == 0 || len(entries) == 0 || c.meanwhile == nil {
		return c.Client.BatchGetItem(ctx, in, opts...)
	}
	first, err := c.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: entries}, opts...)
	if err != nil {
		return nil, err
	}
	meanwhile := c.meanwhile
	c.meanwhile = nil
	meanwhile()
	out, err := c.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: items}, opts...)
	if err == nil {
		maps.Copy(out.Responses, first.Responses)
	}
	return out, err
}

// TestAMoveBetweenTheReadsOfEntryAndItem: what was read of both is of different times, and
// the write is refused.
func TestAMoveBetweenTheReadsOfEntryAndItem(t *testing.T) {
	for name, meanwhile := range map[string]version{"moved": {at: 5, email: "b"}, "deleted": {at: 5, deleted: true}} {
		t.Run(name, func(t *testing.T) {
			w := newMovingWorld(t)
			w.apply("A", version{at: 3, email: "a"})
			late := &world{T: t, client: w.client, Tables: &target.Tables{Plan: w.Plan}}
			late.Client = &torn{Client: w.client, meanwhile: func() { w.apply("A", meanwhile) }}
			back := version{at: 6, email: "c"} // under the key of the first
			late.apply("A", back)
			w.mustHold(map[string]version{"A": back})
		})
	}
}
