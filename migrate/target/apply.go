package target

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// maxConflicts bounds the attempts to write one document that others write too.
const maxConflicts = 30

// mode chooses which items of the same epoch apply may replace. It always replaces those of
// an earlier one, and never those of a later one, which the service wrote.
type mode int

const (
	// ifOlder replaces what carries an older time, and fails with side.ErrSameTime where
	// another document of the same time is there.
	ifOlder    mode = iota
	ifNotNewer      // also replaces what carries the same time
	anyItem         // also replaces items without a time
	onlyAbsent      // replaces nothing, of whichever epoch
)

// Apply writes one version of a document, or the tombstone of a deleted one, unless the
// item in its place is newer. It is conditional on the very item it read, so of two
// appliers one retries; unique entries change in the same transaction. Where there are none, one
// request does unless something newer stands there. It fails with
// [side.ErrServiceOwned], [side.ErrSameTime], with [side.ErrOutOfBand] where somebody else has
// written, and with a [*side.Misfit] for a document that does not fit. One with an
// invalid identifier was never copied, so deleting it is nothing.
func (t *Tables) Apply(ctx context.Context, v side.Version) error {
	if v.Read {
		return t.applyVersion(ctx, v, ifNotNewer)
	}
	return t.applyVersion(ctx, v, ifOlder)
}

// Repair is [Tables.Apply] of a version that was read, which also replaces items of which
// nobody knows who wrote them.
func (t *Tables) Repair(ctx context.Context, v side.Version) error {
	return t.applyVersion(ctx, v, anyItem)
}

func (t *Tables) applyVersion(ctx context.Context, v side.Version, m mode) error {
	var e Entry
	var err error
	if v.Doc == nil {
		if e, err = t.deleted(v.ID); err != nil {
			return nil
		}
	} else if e, err = t.Encode(v.Doc, v.At); err != nil {
		return err
	}
	if len(t.Plan.Unique) == 0 && m == ifOlder {
		if err := t.putOverOlder(ctx, e, v.At); !dynamo.IsConditionFailed(err) {
			return err
		}
	}
	_, err = t.apply(ctx, e, v.At, m)
	return err
}

// putOverOlder puts a version where nothing stands, or what the migration wrote of an earlier
// epoch or time, without a look before it.
func (t *Tables) putOverOlder(ctx context.Context, e Entry, at stamp.ClusterTime) error {
	put, c := t.replacePut(e, nil, at), &condition{}
	c.absent(t.Plan.Codec().KeyAttribute())
	c.older(t.epoch(), at)
	put.ConditionExpression, put.ExpressionAttributeNames, put.ExpressionAttributeValues = c.either(), c.names, c.values
	return t.writeTogether(ctx, []types.TransactWriteItem{{Put: put}})
}

