package reverse

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
)

// index is a unique index of the collection.
type index struct {
	Name      string   `bson:"name"`
	Key       bson.Raw `bson:"key"`
	Partial   bson.Raw `bson:"partialFilterExpression"`
	Collation bson.Raw `bson:"collation"`
}

func hasIndex(all []index, one index) bool {
	for _, i := range all {
		if i.Name == one.Name {
			return true
		}
	}
	return false
}

// indexName finds the name in the message of a duplicate key, which all versions of
// MongoDB have there.
var indexName = regexp.MustCompile(`index: (\S+) dup key`)

// conflictOf returns the index whose values are taken, if that is what the error says.
func (l *lane) conflictOf(ctx context.Context, collection string, refusal error) (index, bool, error) {
	name := indexName.FindStringSubmatch(refusal.Error())
	if !mongoerr.HasCode(refusal, mongoerr.DuplicateKey, 11001) || name == nil {
		return index{}, false, nil
	}
	cursor, err := l.Source.DB.Collection(collection).Indexes().List(ctx)
	if err != nil {
		return index{}, false, err
	}
	var all []index
	if err := cursor.All(ctx, &all); err != nil {
		return index{}, false, err
	}
	for _, i := range all {
		if i.Name == name[1] {
			return i, true, nil
		}
	}
	return index{}, false, nil
}

// makeRoom removes the documents that hold unique values of the one to write, but whose
// items do not hold them any more: their own changes are still to come, with the whole
// item. Where the item holds them indeed, the change is a misfit; and where the changed item
// itself has given them up since, it is passed over, for a later change has that.
func (l *lane) makeRoom(ctx context.Context, rec ownership.Record, writes []*change, met []index) ([]*change, error) {
	for _, c := range writes {
		if c.doc == nil || c.misfit != nil || c.moved {
			continue
		}
		for _, i := range met {
			holders, err := l.holders(ctx, rec.Collection, c, i)
			if err != nil {
				return nil, err
			}
			for _, holder := range holders {
				stays, err := l.holds(ctx, holder.Lookup("_id"), i, holder)
				if err != nil {
					return nil, err
				}
				if !stays {
					remove := bson.D{{Key: "delete", Value: rec.Collection},
						{Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: holder.Lookup("_id")}}}, {Key: "limit", Value: 1}}}}}
					if err := l.write(ctx, rec, remove); err != nil {
						return nil, err
					}
					continue
				}
				mine, err := l.holds(ctx, c.id, i, c.doc)
				if err != nil || !mine {
					return nil, err
				}
				taken := *c
				taken.misfit = fmt.Errorf("the document %s has the same value under the unique index %s, and so have both items", holder.Lookup("_id"), i.Name)
				return []*change{&taken}, nil
			}
		}
	}
	return writes, nil
}

// holders are the documents with the values of a change under an index.
func (l *lane) holders(ctx context.Context, collection string, c *change, i index) ([]bson.Raw, error) {
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$ne", Value: c.id}}}}
	elements, err := i.Key.Elements()
	if err != nil {
		return nil, err
	}
	for _, e := range elements {
		filter = append(filter, bson.E{Key: e.Key(), Value: valueFilter(c.doc, e.Key())})
	}
	if i.Partial != nil {
		filter = append(filter, bson.E{Key: "$and", Value: bson.A{i.Partial}})
	}
	find := options.Find()
	if i.Collation != nil {
		find.SetCollation(collationOf(i.Collation))
	}
	cursor, err := l.Source.DB.Collection(collection).Find(ctx, filter, find)
	if err != nil {
		return nil, err
	}
	var all []bson.Raw
	err = cursor.All(ctx, &all)
	return all, err
}

func valueFilter(doc bson.Raw, path string) any {
	v, err := doc.LookupErr(strings.Split(path, ".")...)
	if err != nil {
		return nil
	}
	if array, ok := v.ArrayOK(); ok { // an index has an entry for each element
		elements, _ := array.Values()
		return bson.D{{Key: "$in", Value: elements}}
	}
	return v
}

func collationOf(raw bson.Raw) *options.Collation {
	c := &options.Collation{}
	c.Locale, _ = raw.Lookup("locale").StringValueOK()
	if strength, ok := raw.Lookup("strength").AsInt64OK(); ok {
		c.Strength = int(strength)
	}
	c.CaseLevel, _ = raw.Lookup("caseLevel").BooleanOK()
	c.NumericOrdering, _ = raw.Lookup("numericOrdering").BooleanOK()
	c.Backwards, _ = raw.Lookup("backwards").BooleanOK()
	c.Alternate, _ = raw.Lookup("alternate").StringValueOK()
	c.MaxVariable, _ = raw.Lookup("maxVariable").StringValueOK()
	c.CaseFirst, _ = raw.Lookup("caseFirst").StringValueOK()
	return c
}

// holds reports whether the item of a document has the same values under an index as doc.
func (l *lane) holds(ctx context.Context, id bson.RawValue, i index, doc bson.Raw) (bool, error) {
	codec := l.Plan.Codec()
	keys, err := l.Tables.Keys(ctx, []bson.RawValue{id})
	key := keys[side.IDKey(id)]
	if err != nil || key == nil { // no item is its
		return false, err
	}
	item, err := l.Tables.Item(ctx, codec.KeyItem(key))
	if err != nil || item == nil {
		return false, err
	}
	now, err := codec.Read(item)
	if err != nil {
		return true, nil // a misfit: it is not known what it holds
	}
	elements, err := i.Key.Elements()
	if err != nil {
		return false, err
	}
	for _, e := range elements {
		path := strings.Split(e.Key(), ".")
		a, b := now.Lookup(path...), doc.Lookup(path...)
		if a.Type != b.Type || !bytes.Equal(a.Value, b.Value) {
			return false, nil
		}
	}
	return true, nil
}
