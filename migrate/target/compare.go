package target

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
)

// Mismatch is one difference between the stores.
type Mismatch struct {
	ID       string `json:"id"`   // of the document, or the unique value
	Kind     string `json:"kind"` // one of the Mismatch... constants
	Detail   string `json:"detail,omitempty"`
	Repaired bool   `json:"repaired,omitempty"`

	DocumentID  bson.RawValue `json:"-"` // zero for MismatchLeftover
	UniqueValue string        `json:"-"` // of MismatchUnique and MismatchLeftover
	Constraint  int           `json:"-"` // its index in the plan
}

// Kinds of mismatches.
const (
	MismatchMissing   = "missing"          // in MongoDB, not in DynamoDB
	MismatchExtra     = "extra"            // in DynamoDB, not in MongoDB
	MismatchDifferent = "different"        // in both, not the same
	MismatchUnique    = "unique-wrong"     // a unique value has no entry, or one of another document
	MismatchLeftover  = "unique-left-over" // an entry whose owner does not have the value
)

// comparePage is how many documents are compared by one request to DynamoDB,
// which accepts 100 keys, unique entries included.
func (t *Tables) comparePage() int { return 100 / (1 + len(t.Plan.Unique)) }

// Compare compares documents with what the target holds. ids are those to compare; docs
// has those that exist, by source.IDKey.
func (t *Tables) Compare(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]Mismatch, error) {
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

func (t *Tables) comparePart(ctx context.Context, ids []bson.RawValue, docs map[string]bson.Raw) ([]Mismatch, error) {
	var bad []Mismatch
	var entries []Entry
	var keys []types.AttributeValue
	unique := make([][]string, len(t.Plan.Unique))
	asked := map[string]bool{}
	for _, id := range ids {
		e, problem := t.Expected(id, docs[source.IDKey(id)])
		if problem != nil {
			bad = append(bad, *problem)
			continue
		}
		entries, keys = append(entries, e), append(keys, e.Key)
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
		bad = append(bad, t.differencesOf(e, docs[source.IDKey(e.ID)], items[keyText(e.Key)], held)...)
	}
	return bad, nil
}

// Expected returns the entry that a document should have, without an item when there is
// no document.
func (t *Tables) Expected(id bson.RawValue, doc bson.Raw) (Entry, *Mismatch) {
	if doc == nil {
		key, err := t.Plan.Codec().Key(id)
		if err != nil {
			return Entry{}, &Mismatch{ID: codec.Show(id), Kind: MismatchDifferent, Detail: err.Error(), DocumentID: id}
		}
		return Entry{ID: id, Key: key, Unique: make([]string, len(t.Plan.Unique))}, nil
	}
	e, err := t.Encode(doc, 0)
	if err != nil {
		return Entry{}, &Mismatch{ID: codec.Show(id), Kind: MismatchMissing, Detail: err.Error(), DocumentID: id}
	}
	return e, nil
}

func (t *Tables) differencesOf(e Entry, doc bson.Raw, item codec.Item, held []map[string]codec.Item) []Mismatch {
	bad := func(kind, detail string) Mismatch {
		return Mismatch{ID: codec.Show(e.ID), Kind: kind, Detail: detail, DocumentID: e.ID}
	}
	there := item != nil && !stamp.Of(item).Tombstone
	switch {
	case doc == nil && there:
		return []Mismatch{bad(MismatchExtra, "not in MongoDB")}
	case doc == nil:
		return nil
	case !there:
		return []Mismatch{bad(MismatchMissing, "not in DynamoDB")}
	}
	var all []Mismatch
	if !t.equal(e.Item, doc, item) {
		all = append(all, bad(MismatchDifferent, t.firstDifference(e.Item, item)))
	}
	for i, v := range e.Unique {
		if v != "" && keyText(held[i][v]["owner"]) != keyText(e.Key) {
			m := bad(MismatchUnique, fmt.Sprintf("%s is held by %q", v, keyText(held[i][v]["owner"])))
			m.UniqueValue, m.Constraint = v, i
			all = append(all, m)
		}
	}
	return all
}

// equal compares the encoded items, and where those differ the decoded ones: the
// compressed form of a field may vary.
func (t *Tables) equal(want codec.Item, doc bson.Raw, item codec.Item) bool {
	if codec.Same(want, item) {
		return true
	}
	back, err := t.Plan.Codec().Decode(item)
	return err == nil && bytes.Equal(back, doc) && len(want) == len(item)
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

// CompareUnique compares unique entries with the items they name, and returns
// those whose item does not have the value. Entries is of one constraint.
func (t *Tables) CompareUnique(ctx context.Context, constraint int, entries []codec.Item) ([]Mismatch, error) {
	var keys []types.AttributeValue
	seen := map[string]bool{}
	for _, entry := range entries {
		owner := keyText(entry["owner"])
		if key := t.ownerKey(owner); owner != "" && !seen[owner] {
			seen[owner] = true
			keys = append(keys, key)
		}
	}
	items, _, err := t.Get(ctx, keys, nil)
	if err != nil {
		return nil, err
	}
	var bad []Mismatch
	for _, entry := range entries {
		value, owner := keyText(entry["value"]), keyText(entry["owner"])
		item := items[owner]
		values, err := t.uniqueOf(item)
		if err == nil && item != nil && !stamp.Of(item).Tombstone && values[constraint] == value {
			continue
		}
		bad = append(bad, Mismatch{ID: value, Kind: MismatchLeftover, Detail: fmt.Sprintf("its owner %q does not have it", owner),
			UniqueValue: value, Constraint: constraint})
	}
	return bad, nil
}

// ownerKey turns an owner's text back into a key attribute.
func (t *Tables) ownerKey(text string) types.AttributeValue {
	if k := t.Plan.Target.Key.Type; k == codec.TypeInt32 || k == codec.TypeInt64 {
		return &types.AttributeValueMemberN{Value: text}
	}
	return dynamo.String(text)
}

// DeleteLeftover deletes a unique entry, provided that it is still a leftover and the
// service has not claimed it.
func (t *Tables) DeleteLeftover(ctx context.Context, constraint int, value string) error {
	ask := make([][]string, len(t.Plan.Unique))
	ask[constraint] = []string{value}
	_, held, err := t.Get(ctx, nil, ask)
	if err != nil {
		return err
	}
	entry := held[constraint][value]
	if entry == nil {
		return nil
	}
	again, err := t.CompareUnique(ctx, constraint, []codec.Item{entry})
	if err != nil || len(again) == 0 {
		return err
	}
	err = retry.Do(ctx, "remove a unique entry", func(ctx context.Context) error {
		_, err := t.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.Plan.Unique[constraint].Table, Key: uniqueKey(value),
			ConditionExpression:       aws.String("#owner = :owner AND attribute_not_exists(#b.#e)"),
			ExpressionAttributeNames:  map[string]string{"#owner": "owner", "#b": stamp.Attribute, "#e": stamp.Epoch},
			ExpressionAttributeValues: map[string]types.AttributeValue{":owner": entry["owner"]}})
		return err
	})
	if dynamo.IsConditionFailed(err) {
		return nil
	}
	return err
}
