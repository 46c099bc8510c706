package target

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// maxGet is how many keys DynamoDB accepts in one request.
const maxGet = 100

// comparePage is how many documents are compared by one request, unique entries included.
func (t *Tables) comparePage() int { return maxGet / (1 + len(t.Plan.Unique)) }

// Compare compares documents with what the target holds. ids are those to compare; docs
// has those that exist, by side.IDKey.
func (t *Tables) Compare(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]side.Mismatch, error) {
	var all []side.Mismatch
	for len(ids) > 0 {
		n := min(len(ids), t.comparePage())
		found, err := t.comparePart(ctx, ids[:n], docs)
		if err != nil {
			return nil, err
		}
		all, ids = append(all, found...), ids[n:]
	}
	return all, nil
}

func (t *Tables) comparePart(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]side.Mismatch, error) {
	deleted, err := t.keysOfDeleted(ctx, ids, docs)
	if err != nil {
		return nil, err
	}
	var bad []side.Mismatch
	var entries []Entry
	var keys []types.AttributeValue
	unique := make([][]string, len(t.Plan.Unique))
	asked := map[string]bool{}
	for _, id := range ids {
		e, problem := t.expected(id, docs[side.IDKey(id)])
		if problem != nil {
			bad = append(bad, *problem)
			continue
		}
		if e.Item == nil {
			e.Key = deleted[side.IDKey(id)]
		}
		entries, keys = append(entries, e), append(keys, nonNil(e.Key)...)
		for i, v := range e.Unique {
			if v != "" && !asked[t.Plan.Unique[i].Table+v] {
				asked[t.Plan.Unique[i].Table+v] = true
				unique[i] = append(unique[i], v)
			}
		}
	}
	items, held, err := t.Get(ctx, keys, unique)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		bad = append(bad, t.differencesOf(e, docs[side.IDKey(e.ID)], items[keyText(e.Key)], held)...)
	}
	return bad, nil
}

// keysOfDeleted are the keys of the items that those documents have which do not exist.
func (t *Tables) keysOfDeleted(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) (map[string]types.AttributeValue, error) {
	return t.Keys(ctx, slices.DeleteFunc(slices.Clone(ids), func(id bson.RawValue) bool { return docs[side.IDKey(id)] != nil }))
}

// expected returns the entry that a document should have, without an item when there is
// no document.
func (t *Tables) expected(id bson.RawValue, doc bson.Raw) (Entry, *side.Mismatch) {
	if doc == nil {
		e, err := t.deleted(id)
		if err != nil {
			return Entry{}, &side.Mismatch{ID: codec.Show(id), Kind: side.MismatchDifferent, Detail: err.Error(), DocumentID: id}
		}
		clear(e.Unique)
		return e, nil
	}
	e, err := t.Encode(doc, 0)
	if err != nil {
		return Entry{}, &side.Mismatch{ID: codec.Show(id), Kind: side.MismatchMissing, Detail: err.Error(), DocumentID: id}
	}
	return e, nil
}

func (t *Tables) differencesOf(e Entry, doc bson.Raw, item codec.Item, held []map[string]codec.Item) []side.Mismatch {
	bad := func(kind, detail string) side.Mismatch {
		return side.Mismatch{ID: codec.Show(e.ID), Kind: kind, Detail: detail, DocumentID: e.ID}
	}
	there := item != nil && !stamp.Of(item).Tombstone
	switch {
	case doc == nil && there:
		return []side.Mismatch{bad(side.MismatchExtra, "not in MongoDB")}
	case doc == nil:
		return nil
	case item == nil && t.expired(e.Item):
		return nil // DynamoDB was faster
	case !there:
		return []side.Mismatch{bad(side.MismatchMissing, "not in DynamoDB")}
	}
	var all []side.Mismatch
	if !t.equal(e.Item, doc, item) {
		all = append(all, bad(side.MismatchDifferent, t.firstDifference(e.Item, item)))
	}
	for i, v := range e.Unique {
		if v != "" && keyText(held[i][v][entryOwner]) != keyText(e.Key) {
			m := bad(side.MismatchUnique, fmt.Sprintf("%s is held by %q", v, keyText(held[i][v][entryOwner])))
			m.UniqueValue, m.Constraint = v, i
			all = append(all, m)
		}
	}
	return all
}

