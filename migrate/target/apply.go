package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// maxConflicts bounds the attempts to write one document that others write too.
const maxConflicts = 30

// Mode chooses which items [Tables.Apply] may replace. It never replaces an item that the
// service wrote.
type Mode int

const (
	// IfOlder replaces what carries an older time.
	IfOlder Mode = iota
	// AnyItem also replaces items without a time. For repairs.
	AnyItem
	onlyAbsent // replaces nothing
)

// Apply writes one document unless the item in its place is newer: e as of at or, with
// a nil item, its tombstone. It is conditional on the very item it read, so of two
// appliers one retries; unique entries change in the same transaction. It fails with
// ErrServiceOwned where the service has written already.
func (t *Tables) Apply(ctx context.Context, e Entry, at stamp.ClusterTime, mode Mode) error {
	_, err := t.apply(ctx, e, at, mode)
	return err
}

// apply returns the item that it found, nil for none.
func (t *Tables) apply(ctx context.Context, e Entry, at stamp.ClusterTime, mode Mode) (old codec.Item, err error) {
	for i := range maxConflicts {
		old, err = t.applyOnce(ctx, e, at, mode)
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
func (t *Tables) applyOnce(ctx context.Context, e Entry, at stamp.ClusterTime, mode Mode) (codec.Item, error) {
	wanted := e.Unique
	if e.Item == nil {
		wanted = make([]string, len(t.Plan.Unique))
	}
	items, entries, err := t.Get(ctx, []types.AttributeValue{e.Key}, nonEmpty(wanted))
	if err != nil {
		return nil, err
	}
	old := items[keyText(e.Key)]
	seen := stamp.Of(old)
	switch {
	case mode == onlyAbsent && old != nil && (seen.HasEpoch || seen.HasTime):
		return old, nil
	case seen.HasEpoch:
		return old, fmt.Errorf("document %s: %w", codec.Show(e.ID), ErrServiceOwned)
	case old != nil && !seen.HasTime && mode != AnyItem:
		return old, fmt.Errorf("document %s: %w; empty the table %s, or name another in the plan", codec.Show(e.ID), ErrOutOfBand, t.Plan.Target.Table)
	case old != nil && seen.Time > at:
		return old, nil
	}
	writes, err := t.uniqueWrites(ctx, e, old, wanted, entries, at)
	if err != nil {
		return nil, err
	}
	writes = append([]types.TransactWriteItem{{Put: t.replacePut(e, old, seen, at)}}, writes...)
	return old, t.writeTogether(ctx, writes)
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
func (t *Tables) replacePut(e Entry, old codec.Item, seen stamp.Stamp, at stamp.ClusterTime) *types.Put {
	item := e.Item
	if item == nil {
		item = t.itemKey(e.Key)
		stamp.Put(item, at, true)
	}
	put := &types.Put{TableName: &t.Plan.Target.Table, Item: item}
	if old == nil {
		put.ConditionExpression = aws.String("attribute_not_exists(#pk)")
		put.ExpressionAttributeNames = map[string]string{"#pk": t.Plan.Codec().KeyAttribute()}
		return put
	}
	if !seen.HasTime { // an out-of-band item, under repair
		put.ConditionExpression = aws.String("attribute_not_exists(#b.#t) AND attribute_not_exists(#b.#e)")
		put.ExpressionAttributeNames = map[string]string{"#b": stamp.Attribute, "#t": stamp.Time, "#e": stamp.Epoch}
		return put
	}
	put.ConditionExpression = aws.String("#b.#t = :seen AND attribute_not_exists(#b.#e)")
	put.ExpressionAttributeNames = map[string]string{"#b": stamp.Attribute, "#t": stamp.Time, "#e": stamp.Epoch}
	put.ExpressionAttributeValues = map[string]types.AttributeValue{":seen": seen.Time.Value()}
	return put
}

// uniqueWrites releases the values of the old item and claims those of the new. A value
// that another document claimed at a later time stays with it: this document has a later
// change, still to be applied, that gives the value up.
func (t *Tables) uniqueWrites(ctx context.Context, e Entry, old codec.Item, wanted []string, entries []map[string]codec.Item,
	at stamp.ClusterTime) ([]types.TransactWriteItem, error) {
	var writes []types.TransactWriteItem
	held := make([]string, len(wanted))
	if old != nil && !stamp.Of(old).Tombstone {
		var err error
		if held, err = t.uniqueOf(old); err != nil {
			return nil, err
		}
	}
	owner := keyText(e.Key)
	for i, u := range t.Plan.Unique {
		if held[i] != "" && held[i] != wanted[i] {
			release, err := t.releaseUnique(ctx, i, held[i], owner)
			if err != nil {
				return nil, err
			}
			writes = append(writes, release...)
		}
		if wanted[i] == "" {
			continue
		}
		claim, err := t.claimUnique(u.Table, wanted[i], owner, entries[i][wanted[i]], at)
		if err != nil {
			return nil, err
		}
		writes = append(writes, claim...)
	}
	return writes, nil
}

func (t *Tables) releaseUnique(ctx context.Context, constraint int, value, owner string) ([]types.TransactWriteItem, error) {
	values := make([][]string, len(t.Plan.Unique))
	values[constraint] = []string{value}
	_, entries, err := t.Get(ctx, nil, values)
	if err != nil {
		return nil, err
	}
	held := entries[constraint][value]
	if held == nil || keyText(held["owner"]) != owner || stamp.Of(held).HasEpoch {
		return nil, nil
	}
	return []types.TransactWriteItem{{Delete: &types.Delete{TableName: &t.Plan.Unique[constraint].Table, Key: uniqueKey(value),
		ConditionExpression:       aws.String("#owner = :owner AND attribute_not_exists(#b.#e)"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner", "#b": stamp.Attribute, "#e": stamp.Epoch},
		ExpressionAttributeValues: map[string]types.AttributeValue{":owner": dynamo.String(owner)}}}}, nil
}

func (t *Tables) claimUnique(table, value, owner string, held codec.Item, at stamp.ClusterTime) ([]types.TransactWriteItem, error) {
	seen := stamp.Of(held)
	switch {
	case seen.HasEpoch:
		return nil, fmt.Errorf("unique value %q: %w", value, ErrServiceOwned)
	case held != nil && (keyText(held["owner"]) == owner || seen.Time > at):
		return nil, nil
	}
	put := claimAbsent(table, value, owner, at)
	if held != nil {
		put.ConditionExpression = aws.String("#owner = :other AND #b.#t = :seen AND attribute_not_exists(#b.#e)")
		put.ExpressionAttributeNames = map[string]string{"#owner": "owner", "#b": stamp.Attribute, "#t": stamp.Time, "#e": stamp.Epoch}
		put.ExpressionAttributeValues = map[string]types.AttributeValue{":other": held["owner"], ":seen": seen.Time.Value()}
	}
	return []types.TransactWriteItem{{Put: put}}, nil
}

func claimAbsent(table, value, owner string, at stamp.ClusterTime) *types.Put {
	item := codec.Item{"value": dynamo.String(value), "owner": dynamo.String(owner)}
	stamp.Put(item, at, false)
	return &types.Put{TableName: &table, Item: item, ConditionExpression: aws.String("attribute_not_exists(#value)"),
		ExpressionAttributeNames: map[string]string{"#value": "value"}}
}

// writeTogether writes one put alone, or several writes as one transaction.
func (t *Tables) writeTogether(ctx context.Context, writes []types.TransactWriteItem) error {
	return retry.Do(ctx, "write to "+t.Plan.Target.Table, func(ctx context.Context) error {
		if len(writes) == 1 && writes[0].Put != nil {
			p := writes[0].Put
			_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: p.TableName, Item: p.Item, ConditionExpression: p.ConditionExpression,
				ExpressionAttributeNames: p.ExpressionAttributeNames, ExpressionAttributeValues: p.ExpressionAttributeValues})
			return err
		}
		_, err := t.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
		return err
	})
}

// Bounds of one transaction of the backfill: DynamoDB accepts 100 items and 4 MB.
const (
	maxBatchDocs  = 25
	maxBatchBytes = 3 << 20
)

// Batches divides entries so that each batch fits one transaction and touches no
// unique value twice.
func (t *Tables) Batches(all []Entry) [][]Entry {
	var out [][]Entry
	most := min(maxBatchDocs, 100/(1+len(t.Plan.Unique)))
	var batch []Entry
	size, seen := 0, map[string]bool{}
	for _, e := range all {
		clash := false
		for i, v := range e.Unique {
			clash = clash || v != "" && seen[t.Plan.Unique[i].Table+v]
		}
		if len(batch) > 0 && (clash || len(batch) == most || size+e.Size > maxBatchBytes) {
			out, batch, size = append(out, batch), nil, 0
			clear(seen)
		}
		batch, size = append(batch, e), size+e.Size
		for i, v := range e.Unique {
			seen[t.Plan.Unique[i].Table+v] = true
		}
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// PutAbsent copies a batch: each document only if no item, not even a tombstone,
// is there. It writes all in one transaction first, and those that a condition refused
// one by one. With fresh it also replaces items that are older than the copy: a
// migration that was restarted finds the items of the one before.
func (t *Tables) PutAbsent(ctx context.Context, batch []Entry, at stamp.ClusterTime, fresh bool) error {
	for len(batch) > 0 {
		if len(batch) == 1 && len(t.Plan.Unique) > 0 || len(t.Plan.Unique) == 0 {
			return t.putEachAbsent(ctx, batch, at, fresh)
		}
		err := t.writeTogether(ctx, t.absentWrites(batch, at))
		if err == nil {
			return nil
		}
		if !dynamo.IsConditionFailed(err) {
			return err
		}
		rest, refused := t.splitRefused(batch, err)
		if len(refused) == 0 {
			return err
		}
		if err := t.putEachAbsent(ctx, refused, at, fresh); err != nil {
			return err
		}
		batch = rest
	}
	return nil
}

func (t *Tables) absentWrites(batch []Entry, at stamp.ClusterTime) []types.TransactWriteItem {
	var writes []types.TransactWriteItem
	for _, e := range batch {
		writes = append(writes, types.TransactWriteItem{Put: t.replacePut(e, nil, stamp.Stamp{}, at)})
		for i, v := range e.Unique {
			if v != "" {
				writes = append(writes, types.TransactWriteItem{Put: claimAbsent(t.Plan.Unique[i].Table, v, keyText(e.Key), at)})
			}
		}
	}
	return writes
}

// splitRefused divides a cancelled batch into the entries whose conditions held and
// those whose conditions failed.
func (t *Tables) splitRefused(batch []Entry, err error) (rest, refused []Entry) {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return nil, batch
	}
	at := 0
	for _, e := range batch {
		writes := 1
		for _, v := range e.Unique {
			if v != "" {
				writes++
			}
		}
		bad := false
		for i := at; i < at+writes && i < len(cancelled.CancellationReasons); i++ {
			code := aws.ToString(cancelled.CancellationReasons[i].Code)
			bad = bad || code != "" && code != "None"
		}
		if at += writes; bad {
			refused = append(refused, e)
		} else {
			rest = append(rest, e)
		}
	}
	return rest, refused
}

// putEachAbsent copies documents one by one.
func (t *Tables) putEachAbsent(ctx context.Context, batch []Entry, at stamp.ClusterTime, fresh bool) error {
	for _, e := range batch {
		if err := t.putOneAbsent(ctx, e, at, fresh); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tables) putOneAbsent(ctx context.Context, e Entry, at stamp.ClusterTime, fresh bool) error {
	mode := onlyAbsent
	if fresh {
		mode = IfOlder
	}
	old, err := t.apply(ctx, e, at, mode)
	if errors.Is(err, ErrServiceOwned) && old != nil {
		return nil
	}
	return err
}
