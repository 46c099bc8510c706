package query

import (
	"cmp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Update is a compiled update: a replacement, operators, or a pipeline.
type Update struct {
	replacement D
	operations  []operation
	pipeline    Pipeline
}

// Description is what changed, as a change stream tells it.
type Description struct {
	Updated   D // path: new value
	Removed   []string
	Truncated D // elements of the array truncatedArrays; nil if none
}

// Result is the outcome of an update of one document.
type Result struct {
	After    D
	Modified bool
	Changes  *Description // nil for a replacement
}

// operation is one operator on one path.
type operation struct {
	path  value.Path
	name  string
	apply func(u *updating, path value.Path) error
}

// updating is one application of an update to one document.
type updating struct {
	root      *value.Node
	inserting bool
	touched   []value.Path
}

// CompileUpdate reads the "u" of an update: a document or a pipeline.
func CompileUpdate(v V) (*Update, error) {
	if v.Type == bsoncore.TypeArray {
		p, err := compileUpdatePipeline(v)
		return &Update{pipeline: p}, err
	}
	if v.Type != bsoncore.TypeEmbeddedDocument {
		return nil, failure.New(failure.FailedToParse, "Update argument must be either an object or an array")
	}
	it := value.Elements(v.Data)
	if !it.Next() || !strings.HasPrefix(string(it.Key), "$") {
		return &Update{replacement: v.Data}, nil
	}
	operations, err := compileOperations(v.Data)
	return &Update{operations: operations}, err
}

// Replaces says that the update is a whole document, which MongoDB allows for
// one document at a time only.
func (u *Update) Replaces() bool { return u.replacement != nil }

func compileOperations(d D) ([]operation, error) {
	var operations []operation
	it := value.Elements(d)
	for it.Next() {
		name := string(it.Key)
		compile, known := operators[name]
		if !known {
			return nil, unknownOperator(name)
		}
		if it.Value.Type != bsoncore.TypeEmbeddedDocument {
			return nil, failure.New(failure.FailedToParse, "Modifiers operate on fields but we found type %s instead. For example: {$mod: {<field>: ...}}",
				it.Value.Type)
		}
		arguments := value.Elements(it.Value.Data)
		for arguments.Next() {
			path, err := updatePath(string(arguments.Key))
			if err != nil {
				return nil, err
			}
			compiled, err := compile(name, path, arguments.Value)
			if err != nil {
				return nil, err
			}
			operations = append(operations, compiled...)
		}
	}
	return operations, arrange(operations)
}

func unknownOperator(name string) error {
	return failure.New(failure.FailedToParse, "Unknown modifier, or not implemented by the sandbox: %s. "+
		"Expected a valid update modifier or pipeline-style update specified as an array", name)
}

func updatePath(s string) (value.Path, error) {
	path := value.ParsePath(s)
	for _, part := range path {
		if part == "" {
			return nil, failure.New(failure.EmptyFieldName, "The update path '%s' contains an empty field name, which is not allowed.", s)
		}
		if part == "$" || strings.HasPrefix(part, "$[") {
			return nil, failure.Unsupported("positional update path '%s'", s)
		}
	}
	return path, nil
}

// arrange sorts operations into the order in which MongoDB applies them, by
// path, numbers as numbers, and refuses paths that get in each other's way.
func arrange(operations []operation) error {
	slices.SortStableFunc(operations, func(a, b operation) int {
		return slices.CompareFunc(a.path, b.path, comparePart)
	})
	for i := 1; i < len(operations); i++ {
		a, b := operations[i-1].path, operations[i].path
		if len(a) <= len(b) && slices.Equal(a, b[:len(a)]) {
			return failure.New(failure.ConflictingUpdateOperators, "Updating the path '%s' would create a conflict at '%s'", b, a)
		}
	}
	return nil
}

func comparePart(a, b string) int {
	na, oka := value.Index(a)
	nb, okb := value.Index(b)
	if oka && okb {
		return cmp.Compare(na, nb)
	}
	return cmp.Compare(a, b)
}

// Apply computes the document after the update. inserting is for upserts, where
// before is what the query's equalities gave.
func (u *Update) Apply(before D, inserting bool) (Result, error) {
	id := value.Field(before, "_id")
	if u.replacement != nil {
		after, err := replace(u.replacement, id)
		return Result{After: after, Modified: !slices.Equal(after, before)}, err
	}
	var after D
	var changes *Description
	var err error
	if u.pipeline != nil {
		after, err = u.pipeline.transform(before)
	} else {
		after, changes, err = u.operate(before, inserting)
	}
	if err != nil {
		return Result{}, err
	}
	if now := value.Field(after, "_id"); !value.Missing(id) && !value.Equal(id, now) {
		return Result{}, immutableID()
	}
	if u.pipeline != nil {
		changes = Diff(before, after)
	}
	return Result{After: after, Modified: !slices.Equal(after, before), Changes: changes}, nil
}

func immutableID() error {
	return failure.New(failure.ImmutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
}

// replace gives the replacement the id of the document in place.
func replace(replacement D, id V) (D, error) {
	own := value.Field(replacement, "_id")
	if value.Missing(id) {
		return WithFirstID(replacement), nil
	}
	if value.Missing(own) {
		return PrependID(replacement, id), nil
	}
	if !value.Equal(own, id) {
		return nil, failure.New(failure.ImmutableField, "After applying the update, the (immutable) field '_id' was found to have been altered to _id: %s", own)
	}
	return WithFirstID(replacement), nil
}

// PrependID returns the document with _id as its first field.
func PrependID(d D, id V) D {
	out := make([]byte, 0, len(d)+len(id.Data)+5)
	at, out := bsoncore.AppendDocumentStart(out)
	out = bsoncore.AppendValueElement(out, "_id", id)
	out = append(out, d[4:len(d)-1]...)
	out, _ = bsoncore.AppendDocumentEnd(out, at)
	return out
}

// WithFirstID moves an _id that is somewhere in the document to the front, where
// MongoDB stores it.
func WithFirstID(d D) D {
	it := value.Elements(d)
	if !it.Next() || string(it.Key) == "_id" {
		return d
	}
	id := value.Field(d, "_id")
	if value.Missing(id) {
		return d
	}
	n := value.NewNode(value.Document(d))
	n.PutFirst("_id", value.NewNode(id))
	return n.Value().Data
}

func (u *Update) operate(before D, inserting bool) (D, *Description, error) {
	run := &updating{root: value.NewNode(value.Document(before)), inserting: inserting}
	for _, op := range u.operations {
		if err := op.apply(run, op.path); err != nil {
			return nil, nil, err
		}
	}
	if len(run.touched) == 0 {
		return before, &Description{Updated: emptyDocument}, nil
	}
	after := D(run.root.Value().Data)
	return after, describe(after, run.touched), nil
}

var emptyDocument = bsoncore.BuildDocument(nil)

// describe reads what became of the touched paths.
func describe(after D, touched []value.Path) *Description {
	d := &Description{}
	at, updated := bsoncore.AppendDocumentStart(nil)
	for i, path := range touched {
		if coveredBefore(touched, i) {
			continue
		}
		v := value.Lookup(after, path)
		if value.Missing(v) {
			d.Removed = append(d.Removed, path.String())
			continue
		}
		updated = bsoncore.AppendValueElement(updated, path.String(), v)
	}
	d.Updated, _ = bsoncore.AppendDocumentEnd(updated, at)
	return d
}

func coveredBefore(touched []value.Path, i int) bool {
	for j, other := range touched {
		if j == i || len(other) > len(touched[i]) || !slices.Equal(other, touched[i][:len(other)]) {
			continue
		}
		if len(other) < len(touched[i]) || j < i {
			return true
		}
	}
	return false
}

// Seed is the document that an upsert starts from: the query's equalities.
func Seed(f *Filter, u *Update) (D, error) {
	root := value.NewDocument()
	run := &updating{root: root}
	var err error
	f.Equalities(func(path string, v V) {
		if u.replacement != nil && path != "_id" {
			return
		}
		p, e := updatePath(path)
		if e == nil {
			e = run.set(p, v)
		}
		if e != nil && err == nil {
			err = e
		}
	})
	return root.Value().Data, err
}

// find walks to a path without creating anything.
func (u *updating) find(path value.Path) *value.Node {
	n := u.root
	for _, part := range path {
		if !n.IsDocument() && !n.IsArray() {
			return nil
		}
		if n = n.Child(part); n == nil {
			return nil
		}
	}
	return n
}

// maxPadding is how far an update may fill up an array with nulls; MongoDB's
// limit (a million and a half) bounds memory the same way.
const maxPadding = 1_500_000

// put sets the value at a path, creating documents on the way, and notes the
// first thing it created.
func (u *updating) put(path value.Path, v *value.Node) error {
	n := u.root
	created := 0
	for i, part := range path {
		if n.IsArray() {
			if at, ok := value.Index(part); !ok || at > n.Len()+maxPadding {
				return notViable(part, path[:i])
			}
		} else if !n.IsDocument() {
			return notViable(part, path[:i])
		}
		if i == len(path)-1 {
			n.Put(part, v)
			break
		}
		child := n.Child(part)
		if child == nil {
			child = value.NewDocument()
			n.Put(part, child)
			created = cmp.Or(created, i+1)
		}
		n = child
	}
	created = cmp.Or(created, len(path))
	u.touch(path[:created])
	return nil
}

func notViable(part string, at value.Path) error {
	return failure.New(failure.PathNotViable, "Cannot create field '%s' in element {%s}", part, at)
}

func (u *updating) touch(path value.Path) { u.touched = append(u.touched, path) }

// set is $set: it leaves an identical value alone.
func (u *updating) set(path value.Path, v V) error {
	if old := u.find(path); old != nil && value.Identical(old.Value(), v) {
		return nil
	}
	return u.put(path, value.NewNode(v))
}
