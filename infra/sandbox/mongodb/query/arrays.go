package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// items are the elements of an array value.
func items(v V) []V {
	var list []V
	it := value.Elements(v.Data)
	for it.Next() {
		list = append(list, it.Value)
	}
	return list
}

// array finds the array at a path; nil if there is nothing.
func (u *updating) array(p value.Path, name string) (*value.Node, error) {
	n := u.find(p)
	if n != nil && !n.IsArray() {
		if name == "$push" {
			return nil, failure.New(failure.BadValue, "The field '%s' must be an array but is of type %s in document {_id: %s}",
				p, n.Type(), value.Field(u.root.Value().Data, "_id"))
		}
		return nil, failure.New(failure.BadValue, "Cannot apply %s to a non-array value", name)
	}
	return n, nil
}

func push(name string, path value.Path, v V) ([]operation, error) {
	added := []V{v}
	if v.Type == bsoncore.TypeEmbeddedDocument && !value.Missing(value.Field(v.Data, "$each")) {
		var err error
		if added, err = pushEach(v.Data); err != nil {
			return nil, err
		}
	}
	return []operation{{path, name, func(u *updating, p value.Path) error { return u.push(p, added) }}}, nil
}

func pushEach(d D) (added []V, err error) {
	it := value.Elements(d)
	for it.Next() {
		switch {
		case string(it.Key) != "$each":
			return nil, failure.Unsupported("$push with %s", it.Key)
		case it.Value.Type != bsoncore.TypeArray:
			return nil, failure.New(failure.BadValue, "The argument to $each in $push must be an array but it was of type: %s", it.Value.Type)
		}
		added = items(it.Value)
	}
	return added, nil
}

// push appends to an array, and notes the appended elements instead of the array.
func (u *updating) push(path value.Path, added []V) error {
	old, err := u.array(path, "$push")
	switch {
	case err != nil:
		return err
	case old == nil:
		return u.put(path, value.NewNode(value.Array(added...)))
	case len(added) == 0:
		return nil
	}
	before := items(old.Value())
	if err := u.put(path, value.NewArray(append(slices.Clip(before), added...)...)); err != nil {
		return nil
	}
	u.touched = u.touched[:len(u.touched)-1]
	for i := range added {
		u.touch(append(slices.Clip(path), index(len(before)+i)))
	}
	return nil
}

func pull(name string, path value.Path, v V) ([]operation, error) {
	matches, err := pullCondition(v)
	return []operation{{path, name, func(u *updating, p value.Path) error {
		return u.removeElements(p, name, matches)
	}}}, err
}

func pullCondition(v V) (func(V) bool, error) {
	switch {
	case v.Type == bsoncore.TypeRegex:
		p, err := compileRegex(v, "")
		return func(v V) bool { return p.(matching).one(v) }, err
	case isOperators(v):
		c, err := compileOperators(value.Path{""}, v.Data)
		return func(v V) bool {
			return c.holds(bsoncore.BuildDocument(nil, bsoncore.AppendValueElement(nil, "", v)))
		}, err
	case v.Type == bsoncore.TypeEmbeddedDocument:
		c, err := compileAll(v.Data)
		return func(v V) bool { return v.Type == bsoncore.TypeEmbeddedDocument && c.holds(v.Data) }, err
	}
	return func(w V) bool { return value.Equal(v, w) }, nil
}

func (u *updating) removeElements(p value.Path, name string, unwanted func(V) bool) error {
	old, err := u.array(p, name)
	if err != nil || old == nil {
		return err
	}
	list := items(old.Value())
	kept := slices.DeleteFunc(slices.Clone(list), unwanted)
	if len(kept) == len(list) {
		return nil
	}
	return u.put(p, value.NewArray(kept...))
}
