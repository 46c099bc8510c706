package plan

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// SourceIndex is an index of the source, as listIndexes shows it.
type SourceIndex struct {
	Name           string
	Key            bson.D
	Unique, Sparse bool
	Partial        bson.Raw `bson:"partialFilterExpression"`
	Collation      bson.Raw
	Expire         bson.RawValue `bson:"expireAfterSeconds"`
}

// IsOn reports whether it is a unique index on the fields of a constraint.
func (i *SourceIndex) IsOn(u *Unique) bool {
	names := u.Names()
	if !i.Unique && i.Name != "_id_" || len(i.Key) != len(names) {
		return false
	}
	for _, e := range i.Key {
		if _, named := e.Value.(string); named || !slices.Contains(names, e.Key) { // hashed and the like
			return false
		}
	}
	return true
}

// SameTexts reports whether it compares texts as a constraint does: byte for byte, or without
// regard to case. What else a collation takes for the same is told.
func (i *SourceIndex) SameTexts(u *Unique) bool {
	if i.Collation == nil {
		return u.Collation == ""
	}
	strength, ok := i.Collation.Lookup("strength").AsInt64OK()
	return u.Collation == CollationLower && ok && strength <= 2
}

// SameDocuments reports whether it is about the documents that a constraint is about, but for
// those that lack a field.
func (i *SourceIndex) SameDocuments(u *Unique) bool {
	elements, err := i.Partial.Elements()
	if i.Partial == nil || err != nil {
		return i.Partial == nil && len(u.Where) == 0
	}
	want := map[string]bson.RawValue{}
	for _, e := range u.Filter() {
		raw, err := bson.Marshal(bson.D{e})
		if err != nil {
			return false
		}
		want[e.Key] = bson.Raw(raw).Lookup(e.Key)
	}
	for _, e := range elements {
		v := e.Value()
		if d, ok := v.DocumentOK(); ok && !d.Lookup("$eq").IsZero() && d.Lookup("$eq").Type != bson.TypeNull {
			v = d.Lookup("$eq")
		}
		condition, _ := v.DocumentOK()
		yes, _ := condition.Lookup("$exists").BooleanOK()
		exists := yes && slices.Contains(u.Names(), e.Key())
		if w, ok := want[e.Key()]; (!ok || codec.Identity(w) != codec.Identity(v)) && !exists {
			return false
		}
		delete(want, e.Key())
	}
	return len(want) == 0
}

// CoversAll reports whether no two documents can share the value of a constraint.
func (i *SourceIndex) CoversAll(u *Unique) bool {
	return i.IsOn(u) && (i.Partial == nil || i.SameDocuments(u)) && (i.SameTexts(u) || i.Collation != nil && u.Collation == "")
}
