package query

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Projection is a compiled projection, of find or of $project; there are no
// computed fields.
type Projection struct {
	include bool
	root    *branch
	id      *bool // what was said of _id
}

// branch is one level of a projection.
type branch struct {
	leaf     bool
	children map[string]*branch
}

func newBranch() *branch { return &branch{children: map[string]*branch{}} }

// CompileProjection reads a projection; an empty one is nil and changes nothing.
func CompileProjection(d D) (*Projection, error) {
	if len(d) <= 5 {
		return nil, nil
	}
	p := &Projection{root: newBranch()}
	mode := 0 // 1 inclusion, -1 exclusion
	if err := p.read(p.root, "", d, &mode); err != nil {
		return nil, err
	}
	p.include = mode > 0 || mode == 0 && p.id != nil && *p.id
	return p, nil
}

func (p *Projection) read(at *branch, prefix string, d D, mode *int) error {
	it := value.Elements(d)
	for it.Next() {
		name := string(it.Key)
		if prefix == "" && name == "_id" && (value.IsNumber(it.Value) || it.Value.Type == bsoncore.TypeBoolean) {
			keep := value.Truthy(it.Value)
			p.id = &keep
			continue
		}
		if strings.HasPrefix(name, "$") || strings.HasSuffix(name, ".$") {
			return failure.Unsupported("projection of '%s'", prefix+name)
		}
		if err := p.readField(at, prefix, name, it.Value, mode); err != nil {
			return err
		}
	}
	return nil
}

func (p *Projection) readField(at *branch, prefix, name string, v V, mode *int) error {
	parts := value.ParsePath(name)
	if slices.Contains(parts, "") {
		return failure.New(failure.Code(40353), "FieldPath field names may not be empty strings: '%s'", name)
	}
	for _, part := range parts {
		child := at.children[part]
		if child == nil {
			child = newBranch()
			at.children[part] = child
		} else if child.leaf || part == parts[len(parts)-1] && len(child.children) > 0 && v.Type != bsoncore.TypeEmbeddedDocument {
			return failure.New(failure.Code(31249), "Path collision at %s", prefix+name)
		}
		at = child
	}
	return p.readLeaf(at, prefix+name, v, mode)
}

func (p *Projection) readLeaf(at *branch, path string, v V, mode *int) error {
	switch {
	case value.IsNumber(v) || v.Type == bsoncore.TypeBoolean:
		at.leaf = true
		return p.choose(mode, value.Truthy(v), path)
	case v.Type == bsoncore.TypeEmbeddedDocument && !isOperators(v):
		return p.read(at, path+".", v.Data, mode)
	}
	return failure.Unsupported("a computed field in a projection: %s", path)
}

func (p *Projection) choose(mode *int, include bool, path string) error {
	want := -1
	if include {
		want = 1
	}
	if *mode != 0 && *mode != want {
		if include {
			return failure.New(failure.Code(31253), "Cannot do inclusion on field %s in exclusion projection", path)
		}
		return failure.New(failure.Code(31254), "Cannot do exclusion on field %s in inclusion projection", path)
	}
	*mode = want
	return nil
}

// Apply gives the projected document.
func (p *Projection) Apply(d D) D {
	if p == nil {
		return d
	}
	at, out := bsoncore.AppendDocumentStart(make([]byte, 0, len(d)))
	out = p.level(out, p.root, d, true)
	out, _ = bsoncore.AppendDocumentEnd(out, at)
	return out
}

func (p *Projection) keepsID() bool { return p.id == nil || *p.id }

func (p *Projection) level(out []byte, b *branch, d D, top bool) []byte {
	it := value.Elements(d)
	for it.Next() {
		if top && p.id != nil && string(it.Key) == "_id" || top && p.include && p.id == nil && string(it.Key) == "_id" && b.children["_id"] == nil {
			if p.keepsID() {
				out = bsoncore.AppendValueElement(out, "_id", it.Value)
			}
			continue
		}
		v := it.Value
		switch child := b.children[string(it.Key)]; {
		case child == nil && p.include:
			continue
		case child == nil:
		case child.leaf && !p.include:
			continue
		case !child.leaf:
			v = p.nested(child, v)
		}
		if !value.Missing(v) {
			out = bsoncore.AppendValueElement(out, string(it.Key), v)
		}
	}
	return out
}

func (p *Projection) nested(b *branch, v V) V {
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument:
		at, out := bsoncore.AppendDocumentStart(nil)
		out = p.level(out, b, v.Data, false)
		out, _ = bsoncore.AppendDocumentEnd(out, at)
		return value.Document(out)
	case bsoncore.TypeArray:
		var list []V
		for _, item := range items(v) {
			if n := p.nested(b, item); !value.Missing(n) {
				list = append(list, n)
			}
		}
		return value.Array(list...)
	}
	if p.include {
		return V{}
	}
	return v
}
