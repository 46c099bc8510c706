package value

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Node is a value that can be changed. Documents and arrays are taken apart
// only when something inside them is reached for, so the rest of a document
// goes through an update as it was.
type Node struct {
	raw    V
	open   bool // fields is in force, raw is not (but for its type)
	fields []*FieldNode
}

// FieldNode is a named child.
type FieldNode struct {
	Key string
	*Node
}

// NewNode wraps a raw value, which must not change afterwards.
func NewNode(v V) *Node { return &Node{raw: v} }

// NewDocument is an empty document.
func NewDocument() *Node {
	return &Node{raw: V{Type: bsoncore.TypeEmbeddedDocument}, open: true}
}

// NewArray is an array of values.
func NewArray(items ...V) *Node {
	n := &Node{raw: V{Type: bsoncore.TypeArray}, open: true}
	for _, v := range items {
		n.Append(NewNode(v))
	}
	return n
}

// IsDocument and IsArray say what the node is.
func (n *Node) IsDocument() bool { return n.raw.Type == bsoncore.TypeEmbeddedDocument }

// IsArray says whether the node is an array.
func (n *Node) IsArray() bool { return n.raw.Type == bsoncore.TypeArray }

// Type is the type of the value.
func (n *Node) Type() bsoncore.Type { return n.raw.Type }

func (n *Node) unfold() {
	if n.open || !(n.IsDocument() || n.IsArray()) {
		return
	}
	it := Elements(n.raw.Data)
	for it.Next() {
		n.fields = append(n.fields, &FieldNode{string(it.Key), &Node{raw: it.Value}})
	}
	n.open = true
}

// Fields are the children in their order.
func (n *Node) Fields() []*FieldNode { n.unfold(); return n.fields }

// Len is the number of children.
func (n *Node) Len() int { return len(n.Fields()) }

// Child is the named field of a document or the element of an array, or nil.
func (n *Node) Child(key string) *Node {
	n.unfold()
	if n.IsArray() {
		if i, ok := Index(key); ok && i < len(n.fields) {
			return n.fields[i].Node
		}
		return nil
	}
	for _, f := range n.fields {
		if f.Key == key {
			return f.Node
		}
	}
	return nil
}

// Put sets a field in place or at the end; an array is filled up with nulls.
func (n *Node) Put(key string, v *Node) {
	n.unfold()
	if n.IsArray() {
		i, _ := Index(key)
		for len(n.fields) <= i {
			n.Append(NewNode(Null))
		}
		n.fields[i] = &FieldNode{strconv.Itoa(i), v}
		return
	}
	for _, f := range n.fields {
		if f.Key == key {
			f.Node = v
			return
		}
	}
	n.fields = append(n.fields, &FieldNode{key, v})
}

// PutFirst puts a field of a document before all others.
func (n *Node) PutFirst(key string, v *Node) {
	n.Remove(key)
	n.fields = append([]*FieldNode{{key, v}}, n.fields...)
}

// Append adds an element to an array.
func (n *Node) Append(v *Node) {
	n.unfold()
	n.fields = append(n.fields, &FieldNode{strconv.Itoa(len(n.fields)), v})
}

// Remove takes a field out of a document; the element of an array becomes null,
// as $unset does it. It says whether there was one.
func (n *Node) Remove(key string) bool {
	n.unfold()
	if n.IsArray() {
		i, ok := Index(key)
		if !ok || i >= len(n.fields) {
			return false
		}
		n.fields[i].Node = NewNode(Null)
		return true
	}
	for i, f := range n.fields {
		if f.Key == key {
			n.fields = append(n.fields[:i:i], n.fields[i+1:]...)
			return true
		}
	}
	return false
}

// Value encodes the node; what was never unfolded is returned as it came.
func (n *Node) Value() V {
	if !n.open {
		return n.raw
	}
	return V{Type: n.raw.Type, Data: n.encode(nil)}
}

func (n *Node) encode(dst []byte) []byte {
	if !n.open {
		return append(dst, n.raw.Data...)
	}
	at, dst := bsoncore.AppendDocumentStart(dst)
	for i, f := range n.fields {
		key := f.Key
		if n.IsArray() {
			key = strconv.Itoa(i)
		}
		dst = bsoncore.AppendHeader(dst, f.Node.raw.Type, key)
		dst = f.Node.encode(dst)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, at)
	return dst
}