// equal compares the encoded items, and where those differ the decoded ones: the
// compressed form of a field may vary, and a service keeps hints that no longer fit.
func (t *Tables) equal(want codec.Item, doc bson.Raw, item codec.Item) bool {
	if codec.Same(want, item) {
		return true
	}
	back, err := t.Plan.Codec().Read(item)
	return err == nil && bytes.Equal(back, t.Plan.Codec().Kept(doc)) && len(want) == len(item)
}

func (t *Tables) firstDifference(want, got codec.Item) string {
	for name, v := range want {
		if name != stamp.Attribute && !codec.Same(codec.Item{"v": v}, codec.Item{"v": got[name]}) {
			return fmt.Sprintf("attribute %q", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Sprintf("attribute %q is not in MongoDB", name)
		}
	}
	return "hints of the codec"
}

// compareUnique compares unique entries with the items they name, and returns those that
// name one which does not have the value. Entries is of one constraint.
func (t *Tables) compareUnique(ctx context.Context, constraint int, entries []codec.Item) ([]side.Mismatch, error) {
	holds, err := t.itemsOf(ctx, entries)
	if err != nil {
		return nil, err
	}
	var bad []side.Mismatch
	for _, entry := range entries {
		if stamp.Of(entry).Tombstone { // of a value that the service gave up
			continue
		}
		value, h := keyText(entry[entryValue]), holdersOf(entry)
		for owner := range h {
			if t.heldBy(holds[owner])[constraint] == value {
				delete(h, owner)
			}
		}
		if wrong := h.owner(); len(h) > 0 || entry[entryOwner] == nil {
			bad = append(bad, side.Mismatch{ID: value, Kind: side.MismatchLeftover, Detail: fmt.Sprintf("it names %q, which does not have it", wrong),
				UniqueValue: value, Constraint: constraint})
		}
	}
	return bad, nil
}

// CompareLeftovers looks again at unique entries that were found left over, and at items that
// were found misplaced, and returns those that still are. Other mismatches it passes over.
func (t *Tables) CompareLeftovers(ctx context.Context, found []side.Mismatch) ([]side.Mismatch, error) {
	var all []side.Mismatch
	for texts := range slices.Chunk(valuesOf(found, side.MismatchMisplaced, t.Plan.Lookup()), maxGet) {
		bad, err := t.compareMisplaced(ctx, texts)
		if err != nil {
			return nil, err
		}
		all = append(all, bad...)
	}
	for i := range t.Plan.Unique {
		for values := range slices.Chunk(valuesOf(found, side.MismatchLeftover, i), maxGet) {
			ask := make([][]string, len(t.Plan.Unique))
			ask[i] = values
			_, held, err := t.Get(ctx, nil, ask)
			if err != nil {
				return nil, err
			}
			bad, err := t.compareUnique(ctx, i, slices.Collect(maps.Values(held[i])))
			if err != nil {
				return nil, err
			}
			all = append(all, bad...)
		}
	}
	return all, nil
}

// valuesOf returns the values of mismatches of a kind under a constraint, each once.
func valuesOf(found []side.Mismatch, kind string, constraint int) []string {
	var values []string
	for _, m := range found {
		if m.Kind == kind && m.Constraint == constraint {
			values = append(values, m.UniqueValue)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// itemsOf reads the items that unique entries name, by key.
func (t *Tables) itemsOf(ctx context.Context, entries []codec.Item) (map[string]codec.Item, error) {
	items := map[string]codec.Item{}
	for _, entry := range entries {
		for owner := range holdersOf(entry) {
			items[owner] = nil
		}
	}
	for owners := range slices.Chunk(slices.Collect(maps.Keys(items)), maxGet) {
		var keys []types.AttributeValue
		for _, owner := range owners {
			keys = append(keys, t.ownerKey(owner))
		}
		found, _, err := t.Get(ctx, keys, nil)
		if err != nil {
			return nil, err
		}
		maps.Copy(items, found)
	}
	return items, nil
}

// ownerKey turns an owner's text back into a key attribute.
func (t *Tables) ownerKey(text string) types.AttributeValue { return t.Plan.Codec().KeyOfText(text) }
