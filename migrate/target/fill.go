package target

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Bounds of one transaction: DynamoDB accepts 100 items and 4 MB.
const (
	maxTransaction = 100
	maxBatchBytes  = 3 << 20
)

// Batches encodes documents as of at, and divides them so that each batch fits one
// request and touches no key and no unique value twice. It leaves out the documents that do
// not fit, and returns them.
func (t *Tables) Batches(docs []bson.Raw, at stamp.ClusterTime) ([]side.Batch, []*side.Misfit, error) {
	entries := make([]Entry, 0, len(docs))
	var misfits []*side.Misfit
	for _, doc := range docs {
		e, err := t.Encode(doc, at)
		if m, misfit := errors.AsType[*side.Misfit](err); misfit {
			misfits = append(misfits, m)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
	}
	divided := t.divide(entries)
	all := make([]side.Batch, 0, len(divided))
	for _, b := range divided {
		all = append(all, batch{tables: t, entries: b, at: at})
	}
	return all, misfits, nil
}

// batch is what the backfill writes at once.
type batch struct {
	tables  *Tables
	entries []Entry
	at      stamp.ClusterTime
}

// Size implements side.Batch.
func (b batch) Size() int {
	size := 0
	for _, e := range b.entries {
		size += e.Size
	}
	return size
}

// Fill implements side.Batch. It writes all at once first, and those that are refused one
// by one.
func (b batch) Fill(ctx context.Context, fresh bool) error {
	return b.tables.putAbsent(ctx, b, fresh)
}

func (t *Tables) divide(all []Entry) [][]Entry {
	var out [][]Entry
	most := maxTransaction / (1 + len(t.Plan.Unique))
	if t.insertable() {
		most = maxInserts
	}
	var batch []Entry
	type written struct{ table, key string }
	size, seen := 0, map[written]bool{}
	for _, e := range all {
		key := written{t.Plan.Target.Table, keyText(e.Key)}
		clash := seen[key]
		for i, v := range e.Unique {
			clash = clash || v != "" && seen[written{t.Plan.Unique[i].Table, v}]
		}
		if len(batch) > 0 && (clash || len(batch) == most || size+e.Size > maxBatchBytes) {
			out, batch, size = append(out, batch), nil, 0
			clear(seen)
		}
		batch, size = append(batch, e), size+e.Size
		seen[key] = true
		for i, v := range e.Unique {
			seen[written{t.Plan.Unique[i].Table, v}] = true
		}
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// absentWrites puts documents where nothing stands, all on one condition, and their unique
// entries, all on another.
func (t *Tables) absentWrites(batch []Entry, at stamp.ClusterTime) []types.TransactWriteItem {
	writes := make([]types.TransactWriteItem, 0, len(batch)*(1+len(t.Plan.Unique)))
	c, entry := t.itemUnchanged(nil), (&condition{}).absent(entryValue)
	absent, entryAbsent := c.expression(), entry.expression()
	for _, e := range batch {
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &t.Plan.Target.Table, Item: e.Item,
			ConditionExpression: absent, ExpressionAttributeNames: c.names}})
		for i, v := range e.Unique {
			if v != "" {
				writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &t.Plan.Unique[i].Table,
					Item: holders{keyText(e.Key): at}.entry(v, t.epoch()), ConditionExpression: entryAbsent, ExpressionAttributeNames: entry.names}})
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

// putEachAbsent copies documents one by one, but for those in whose place something stands
// that a copy leaves alone: of them it looks at all at once. They are many where a copy goes
// on that was interrupted.
func (t *Tables) putEachAbsent(ctx context.Context, batch []Entry, at stamp.ClusterTime, fresh bool) error {
	var there map[string]codec.Item
	if !fresh && len(batch) > 1 {
		keys := make([]types.AttributeValue, 0, len(batch))
		for _, e := range batch {
			keys = append(keys, e.Key)
		}
		var err error
		if there, _, err = t.Get(ctx, keys, nil); err != nil {
			return err
		}
	}
	for _, e := range batch {
		if s := stamp.Of(there[keyText(e.Key)]); s.HasEpoch || s.HasTime {
			continue
		}
		if err := t.putOneAbsent(ctx, e, at, fresh); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tables) putOneAbsent(ctx context.Context, e Entry, at stamp.ClusterTime, fresh bool) error {
	m := onlyAbsent
	if fresh {
		m = ifNotNewer
	}
	old, err := t.apply(ctx, e, at, m)
	if errors.Is(err, side.ErrServiceOwned) && old != nil {
		return nil
	}
	return err
}
