package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// maxConflicts bounds how often one document is tried against other writers.
const maxConflicts = 30

// applyMode says which items may be replaced; what a service wrote never is.
type applyMode int

const (
	ifOlder    applyMode = iota // what carries an older time
	onlyAbsent                  // nothing: whatever is there stays
	anyItem                     // also what carries no time at all: repairs
)

// applied says what became of one change.
type applied struct {
	wrote bool
	old   codec.Item // what was there before, nil for nothing
}

// apply brings one document to the target unless what is there is newer: e as of
// its time, or, with a nil item, its tombstone. It is conditional on the very
// item it saw, so of two appliers one retries; unique entries change in the same
// transaction. ErrServiceOwned where the service has written already.
func (t *target) apply(ctx context.Context, e entry, at clock, mode applyMode) (applied, error) {
	for i := range maxConflicts {
		done, err := t.applyOnce(ctx, e, at, mode)
		if !conditionFailed(err) {
			return done, err
		}
		if err := sleep(ctx, backoff(min(i, 4))); err != nil {
			return applied{}, err
		}
	}
	return applied{}, fmt.Errorf("write document %s: other writers changed it %d times in a row; try again", codec.Show(e.id), maxConflicts)
}

// applyOnce makes one attempt.
func (t *target) applyOnce(ctx context.Context, e entry, at clock, mode applyMode) (applied, error) {
	wanted := e.unique
	if e.item == nil {
		wanted = make([]string, len(t.plan.Unique))
	}
	items, entries, err := t.get(ctx, []types.AttributeValue{e.key}, nonEmpty(wanted))
	if err != nil {
		return applied{}, err
	}
	old := items[keyText(e.key)]
	seen := stampsOf(old)
	switch {
	case mode == onlyAbsent && old != nil && (seen.owned || seen.timed):
		return applied{old: old}, nil
	case seen.owned:
		return applied{old: old}, fmt.Errorf("document %s: %w", codec.Show(e.id), ErrServiceOwned)
	case old != nil && !seen.timed && mode != anyItem:
		return applied{old: old}, fmt.Errorf("document %s: %w; empty the table %s, or name another in the plan", codec.Show(e.id), ErrStranger, t.plan.Target.Table)
	case old != nil && seen.time > at:
		return applied{old: old}, nil
	}
	writes, err := t.uniqueWrites(ctx, e, old, wanted, entries, at)
	if err != nil {
		return applied{}, err
	}
	writes = append([]types.TransactWriteItem{{Put: t.replace(e, old, seen, at)}}, writes...)
	return applied{wrote: true, old: old}, t.commit(ctx, writes)
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

// replace puts the new item, or the tombstone, in the place of exactly the old.
func (t *target) replace(e entry, old codec.Item, seen stamps, at clock) *types.Put {
	item := e.item
	if item == nil {
		item = t.itemKey(e.key)
		stamp(item, at, true)
	}
	put := &types.Put{TableName: &t.plan.Target.Table, Item: item}
	if old == nil {
		put.ConditionExpression = aws.String("attribute_not_exists(#pk)")
		put.ExpressionAttributeNames = map[string]string{"#pk": t.codec.KeyAttribute()}
		return put
	}
	if !seen.timed { // a stranger's item, under repair
		put.ConditionExpression = aws.String("attribute_not_exists(#b.#t) AND attribute_not_exists(#b.#e)")
		put.ExpressionAttributeNames = map[string]string{"#b": codec.Reserved, "#t": stampTime, "#e": stampEpoch}
		return put
	}
	put.ConditionExpression = aws.String("#b.#t = :seen AND attribute_not_exists(#b.#e)")
	put.ExpressionAttributeNames = map[string]string{"#b": codec.Reserved, "#t": stampTime, "#e": stampEpoch}
	put.ExpressionAttributeValues = map[string]types.AttributeValue{":seen": number(seen.time)}
	return put
}

// uniqueWrites releases the values the old item held and claims those of the
// new. A value that another document claimed at a later time is left to it: that
// document's value is the newer truth, and this one's own later change will say
// so.
func (t *target) uniqueWrites(ctx context.Context, e entry, old codec.Item, wanted []string, entries []map[string]codec.Item, at clock) ([]types.TransactWriteItem, error) {
	var writes []types.TransactWriteItem
	held := make([]string, len(wanted))
	if old != nil && !stampsOf(old).dead {
		var err error
		if held, err = t.uniqueOf(old); err != nil {
			return nil, err
		}
	}
	owner := keyText(e.key)
	for i, u := range t.plan.Unique {
		if held[i] != "" && held[i] != wanted[i] {
			release, err := t.release(ctx, i, held[i], owner)
			if err != nil {
				return nil, err
			}
			writes = append(writes, release...)
		}
		if wanted[i] == "" {
			continue
		}
		claim, err := t.claim(u.Table, wanted[i], owner, entries[i][wanted[i]], at)
		if err != nil {
			return nil, err
		}
		writes = append(writes, claim...)
	}
	return writes, nil
}

func (t *target) release(ctx context.Context, constraint int, value, owner string) ([]types.TransactWriteItem, error) {
	values := make([][]string, len(t.plan.Unique))
	values[constraint] = []string{value}
	_, entries, err := t.get(ctx, nil, values)
	if err != nil {
		return nil, err
	}
	held := entries[constraint][value]
	if held == nil || keyText(held["owner"]) != owner || stampsOf(held).owned {
		return nil, nil
	}
	return []types.TransactWriteItem{{Delete: &types.Delete{TableName: &t.plan.Unique[constraint].Table, Key: uniqueKey(value),
		ConditionExpression:       aws.String("#owner = :owner AND attribute_not_exists(#b.#e)"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner", "#b": codec.Reserved, "#e": stampEpoch},
		ExpressionAttributeValues: map[string]types.AttributeValue{":owner": str(owner)}}}}, nil
}

func (t *target) claim(table, value, owner string, held codec.Item, at clock) ([]types.TransactWriteItem, error) {
	seen := stampsOf(held)
	switch {
	case seen.owned:
		return nil, fmt.Errorf("unique value %q: %w", value, ErrServiceOwned)
	case held != nil && (keyText(held["owner"]) == owner || seen.time > at):
		return nil, nil
	}
	put := claimAbsent(table, value, owner, at)
	if held != nil {
		put.ConditionExpression = aws.String("#owner = :other AND #b.#t = :seen AND attribute_not_exists(#b.#e)")
		put.ExpressionAttributeNames = map[string]string{"#owner": "owner", "#b": codec.Reserved, "#t": stampTime, "#e": stampEpoch}
		put.ExpressionAttributeValues = map[string]types.AttributeValue{":other": held["owner"], ":seen": number(seen.time)}
	}
	return []types.TransactWriteItem{{Put: put}}, nil
}

func claimAbsent(table, value, owner string, at clock) *types.Put {
	item := codec.Item{"value": str(value), "owner": str(owner)}
	stamp(item, at, false)
	return &types.Put{TableName: &table, Item: item, ConditionExpression: aws.String("attribute_not_exists(#value)"),
		ExpressionAttributeNames: map[string]string{"#value": "value"}}
}

// commit writes one put alone, or several writes as one transaction.
func (t *target) commit(ctx context.Context, writes []types.TransactWriteItem) error {
	return retry(ctx, "write to "+t.plan.Target.Table, func(ctx context.Context) error {
		if len(writes) == 1 && writes[0].Put != nil {
			p := writes[0].Put
			_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: p.TableName, Item: p.Item, ConditionExpression: p.ConditionExpression,
				ExpressionAttributeNames: p.ExpressionAttributeNames, ExpressionAttributeValues: p.ExpressionAttributeValues})
			return err
		}
		_, err := t.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
		return err
	})
}

