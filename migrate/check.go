package migrate

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// Mismatch is one difference between the stores.
type Mismatch struct {
	ID       string `json:"id"`   // of the document, or the unique value
	Kind     string `json:"kind"` // one of the Mismatch... constants
	Detail   string `json:"detail,omitempty"`
	Repaired bool   `json:"repaired,omitempty"`

	id    bson.RawValue
	value string // of a unique entry
	table int    // which constraint
}

// Kinds of mismatches.
const (
	MismatchMissing   = "missing"          // in MongoDB, not in DynamoDB
	MismatchExtra     = "extra"            // in DynamoDB, not in MongoDB
	MismatchDifferent = "different"        // in both, not the same
	MismatchUnique    = "unique-wrong"     // a unique value has no entry, or another's
	MismatchLeftover  = "unique-left-over" // an entry whose owner does not have the value
)

// comparePage is how many documents are compared by one request to DynamoDB,
// which takes 100 keys, unique entries among them.
func (t *target) comparePage() int { return 100 / (1 + len(t.plan.Unique)) }

// compare checks documents against what the target holds; docs has those that
// exist, by idText, and ids all that shall be looked at.
func (t *target) compare(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]Mismatch, error) {
	var all []Mismatch
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

func (t *target) comparePart(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]Mismatch, error) {
	var bad []Mismatch
	var entries []entry
	var keys []types.AttributeValue
	unique := make([][]string, len(t.plan.Unique))
	asked := map[string]bool{}
	for _, id := range ids {
		e, problem := t.expected(id, docs[idText(id)])
		if problem != nil {
			bad = append(bad, *problem)
			continue
		}
		entries, keys = append(entries, e), append(keys, e.key)
		for i, v := range e.unique {
			if v != "" && !asked[t.plan.Unique[i].Table+v] {
				asked[t.plan.Unique[i].Table+v] = true
				unique[i] = append(unique[i], v)
			}
		}
	}
	items, held, err := t.get(ctx, keys, unique)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		bad = append(bad, t.differences(e, docs[idText(e.id)], items[keyText(e.key)], held)...)
	}
	return bad, nil
}

// expected is the entry a document should have; with no item for none.
func (t *target) expected(id bson.RawValue, doc bson.Raw) (entry, *Mismatch) {
	if doc == nil {
		key, err := t.codec.Key(id)
		if err != nil {
			return entry{}, &Mismatch{ID: codec.Show(id), Kind: MismatchDifferent, Detail: err.Error(), id: id}
		}
		return entry{id: id, key: key, unique: make([]string, len(t.plan.Unique))}, nil
	}
	e, err := t.encode(doc, 0)
	if err != nil {
		return entry{}, &Mismatch{ID: codec.Show(id), Kind: MismatchMissing, Detail: err.Error(), id: id}
	}
	return e, nil
}

func (t *target) differences(e entry, doc bson.Raw, item codec.Item, held []map[string]codec.Item) []Mismatch {
	bad := func(kind, detail string) Mismatch {
		return Mismatch{ID: codec.Show(e.id), Kind: kind, Detail: detail, id: e.id}
	}
	there := item != nil && !stampsOf(item).dead
	switch {
	case doc == nil && there:
		return []Mismatch{bad(MismatchExtra, "not in MongoDB")}
	case doc == nil:
		return nil
	case !there:
		return []Mismatch{bad(MismatchMissing, "not in DynamoDB")}
	}
	var all []Mismatch
	if !t.equal(e.item, doc, item) {
		all = append(all, bad(MismatchDifferent, t.firstDifference(e.item, item)))
	}
	for i, v := range e.unique {
		if v != "" && keyText(held[i][v]["owner"]) != keyText(e.key) {
			m := bad(MismatchUnique, fmt.Sprintf("%s is held by %q", v, keyText(held[i][v]["owner"])))
			m.value, m.table = v, i
			all = append(all, m)
		}
	}
	return all
}

// equal compares by encoding anew, and where that differs by decoding: the
// compressed form of a field may vary.
func (t *target) equal(want codec.Item, doc bson.Raw, item codec.Item) bool {
	if codec.Same(want, item) {
		return true
	}
	back, err := t.codec.Decode(item)
	return err == nil && bytes.Equal(back, doc) && len(want) == len(item)
}

func (t *target) firstDifference(want, got codec.Item) string {
	for name, v := range want {
		if name != codec.Reserved && !codec.Same(codec.Item{"v": v}, codec.Item{"v": got[name]}) {
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

// checkNow compares documents as they are at this moment on both sides. A
// document that changed while it was looked at is returned as unstable instead
// of as a mismatch.
func (e *Engine) checkNow(ctx context.Context, ids []bson.RawValue, epoch int64) (bad []Mismatch, unstable []bson.RawValue, err error) {
	before, err := e.source.current(ctx, ids, epoch)
	if err != nil {
		return nil, nil, err
	}
	found, err := e.target.compare(ctx, ids, before)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	suspects := suspectIDs(found)
	after, err := e.source.current(ctx, suspects, epoch)
	if err != nil {
		return nil, nil, err
	}
	moved := map[string]bool{}
	for _, id := range suspects {
		if !bytes.Equal(before[idText(id)], after[idText(id)]) {
			moved[idText(id)] = true
			unstable = append(unstable, id)
		}
	}
	for _, m := range found {
		if !moved[idText(m.id)] {
			bad = append(bad, m)
		}
	}
	return bad, unstable, nil
}

func suspectIDs(found []Mismatch) []bson.RawValue {
	seen := map[string]bool{}
	var ids []bson.RawValue
	for _, m := range found {
		if k := idText(m.id); !m.id.IsZero() && !seen[k] {
			seen[k] = true
			ids = append(ids, m.id)
		}
	}
	return ids
}

// checkLeftovers compares unique entries with the items they name, and returns
// those whose item does not have the value. Entries is of one constraint.
func (t *target) checkLeftovers(ctx context.Context, constraint int, entries []codec.Item) ([]Mismatch, error) {
	var keys []types.AttributeValue
	seen := map[string]bool{}
	for _, entry := range entries {
		owner := keyText(entry["owner"])
		if key := t.keyOf(owner); owner != "" && !seen[owner] {
			seen[owner] = true
			keys = append(keys, key)
		}
	}
	items, _, err := t.get(ctx, keys, nil)
	if err != nil {
		return nil, err
	}
	var bad []Mismatch
	for _, entry := range entries {
		value, owner := keyText(entry["value"]), keyText(entry["owner"])
		item := items[owner]
		values, err := t.uniqueOf(item)
		if err == nil && item != nil && !stampsOf(item).dead && values[constraint] == value {
			continue
		}
		bad = append(bad, Mismatch{ID: value, Kind: MismatchLeftover, Detail: fmt.Sprintf("its owner %q does not have it", owner), value: value, table: constraint})
	}
	return bad, nil
}

// keyOf turns an owner's text back into a key attribute.
func (t *target) keyOf(text string) types.AttributeValue {
	if k := t.plan.Target.Key.Type; k == codec.TypeInt32 || k == codec.TypeInt64 {
		return &types.AttributeValueMemberN{Value: text}
	}
	return str(text)
}