// apply returns the item that it found, nil for none.
func (t *Tables) apply(ctx context.Context, e Entry, at stamp.ClusterTime, m mode) (old codec.Item, err error) {
	for i := range maxConflicts {
		old, err = t.applyOnce(ctx, e, at, m)
		if !dynamo.IsConditionFailed(err) {
			return old, err
		}
		if err := retry.Wait(ctx, min(i, 4)); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("write document %s: other writers changed it %d times in a row; try again: %w", codec.Show(e.ID), maxConflicts, err)
}

// applyOnce makes one attempt.
func (t *Tables) applyOnce(ctx context.Context, e Entry, at stamp.ClusterTime, m mode) (codec.Item, error) {
	items, entries, err := t.Get(ctx, nonNil(e.Key), nonEmpty(e.Unique))
	if err != nil {
		return nil, err
	}
	s := &standing{key: e.Key, item: items[keyText(e.Key)]}
	if n := t.Plan.Lookup(); n >= 0 {
		if s, err = t.stand(ctx, e.Unique[n], entries[n][e.Unique[n]], items); err != nil {
			return nil, err
		}
	}
	old, inPlace := s.version(), items[keyText(e.Key)]
	for _, there := range []codec.Item{old, inPlace} { // most often the same
		if is := stamp.Of(there); m == onlyAbsent && (is.HasEpoch || is.HasTime) {
			return there, nil
		}
		if err := t.mayReplace(e, there, m); err != nil {
			return there, err
		}
	}
	switch seen := stamp.Of(old); {
	case seen.Epoch < t.epoch():
	case seen.Time > at, seen.Time == at && m == ifOlder && sameContent(e, old):
		return old, nil
	case seen.Time == at && m == ifOlder:
		return old, fmt.Errorf("document %s: %w", codec.Show(e.ID), side.ErrSameTime)
	}
	writes, err := t.replaceWrites(ctx, e, s, inPlace, entries, at)
	if err != nil {
		return nil, err
	}
	return old, t.writeTogether(ctx, writes)
}

// mayReplace fails where the owner, or somebody else, has written an item.
func (t *Tables) mayReplace(e Entry, item codec.Item, m mode) error {
	seen := stamp.Of(item)
	switch {
	case item == nil:
	case t.isOwners(seen):
		return fmt.Errorf("document %s: %w", codec.Show(e.ID), side.ErrServiceOwned)
	case !seen.HasTime && !seen.HasEpoch && m != anyItem:
		return fmt.Errorf("document %s: %w; empty the table %s, or name another in the plan", codec.Show(e.ID), side.ErrOutOfBand, t.Plan.Target.Table)
	}
	return nil
}

// replaceWrites puts a version of a document in the place of exactly what was read: of its
// item, which may have another key, of inPlace, which has its new key, and of entries.
func (t *Tables) replaceWrites(ctx context.Context, e Entry, s *standing, inPlace codec.Item, entries []map[string]codec.Item,
	at stamp.ClusterTime) ([]types.TransactWriteItem, error) {
	wanted := e.Unique
	if e.Item == nil {
		wanted = make([]string, len(t.Plan.Unique))
	}
	var writes []types.TransactWriteItem
	put := func(e Entry, old codec.Item) {
		writes = append(writes, types.TransactWriteItem{Put: t.replacePut(e, old, at)})
	}
	if e.Key != nil {
		put(e, inPlace)
	}
	if s.item != nil && keyText(s.key) != keyText(e.Key) {
		put(Entry{Key: s.key}, s.item)
	}
	unique, err := t.uniqueWrites(ctx, keyText(s.key), keyText(e.Key), t.heldBy(s.item), wanted, entries, at)
	stays := e.Key
	if e.Item == nil {
		stays = nil
	}
	return slices.Concat(writes, unique, t.writeLookup(s, stays, at)), err
}

func nonNil(key types.AttributeValue) []types.AttributeValue {
	if key == nil {
		return nil
	}
	return []types.AttributeValue{key}
}

func sameContent(e Entry, item codec.Item) bool {
	if stamp.Of(item).Tombstone || e.Item == nil {
		return stamp.Of(item).Tombstone == (e.Item == nil)
	}
	return codec.Same(e.Item, item)
}

func nonEmpty(values []string) [][]string {
	all := make([][]string, len(values))
	for i, v := range values {
		if v != "" {
			all[i] = []string{v}
		}
	}
	return all
}

// replacePut puts the new item, or the tombstone, in the place of exactly the old.
func (t *Tables) replacePut(e Entry, old codec.Item, at stamp.ClusterTime) *types.Put {
	item := e.Item
	if item == nil {
		item = t.itemKey(e.Key)
		stamp.Put(item, t.epoch(), at, true)
	}
	c := t.itemUnchanged(old)
	return &types.Put{TableName: &t.Plan.Target.Table, Item: item, ConditionExpression: c.expression(),
		ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values}
}

// itemUnchanged requires that an item is still as it was read: absent, or of the same
// epoch and time, and with the same unique values. That does not tell versions apart that the
// service wrote in one epoch: where they may be replaced, that epoch is over.
func (t *Tables) itemUnchanged(old codec.Item) *condition {
	c := &condition{}
	if old == nil {
		return c.absent(t.Plan.Codec().KeyAttribute())
	}
	c.stamp(old, stamp.Time, stamp.Epoch, stamp.Tombstone)
	asked := map[string]bool{}
	for i := range t.Plan.Unique {
		for _, field := range t.Plan.Unique[i].Reads() {
			if name := t.Plan.Codec().Attribute(field); !asked[name] {
				asked[name] = true
				c.same(name, old[name])
			}
		}
	}
	return c
}

// writeTogether writes one put alone, or several writes as one transaction.
func (t *Tables) writeTogether(ctx context.Context, writes []types.TransactWriteItem) error {
	return retry.Do(ctx, "write to "+t.Plan.Target.Table, func(ctx context.Context) error { return t.writeOnce(ctx, writes) })
}

// writeOnce is one attempt of writeTogether.
func (t *Tables) writeOnce(ctx context.Context, writes []types.TransactWriteItem) error {
	if len(writes) == 1 && writes[0].Put != nil {
		p := writes[0].Put
		_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: p.TableName, Item: p.Item, ConditionExpression: p.ConditionExpression,
			ExpressionAttributeNames: p.ExpressionAttributeNames, ExpressionAttributeValues: p.ExpressionAttributeValues}, t.ofWrites...)
		return err
	}
	_, err := t.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes}, t.ofWrites...)
	return err
}
