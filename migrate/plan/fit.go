package plan

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// Fit is the item that a document becomes, without a stamp, and its values under the plan's
// constraints, "" for none. It fails with a [*codec.FitError] for a document that the target
// cannot take: one that is no item, that an index refuses, or whose value cannot be unique.
func (p *Plan) Fit(doc bson.Raw) (item codec.Item, unique []string, err error) {
	if item, err = p.codec.Encode(doc); err == nil {
		unique, err = p.UniqueValues(doc)
	}
	if err == nil {
		err = FitIndexes(item, p.indexKeys)
	}
	if fit, ok := errors.AsType[*codec.FitError](err); ok && fit.ID == "" {
		fit.ID = codec.Show(doc.Lookup(p.codec.KeyField()))
	}
	if err != nil {
		return nil, nil, err
	}
	return item, unique, nil
}

// UniqueValues are a document's values under the plan's constraints, "" for none. It fails
// with a [*codec.FitError] for a value that cannot be unique.
func (p *Plan) UniqueValues(doc bson.Raw) ([]string, error) {
	values := make([]string, len(p.Unique))
	for i := range values {
		var err error
		values[i], err = p.Unique[i].Value(func(name string) (bson.RawValue, error) { return doc.Lookup(name), nil })
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// errIndexKey says that an index of the table refuses an item.
var errIndexKey = errors.New("not what an index of the table takes as a key")

// FitIndexes checks what indexes need of the attributes that are their keys: the table
// refuses an item that has another type there, or an empty or too long value; one that has
// not the attribute is not in the index. It fails with a [*codec.FitError].
func FitIndexes(item codec.Item, keys map[string]IndexKey) error {
	for attribute, want := range keys {
		have, size := types.ScalarAttributeType("another type"), 1
		switch v := item[attribute].(type) {
		case nil:
			continue
		case *types.AttributeValueMemberNULL:
			have = "null"
		case *types.AttributeValueMemberS:
			have, size = types.ScalarAttributeTypeS, len(v.Value)
		case *types.AttributeValueMemberN:
			have = types.ScalarAttributeTypeN
		case *types.AttributeValueMemberB:
			have, size = types.ScalarAttributeTypeB, len(v.Value)
		}
		switch {
		case have != want.Kind:
			return &codec.FitError{Field: attribute, Reason: fmt.Errorf("%w: it needs %s, the document has %s", errIndexKey, want.Kind, have),
				WayOut: "repair or remove the field in MongoDB, or do without the index"}
		case size == 0 || size > want.Max:
			return &codec.FitError{Field: attribute, Reason: fmt.Errorf("%w: it has %d bytes, allowed are 1 to %d", errIndexKey, size, want.Max),
				WayOut: "change or remove the value in MongoDB, or do without the index"}
		}
	}
	return nil
}
