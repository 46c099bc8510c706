package target

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Attributes of a unique entry.
const (
	entryValue  = "value"
	entryOwner  = "owner"
	entryOthers = "others"
)

// holders are the documents whose items hold one unique value, by their keys' text, each
// with the time of its claim.
//
// The changes of several documents are applied in any order, so for a while several items
// may hold a value. Its entry names them all: the one with the latest claim as the owner,
// the rest in a map. It changes only in the transaction that changes the item, so at any
// moment the entries are what the items say, and when all changes are applied one holder
// is left, as in the source. Deciding by times alone loses entries: a document that keeps
// a value through several changes claims it once.
type holders map[string]stamp.ClusterTime

func holdersOf(entry codec.Item) holders {
	h := holders{}
	if owner := keyText(entry[entryOwner]); owner != "" {
		h[owner] = stamp.Of(entry).Time
	}
	if others, ok := entry[entryOthers].(*types.AttributeValueMemberM); ok {
		for owner := range others.Value {
			at, _ := strconv.ParseUint(keyText(others.Value[owner]), 10, 64) // 0 is older than any claim
			h[owner] = stamp.ClusterTime(at)
		}
	}
	return h
}

// owner is the document that claimed the value last; the greater key of two that claimed
// it at the same time.
func (h holders) owner() string {
	last := ""
	for owner, at := range h {
		if last == "" || at > h[last] || at == h[last] && owner > last {
			last = owner
		}
	}
	return last
}

// entry is the unique entry that names the holders.
func (h holders) entry(value string, epoch int64) codec.Item {
	owner, others := h.owner(), codec.Item{}
	for other, at := range h {
		if other != owner {
			others[other] = at.Value()
		}
	}
	item := uniqueKey(value)
	item[entryOwner] = dynamo.String(owner)
	stamp.Put(item, epoch, h[owner], false)
	if len(others) > 0 {
		item[entryOthers] = &types.AttributeValueMemberM{Value: others}
	}
	return item
}

// heldBy returns the values that an item holds under the plan's constraints, "" for none.
func (t *Tables) heldBy(item codec.Item) []string {
	held := make([]string, len(t.Plan.Unique))
	if item == nil || stamp.Of(item).Tombstone {
		return held
	}
	for i := range held {
		held[i], _ = t.uniqueValue(i, item) // what cannot be a unique value has no entry
	}
	return held
}

// uniqueWrites releases the values that a document holds by the item of one key and does not
// want, and claims those that it wants by that of another, which most often is the same.
// entries are those of the wanted values. The entry of its _id is not among them.
func (t *Tables) uniqueWrites(ctx context.Context, from, to string, held, wanted []string, entries []map[string]codec.Item,
	at stamp.ClusterTime) ([]types.TransactWriteItem, error) {
	var writes []types.TransactWriteItem
	for i := range t.Plan.Unique {
		if i == t.Plan.Lookup() {
			continue
		}
		if held[i] != "" && held[i] != wanted[i] {
			old, err := t.uniqueEntry(ctx, i, held[i])
			if err != nil {
				return nil, err
			}
			h := holdersOf(old)
			if _, holds := h[from]; holds && !t.isOwners(stamp.Of(old)) {
				delete(h, from)
				writes = append(writes, t.writeHolders(i, held[i], old, h, at))
			}
		}
		if wanted[i] == "" {
			continue
		}
		old := entries[i][wanted[i]]
		h := holdersOf(old)
		_, holds := h[to]
		switch {
		case t.isOwners(stamp.Of(old)):
			return nil, fmt.Errorf("unique value %q: %w", wanted[i], side.ErrServiceOwned)
		case holds && held[i] == wanted[i]:
			continue // neither the item nor the entry changes in this
		}
		if held[i] == wanted[i] {
			delete(h, from)
		}
		h[to] = at
		writes = append(writes, t.writeHolders(i, wanted[i], old, h, at))
	}
	return writes, nil
}

// uniqueEntry reads one entry, nil for none.
func (t *Tables) uniqueEntry(ctx context.Context, constraint int, value string) (codec.Item, error) {
	values := make([][]string, len(t.Plan.Unique))
	values[constraint] = []string{value}
	_, entries, err := t.Get(ctx, nil, values)
	if err != nil {
		return nil, err
	}
	return entries[constraint][value], nil
}

// writeHolders replaces exactly the entry old, nil for none, by one that names h, or
// removes it where h is empty; that of an _id leaves a tombstone as of at.
func (t *Tables) writeHolders(constraint int, value string, old codec.Item, h holders, at stamp.ClusterTime) types.TransactWriteItem {
	c := &condition{}
	if old == nil {
		c.absent(entryValue)
	} else {
		c.stamp(old, stamp.Time, stamp.Epoch).same(entryOwner, old[entryOwner]).same(entryOthers, old[entryOthers])
	}
	table := &t.Plan.Unique[constraint].Table
	entry := h.entry(value, t.epoch())
	if len(h) == 0 && constraint == t.Plan.Lookup() {
		entry = uniqueKey(value)
		stamp.Put(entry, t.epoch(), at, true)
	} else if len(h) == 0 {
		return types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: uniqueKey(value), ConditionExpression: c.expression(),
			ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values}}
	}
	return types.TransactWriteItem{Put: &types.Put{TableName: table, Item: entry, ConditionExpression: c.expression(),
		ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values}}
}

// DeleteLeftover removes from a unique entry that was found left over the documents whose
// items do not have the value, and the entry where none is left, unless the service has
// claimed it.
func (t *Tables) DeleteLeftover(ctx context.Context, m side.Mismatch) error {
	constraint, value := m.Constraint, m.UniqueValue
	if m.Kind == side.MismatchMisplaced {
		return t.removeMisplaced(ctx, value)
	}
	old, err := t.uniqueEntry(ctx, constraint, value)
	if err != nil || old == nil || t.isOwners(stamp.Of(old)) {
		return err
	}
	items, err := t.itemsOf(ctx, []codec.Item{old})
	if err != nil {
		return err
	}
	h := holdersOf(old)
	still := maps.Clone(h)
	writes := []types.TransactWriteItem{{}}
	for owner := range h {
		item := items[owner]
		if t.heldBy(item)[constraint] == value || len(writes) == maxGet { // a transaction accepts as many
			continue
		}
		delete(still, owner)
		c := t.itemUnchanged(item)
		writes = append(writes, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &t.Plan.Target.Table,
			Key: t.itemKey(t.ownerKey(owner)), ConditionExpression: c.expression(),
			ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values}})
	}
	if len(writes) == 1 && len(h) > 0 {
		return nil
	}
	writes[0] = t.writeHolders(constraint, value, old, still, stamp.Of(old).Time)
	err = t.writeTogether(ctx, writes)
	if dynamo.IsConditionFailed(err) {
		return nil // somebody writes there now; what is left over then is found again
	}
	return err
}