// Bounds of one transaction of the backfill: DynamoDB takes 100 items and 4 MB.
const (
	maxBatchDocs  = 25
	maxBatchBytes = 3 << 20
)

// batches divides entries so that each batch fits one transaction and touches no
// unique value twice.
func (t *target) batches(all []entry) [][]entry {
	var out [][]entry
	most := min(maxBatchDocs, 100/(1+len(t.plan.Unique)))
	var batch []entry
	size, seen := 0, map[string]bool{}
	for _, e := range all {
		clash := false
		for i, v := range e.unique {
			clash = clash || v != "" && seen[t.plan.Unique[i].Table+v]
		}
		if len(batch) > 0 && (clash || len(batch) == most || size+e.size > maxBatchBytes) {
			out, batch, size = append(out, batch), nil, 0
			clear(seen)
		}
		batch, size = append(batch, e), size+e.size
		for i, v := range e.unique {
			seen[t.plan.Unique[i].Table+v] = true
		}
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// putAbsent copies a batch: each document only if no item, not even a tombstone,
// is there. Together in one transaction first; what a condition refused is then
// looked at alone.
func (t *target) putAbsent(ctx context.Context, batch []entry, at clock, fresh bool) error {
	for len(batch) > 0 {
		if len(batch) == 1 && len(t.plan.Unique) > 0 || len(t.plan.Unique) == 0 {
			return t.putEach(ctx, batch, at, fresh)
		}
		err := t.commit(ctx, t.absentWrites(batch, at))
		if err == nil {
			return nil
		}
		if !cancelledByCondition(err) {
			return err
		}
		rest, refused := t.refused(batch, err)
		if len(refused) == 0 {
			return err
		}
		if err := t.putEach(ctx, refused, at, fresh); err != nil {
			return err
		}
		batch = rest
	}
	return nil
}

func (t *target) absentWrites(batch []entry, at clock) []types.TransactWriteItem {
	var writes []types.TransactWriteItem
	for _, e := range batch {
		writes = append(writes, types.TransactWriteItem{Put: t.replace(e, nil, stamps{}, at)})
		for i, v := range e.unique {
			if v != "" {
				writes = append(writes, types.TransactWriteItem{Put: claimAbsent(t.plan.Unique[i].Table, v, keyText(e.key), at)})
			}
		}
	}
	return writes
}

// refused divides a cancelled batch into what had no part in it and what had.
func (t *target) refused(batch []entry, err error) (rest, refused []entry) {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return nil, batch
	}
	at := 0
	for _, e := range batch {
		writes := 1
		for _, v := range e.unique {
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

// putEach copies documents one by one, by what is there now. fresh also
// replaces what is older than the copy: a migration begun anew meets the items
// of the one before.
func (t *target) putEach(ctx context.Context, batch []entry, at clock, fresh bool) error {
	for _, e := range batch {
		if err := t.putOne(ctx, e, at, fresh); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) putOne(ctx context.Context, e entry, at clock, fresh bool) error {
	mode := onlyAbsent
	if fresh {
		mode = ifOlder
	}
	for i := range maxConflicts {
		done, err := t.applyOnce(ctx, e, at, mode)
		if errors.Is(err, ErrServiceOwned) && done.old != nil {
			return nil
		}
		if !conditionFailed(err) {
			return err
		}
		if err := sleep(ctx, backoff(min(i, 4))); err != nil {
			return err
		}
	}
	return fmt.Errorf("copy document %s: other writers changed it %d times in a row; try again", codec.Show(e.id), maxConflicts)
}
