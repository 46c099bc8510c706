package search

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Document is what an index holds of one item.
type Document struct {
	Key string // not empty, at most 512 bytes, the most that OpenSearch takes for an id
	// Version grows with each change of the item. An index ignores what is not newer than
	// what it holds.
	Version int64
	// Words are those of the document, each once; none for one that is not found (any more),
	// which is kept as a tombstone.
	Words []string
	Rank  int64 // 0 to MaxRank
	// Data is JSON that comes with a hit; nil for none.
	Data json.RawMessage
}

// Limits of a document. What is longer is cut, except the key.
const (
	MaxKey   = 512     // bytes
	MaxRank  = 1 << 48 // so that neither the score nor a float64 rounds it
	MaxWords = 1000
)

// Fields says what of a table's items is a document. Texts is required.
type Fields struct {
	// Key is the attribute with the document's key; "": pk. Prefix is what that begins with
	// in each document, and is removed; Sort is the sort key (sk) of documents, "": any.
	// Items with others are no documents.
	Key, Prefix, Sort string
	Texts             []string // attributes that are searched: texts, and lists and sets of texts
	Rank              string   // attribute with a number; "": all are equal
	Version           string   // attribute with a number that grows with each change; "": rev, as once.Model has it
	Gone              string   // attribute that hides a document where it is true; "": none
	Show              []string // attributes that come with a hit, under their names
}

// ErrFields says that an item does not have what Fields say. It would be the same again.
var ErrFields = errors.New("item does not fit the search fields")

// Validate reports what is missing.
func (f Fields) Validate() error {
	if len(f.Texts) == 0 {
		return errors.New("search: fields: name at least one attribute with text")
	}
	return nil
}

// Document is that of an item; false if the item is none.
func (f Fields) Document(item dynamo.Item) (Document, bool, error) {
	key, ok := f.keyOf(item)
	if !ok {
		return Document{}, false, nil
	}
	d := Document{Key: key}
	var err error
	if d.Version, err = f.versionOf(item); err != nil {
		return d, false, err
	}
	if f.Gone != "" && dynamo.BoolOf(item, f.Gone) {
		return d, true, nil
	}
	if f.Rank != "" && item[f.Rank] != nil {
		rank, err := dynamo.IntOf(item, f.Rank)
		if err != nil {
			return d, false, fmt.Errorf("%w: %s: rank: %w", ErrFields, key, err)
		}
		d.Rank = min(max(rank, 0), MaxRank)
	}
	var texts []string
	for _, name := range f.Texts {
		texts = append(texts, textsOf(item[name])...)
	}
	d.Words = Words(strings.Join(texts, "\n"))
	d.Data, err = f.dataOf(item)
	return d, true, err
}

// Removed is the tombstone of an item that was deleted, by what it was.
func (f Fields) Removed(old dynamo.Item) (Document, bool, error) {
	key, ok := f.keyOf(old)
	if !ok {
		return Document{}, false, nil
	}
	version, err := f.versionOf(old)
	return Document{Key: key, Version: version + 1}, err == nil, err
}

func (f Fields) keyOf(item dynamo.Item) (string, bool) {
	name := f.Key
	if name == "" {
		name = dynamo.AttrPK
	}
	if f.Sort != "" && dynamo.StringOf(item, dynamo.AttrSK) != f.Sort {
		return "", false
	}
	key, ok := strings.CutPrefix(dynamo.StringOf(item, name), f.Prefix)
	return key, ok && key != "" && len(key) <= MaxKey
}

func (f Fields) versionOf(item dynamo.Item) (int64, error) {
	name := f.Version
	if name == "" {
		name = "rev"
	}
	version, err := dynamo.IntOf(item, name)
	if err == nil && version < 1 {
		err = fmt.Errorf("version %d must be at least 1", version)
	}
	if err != nil {
		key, _ := f.keyOf(item)
		return 0, fmt.Errorf("%w: %s: attribute %s: %w", ErrFields, key, name, err)
	}
	return version, nil
}

func (f Fields) dataOf(item dynamo.Item) (json.RawMessage, error) {
	if len(f.Show) == 0 {
		return nil, nil
	}
	shown := maps.Clone(item)
	maps.DeleteFunc(shown, func(name string, _ types.AttributeValue) bool { return !slices.Contains(f.Show, name) })
	var values map[string]any
	if err := attributevalue.UnmarshalMap(shown, &values); err != nil {
		return nil, fmt.Errorf("%w: decode what is shown: %w", ErrFields, err)
	}
	data, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("%w: encode what is shown: %w", ErrFields, err)
	}
	return data, nil
}

func textsOf(v types.AttributeValue) []string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return []string{v.Value}
	case *types.AttributeValueMemberSS:
		return v.Value
	case *types.AttributeValueMemberL:
		var all []string
		for _, one := range v.Value {
			all = append(all, textsOf(one)...)
		}
		return all
	}
	return nil
}
