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
		if name == "$push" || name == "$addToSet" {
			return nil, failure.New(failure.BadValue, "The field '%s' must be an array but is of type %s in document {_id: %s}", p, n.Type(), value.Field(u.root.Value().Data, "_id"))
		}
		return nil, failure.New(failure.BadValue, "Cannot apply %s to a non-array value", name)
	}
	return n, nil
}

type pushing struct {
	each     []V
	slice    *int64
	position *int64
	sort     Order
	byValue  int // 1 or -1: elements themselves are sorted
}

func push(name string, path value.Path, v V) ([]operation, error) {
	p := pushing{each: []V{v}}
	if v.Type == bsoncore.TypeEmbeddedDocument && !value.Missing(value.Field(v.Data, "$each")) {
		var err error
		if p, err = compilePush(v.Data); err != nil {
			return nil, err
		}
	}
	return []operation{{path, name, p.apply}}, nil
}

func compilePush(d D) (pushing, error) {
	var p pushing
	it := value.Elements(d)
	for it.Next() {
		n, integral := value.Integer(it.Value)
		switch string(it.Key) {
		case "$each":
			if it.Value.Type != bsoncore.TypeArray {
				return p, failure.New(failure.BadValue, "The argument to $each in $push must be an array but it was of type: %s", it.Value.Type)
			}
			p.each = items(it.Value)
		case "$slice":
			p.slice = &n
			if !integral {
				return p, failure.New(failure.BadValue, "The value for $slice must be an integer value")
			}
		case "$position":
			p.position = &n
			if !integral {
				return p, failure.New(failure.BadValue, "The value for $position must be an integer value")
			}
		case "$sort":
			if it.Value.Type == bsoncore.TypeEmbeddedDocument {
				o, err := CompileOrder(it.Value.Data)
				if err != nil {
					return p, err
				}
				p.sort = o
			} else if p.byValue = int(n); n != 1 && n != -1 {
				return p, failure.New(failure.BadValue, "The $sort element value must be either 1 or -1")
			}
		default:
			return p, failure.New(failure.BadValue, "Unrecognized clause in $push: %s", it.Key)
		}
	}
	return p, nil
}

func (p pushing) apply(u *updating, path value.Path) error {
	old, err := u.array(path, "$push")
	if err != nil {
		return err
	}
	var list []V
	if old != nil {
		list = items(old.Value())
	}
	before := slices.Clone(list)
	list = slices.Insert(list, p.at(len(list)), p.each...)
	list = p.cut(p.sorted(list))
	if old == nil {
		return u.put(path, value.NewNode(value.Array(list...)))
	}
	if slices.EqualFunc(before, list, value.Identical) {
		return nil
	}
	appended := len(list) >= len(before) && slices.EqualFunc(before, list[:len(before)], value.Identical)
	u.replaceArray(path, list, appended, len(before))
	return nil
}

// replaceArray puts a new array, described as appended elements where that is
// all there is to it.
func (u *updating) replaceArray(path value.Path, list []V, appended bool, from int) {
	if err := u.put(path, value.NewArray(list...)); err != nil || !appended {
		return
	}
	u.touched = u.touched[:len(u.touched)-1]
	for i := from; i < len(list); i++ {
		u.touch(append(slices.Clip(path), index(i)))
	}
}

func (p pushing) at(n int) int {
	switch {
	case p.position == nil || *p.position >= int64(n):
		return n
	case *p.position >= 0:
		return int(*p.position)
	}
	return int(max(0, int64(n)+*p.position))
}

func (p pushing) sorted(list []V) []V {
	switch {
	case p.byValue != 0:
		slices.SortStableFunc(list, func(a, b V) int { return p.byValue * value.Compare(a, b) })
	case p.sort != nil:
		keysOf := func(v V) keyed {
			if v.Type != bsoncore.TypeEmbeddedDocument {
				return keyed{keys: p.sort.keys(emptyDocument)}
			}
			return keyed{keys: p.sort.keys(v.Data)}
		}
		slices.SortStableFunc(list, func(a, b V) int { return p.sort.compare(keysOf(a), keysOf(b)) })
	}
	return list
}

func (p pushing) cut(list []V) []V {
	n := int64(len(list))
	switch {
	case p.slice == nil:
		return list
	case *p.slice >= 0:
		return list[:min(n, *p.slice)]
	}
	return list[max(0, n+*p.slice):]
}

func addToSet(name string, path value.Path, v V) ([]operation, error) {
	candidates := []V{v}
	if v.Type == bsoncore.TypeEmbeddedDocument && !value.Missing(value.Field(v.Data, "$each")) {
		list := value.Field(v.Data, "$each")
		if list.Type != bsoncore.TypeArray {
			return nil, failure.New(failure.TypeMismatch, "The argument to $each in $addToSet must be an array but it was of type %s", list.Type)
		}
		candidates = items(list)
	}
	return []operation{{path, name, func(u *updating, p value.Path) error {
		old, err := u.array(p, name)
		if err != nil {
			return err
		}
		var list []V
		if old != nil {
			list = items(old.Value())
		}
		before := len(list)
		for _, v := range candidates {
			if !slices.ContainsFunc(list, func(w V) bool { return value.Equal(v, w) }) {
				list = append(list, v)
			}
		}
		if old != nil && len(list) == before {
			return nil
		}
		return u.put(p, value.NewArray(list...))
	}}}, nil
}

func pop(name string, path value.Path, v V) ([]operation, error) {
	n, ok := value.Integer(v)
	if !ok || n != 1 && n != -1 {
		return nil, failure.New(failure.FailedToParse, "$pop expects 1 or -1, found: %s", v)
	}
	return []operation{{path, name, func(u *updating, p value.Path) error {
		old, err := u.array(p, name)
		if err != nil || old == nil || old.Len() == 0 {
			return err
		}
		list := items(old.Value())
		if n == 1 {
			list = list[:len(list)-1]
		} else {
			list = list[1:]
		}
		return u.put(p, value.NewArray(list...))
	}}}, nil
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

func pullAll(name string, path value.Path, v V) ([]operation, error) {
	if v.Type != bsoncore.TypeArray {
		return nil, failure.New(failure.BadValue, "$pullAll requires an array argument but was given a %s", v.Type)
	}
	unwanted := items(v)
	return []operation{{path, name, func(u *updating, p value.Path) error {
		return u.removeElements(p, name, func(v V) bool {
			return slices.ContainsFunc(unwanted, func(w V) bool { return value.Equal(v, w) })
		})
	}}}, nil
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
