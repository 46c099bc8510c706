package target

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Where the key is made of other fields than the _id alone, a document moves from item to
// item, and a deletion does not say from which. So there is an entry for each _id: that of a
// constraint on _id, see plan.Plan.Lookup. Its owner is the document's item; it is a tombstone
// where the document was deleted, also before it was copied. Entry and items change in one
// transaction, all on the condition of what was read: so there is one item of a document at
// most, and whichever item a late write is for, the entry leads it to the version that decides.
// A change that does not move the document leaves the entry alone: the item's own condition
// is enough, since moving it away changes the item too.

// standing is where a document stands.
type standing struct {
	value string               // of the entry; "" where the key says it all
	entry codec.Item           // nil for none
	key   types.AttributeValue // of its item; nil for none
	item  codec.Item           // nil for none
}

// version is what has the version of the document: its item, or else what is left of it.
func (s *standing) version() codec.Item {
	if s.item == nil {
		return s.entry
	}
	return s.item
}

// stand reads where a document stands, where the key does not say it: the item of
// its entry may be among those that were read already.
func (t *Tables) stand(ctx context.Context, value string, entry codec.Item, items map[string]codec.Item) (*standing, error) {
	s := &standing{value: value, entry: entry}
	if s.key = t.ownerOf(entry); s.key == nil {
		return s, nil
	}
	item, read := items[keyText(s.key)]
	if !read {
		found, _, err := t.Get(ctx, []types.AttributeValue{s.key}, nil)
		if err != nil {
			return nil, err
		}
		item = found[keyText(s.key)]
	}
	s.item = item
	return s, nil
}

// ownerOf is the key of the item that an entry names, nil for none.
func (t *Tables) ownerOf(entry codec.Item) types.AttributeValue {
	owner := keyText(entry[entryOwner])
	if owner == "" || stamp.Of(entry).Tombstone {
		return nil
	}
	return t.ownerKey(owner)
}

// lookupValue is the value of the entry of an _id, "" where there is none.
func (t *Tables) lookupValue(id bson.RawValue) (string, error) {
	n := t.Plan.Lookup()
	if n < 0 {
		return "", nil
	}
	return t.Plan.Unique[n].Value(func(string) (bson.RawValue, error) { return id, nil })
}

// writeLookup has the entry of a document name its item at key, or be a tombstone for nil. It
// is nothing where the entry names it already, and it is there: entry and item are not read
// at one time, and in between the document may have moved away.
func (t *Tables) writeLookup(s *standing, key types.AttributeValue, at stamp.ClusterTime) []types.TransactWriteItem {
	stays := s.item != nil && !stamp.Of(s.item).Tombstone && keyText(s.key) == keyText(key)
	if s.value == "" || key != nil && stays {
		return nil
	}
	h := holders{}
	if key != nil {
		h[keyText(key)] = at
	}
	return []types.TransactWriteItem{t.writeHolders(t.Plan.Lookup(), s.value, s.entry, h, at)}
}

// Keys are the keys of the items of documents, by side.IDKey, read consistently where the
// _id does not say them: nil for a document that was deleted, none for one that has no entry,
// or whose _id can be no key.
func (t *Tables) Keys(ctx context.Context, ids []bson.RawValue) (map[string]types.AttributeValue, error) {
	keys, lookup := make(map[string]types.AttributeValue, len(ids)), t.Plan.Lookup()
	byValue := map[string]string{}
	for _, id := range ids {
		if key, err := t.Plan.Codec().KeyOfID(id); err == nil && lookup < 0 {
			keys[side.IDKey(id)] = key
		} else if value, err := t.lookupValue(id); err == nil && lookup >= 0 {
			byValue[value] = side.IDKey(id)
		}
	}
	values := make([]string, 0, len(byValue))
	for v := range byValue {
		values = append(values, v)
	}
	for len(values) > 0 {
		ask := make([][]string, len(t.Plan.Unique))
		ask[lookup] = values[:min(len(values), maxGet)]
		_, entries, err := t.Get(ctx, nil, ask)
		if err != nil {
			return nil, err
		}
		for value, entry := range entries[lookup] {
			keys[byValue[value]] = t.ownerOf(entry)
		}
		values = values[len(ask[lookup]):]
	}
	return keys, nil
}

// misplaced finds items that their documents' entries do not name. Nobody who keeps the
// contract leaves one.
func (t *Tables) misplaced(ctx context.Context, items []codec.Item) ([]side.Mismatch, error) {
	ids := make([]bson.RawValue, len(items))
	for i, item := range items {
		var err error
		if ids[i], err = t.Plan.Codec().ID(item); err != nil {
			return nil, err
		}
	}
	keys, err := t.Keys(ctx, ids)
	if err != nil {
		return nil, err
	}
	var bad []side.Mismatch
	for i, item := range items {
		own := keyText(t.Plan.Codec().KeyOf(item))
		if there := keyText(keys[side.IDKey(ids[i])]); there != own {
			bad = append(bad, side.Mismatch{ID: codec.Show(ids[i]), Kind: side.MismatchMisplaced,
				Detail: fmt.Sprintf("there is an item %q, and its entry names %q", own, there), UniqueValue: own, Constraint: t.Plan.Lookup()})
		}
	}
	return bad, nil
}

// compareMisplaced looks again at items that were found misplaced.
func (t *Tables) compareMisplaced(ctx context.Context, texts []string) ([]side.Mismatch, error) {
	keys := make([]types.AttributeValue, len(texts))
	for i, text := range texts {
		keys[i] = t.ownerKey(text)
	}
	found, _, err := t.Get(ctx, keys, nil)
	if err != nil {
		return nil, err
	}
	var items []codec.Item
	for _, item := range found {
		if !stamp.Of(item).Tombstone {
			items = append(items, item)
		}
	}
	return t.misplaced(ctx, items)
}

// removeMisplaced puts a tombstone in the place of an item that its document's entry does not
// name, unless it is of a later epoch, or has changed.
func (t *Tables) removeMisplaced(ctx context.Context, text string) error {
	key := t.ownerKey(text)
	items, _, err := t.Get(ctx, []types.AttributeValue{key}, nil)
	item := items[text]
	if err != nil || item == nil || stamp.Of(item).Tombstone || t.isOwners(stamp.Of(item)) {
		return err
	}
	if still, err := t.misplaced(ctx, []codec.Item{item}); err != nil || len(still) == 0 {
		return err
	}
	at, none := stamp.Of(item).Time, make([]string, len(t.Plan.Unique))
	writes, err := t.uniqueWrites(ctx, text, text, t.heldBy(item), none, nil, at)
	if err != nil {
		return err
	}
	put := types.TransactWriteItem{Put: t.replacePut(Entry{Key: key}, item, at)}
	if err = t.writeTogether(ctx, append(writes, put)); dynamo.IsConditionFailed(err) {
		return nil // somebody writes there now
	}
	return err
}
