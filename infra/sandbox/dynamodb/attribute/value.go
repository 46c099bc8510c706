// Package attribute holds DynamoDB's attribute values: their types, their JSON, their order, their
// size by the published rules, and the arithmetic of 38-digit decimals.
//
// Values and items are immutable: whoever changes one builds a new one that shares the unchanged
// parts. That is what lets the store hand the same item to readers, indexes and streams without
// copying it and without a lock.
package attribute

import (
	"slices"
	"sort"
	"strings"
)

// Kind is the type of a value.
type Kind uint8

// The ten types, by the names the protocol gives them.
const (
	Invalid Kind = iota
	S
	N
	B
	BOOL
	NULL
	M
	L
)

var kindNames = [...]string{"", "S", "N", "B", "BOOL", "NULL", "M", "L"}

var kindLongNames = [...]string{"", "STRING", "NUMBER", "BINARY", "BOOLEAN", "NULL", "MAP", "LIST"}

// String is the protocol's name of the type, such as "BOOL".
func (k Kind) String() string { return kindNames[k] }

// LongName is the name the service uses in some of its messages, such as "STRING".
func (k Kind) LongName() string { return kindLongNames[k] }

// KindOf finds a type by the protocol's name; Invalid if there is none.
func KindOf(name string) Kind {
	for k := S; k <= L; k++ {
		if kindNames[k] == name {
			return k
		}
	}
	return Invalid
}

// IsScalar reports whether the type can be a key.
func (k Kind) IsScalar() bool { return k == S || k == N || k == B }

// Value is one attribute value. The zero value is of kind Invalid: no value.
type Value struct {
	kind  Kind
	truth bool
	text  string
	more  *compound
}

type compound struct {
	list   []Value
	fields Item
}

// Field is one attribute of an item or one member of a map.
type Field struct {
	Name  string
	Value Value
}

// Item is a set of attributes, sorted by name and without duplicates.
type Item []Field

// String makes a value of type S.
func String(s string) Value { return Value{kind: S, text: s} }

// Binary makes a value of type B from raw bytes.
func Binary(raw string) Value { return Value{kind: B, text: raw} }

// Bool makes a value of type BOOL.
func Bool(b bool) Value { return Value{kind: BOOL, truth: b} }

// Null makes the value of type NULL.
func Null() Value { return Value{kind: NULL} }

// List makes a value of type L that keeps the slice.
func List(list []Value) Value { return Value{kind: L, more: &compound{list: list}} }

// Map makes a value of type M that keeps the item.
func Map(fields Item) Value { return Value{kind: M, more: &compound{fields: fields}} }

// number makes a value of type N from text that is already normal.
func number(text string) Value { return Value{kind: N, text: text} }

// Kind is the value's type.
func (v Value) Kind() Kind { return v.kind }

// Text is the text of an S, the normalised digits of an N, or the raw bytes of a B.
func (v Value) Text() string { return v.text }

// List is the elements of an L, not to be changed.
func (v Value) List() []Value {
	if v.more == nil {
		return nil
	}
	return v.more.list
}

// Map is the members of an M, not to be changed.
func (v Value) Map() Item {
	if v.more == nil {
		return nil
	}
	return v.more.fields
}

// Get finds an attribute.
func (it Item) Get(name string) (Value, bool) {
	if len(it) <= 8 {
		for i := range it {
			if it[i].Name == name {
				return it[i].Value, true
			}
		}
		return Value{}, false
	}
	if i, ok := it.find(name); ok {
		return it[i].Value, true
	}
	return Value{}, false
}

func (it Item) find(name string) (int, bool) {
	i := sort.Search(len(it), func(i int) bool { return it[i].Name >= name })
	return i, i < len(it) && it[i].Name == name
}

// With returns a copy in which the attribute has the value.
func (it Item) With(name string, v Value) Item {
	i, ok := it.find(name)
	out := make(Item, 0, len(it)+1)
	out = append(out, it[:i]...)
	out = append(out, Field{name, v})
	if ok {
		i++
	}
	return append(out, it[i:]...)
}

// Without returns a copy that lacks the attribute.
func (it Item) Without(name string) Item {
	i, ok := it.find(name)
	if !ok {
		return it
	}
	out := make(Item, 0, len(it)-1)
	return append(append(out, it[:i]...), it[i+1:]...)
}

// Only returns the attributes with these names, as far as the item has them.
func (it Item) Only(names []string) Item {
	out := make(Item, 0, len(names))
	for i := range it {
		if slices.Contains(names, it[i].Name) {
			out = append(out, it[i])
		}
	}
	return out
}

// sorted puts fields into their order; false if a name comes twice.
func (it Item) sorted() bool {
	inOrder := true
	for i := 1; i < len(it); i++ {
		if it[i-1].Name >= it[i].Name {
			inOrder = false
			break
		}
	}
	if inOrder {
		return true
	}
	slices.SortFunc(it, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(it); i++ {
		if it[i-1].Name == it[i].Name {
			return false
		}
	}
	return true
}

// Equal reports whether two values have the same type and content; sets are equal whatever order
// they were written in, and numbers are equal by value.
func Equal(a, b Value) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case BOOL:
		return a.truth == b.truth
	case M:
		return EqualItems(a.Map(), b.Map())
	case L:
		return slices.EqualFunc(a.List(), b.List(), Equal)
	}
	return a.text == b.text
}

// EqualItems reports whether two items have the same attributes.
func EqualItems(a, b Item) bool {
	return slices.EqualFunc(a, b, func(x, y Field) bool { return x.Name == y.Name && Equal(x.Value, y.Value) })
}

// Compare orders two scalars of the same type; false if they are not that.
func Compare(a, b Value) (int, bool) {
	if a.kind != b.kind || !a.kind.IsScalar() {
		return 0, false
	}
	if a.kind == N {
		return compareNumbers(a.text, b.text), true
	}
	return strings.Compare(a.text, b.text), true
}

// Depth is how many levels the value has: one for a scalar, one more than its deepest
// element for a list or map.
func (v Value) Depth() int {
	deepest := 0
	for _, e := range v.List() {
		deepest = max(deepest, e.Depth())
	}
	for _, f := range v.Map() {
		deepest = max(deepest, f.Value.Depth())
	}
	return deepest + 1
}
