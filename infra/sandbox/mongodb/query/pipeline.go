package query

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// stage turns documents into documents.
type stage struct {
	name string
	run  func(docs []D) ([]D, error)
}

// Pipeline is a compiled aggregation pipeline. Stages run one after the other,
// each on all documents, in memory.
type Pipeline []stage

// CompilePipeline reads the stages of an aggregation. Stages that name a source
// instead of changing documents ($changeStream, $currentOp, ...) are for the
// caller to take off first.
func CompilePipeline(v V) (Pipeline, error) {
	if v.Type != bsoncore.TypeArray {
		return nil, failure.New(failure.TypeMismatch, "'pipeline' option must be specified as an array")
	}
	var p Pipeline
	for _, item := range items(v) {
		name, argument, err := StageOf(item)
		if err != nil {
			return nil, err
		}
		compile, known := stages[name]
		if !known {
			return nil, failure.New(failure.Code(40324), "Unrecognized pipeline stage name, or not implemented by the sandbox: '%s'", name)
		}
		run, err := compile(argument)
		if err != nil {
			return nil, err
		}
		p = append(p, stage{name, run})
	}
	return p, nil
}

// StageOf takes a stage apart.
func StageOf(v V) (name string, argument V, err error) {
	it := value.Elements(v.Data)
	if v.Type != bsoncore.TypeEmbeddedDocument || !it.Next() {
		return "", V{}, failure.New(failure.TypeMismatch, "Each element of the 'pipeline' array must be an object with one field")
	}
	name, argument = string(it.Key), it.Value
	if it.Next() {
		return "", V{}, failure.New(failure.Code(40323), "A pipeline stage specification object must contain exactly one field.")
	}
	return name, argument, nil
}

// Run sends documents through the pipeline.
func (p Pipeline) Run(docs []D) ([]D, error) {
	var err error
	for _, s := range p {
		if docs, err = s.run(docs); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// updateStages are those that an update by pipeline may have.
var updateStages = map[string]bool{"$set": true, "$project": true}

func compileUpdatePipeline(v V) (Pipeline, error) {
	p, err := CompilePipeline(v)
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return Pipeline{}, nil
	}
	for _, s := range p {
		if !updateStages[s.name] {
			return nil, failure.New(failure.InvalidOptions, "%s is not allowed to be used within an update", s.name)
		}
	}
	return p, nil
}

func (p Pipeline) transform(d D) (D, error) {
	docs, err := p.Run([]D{d})
	if err != nil {
		return nil, err
	}
	if id := value.Field(d, "_id"); !value.Missing(id) && value.Missing(value.Field(docs[0], "_id")) {
		return PrependID(docs[0], id), nil
	}
	return WithFirstID(docs[0]), nil
}

// StreamStages are those allowed after $changeStream.
var StreamStages = map[string]bool{"$match": true, "$project": true, "$set": true}

// Names lists the stages.
func (p Pipeline) Names() []string {
	names := make([]string, len(p))
	for i, s := range p {
		names[i] = s.name
	}
	return names
}

type stageCompiler func(argument V) (func([]D) ([]D, error), error)

var stages = map[string]stageCompiler{
	"$match": match, "$limit": limit, "$project": project, "$set": set, "$group": group,
}

// perDocument lifts a function of one document.
func perDocument(f func(D) (D, error)) func([]D) ([]D, error) {
	return func(docs []D) ([]D, error) {
		out := make([]D, len(docs))
		for i, d := range docs {
			n, err := f(d)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	}
}

func document(v V, name string) (D, error) {
	if v.Type != bsoncore.TypeEmbeddedDocument {
		return nil, failure.New(failure.Code(15959), "the argument of %s must be an object", name)
	}
	return v.Data, nil
}

func match(v V) (func([]D) ([]D, error), error) {
	d, err := document(v, "$match")
	if err != nil {
		return nil, err
	}
	f, err := CompileFilter(d)
	return func(docs []D) ([]D, error) {
		var out []D
		for _, d := range docs {
			if f.Matches(d) {
				out = append(out, d)
			}
		}
		return out, nil
	}, err
}

func limit(v V) (func([]D) ([]D, error), error) {
	n, ok := value.Integer(v)
	if !ok || n < 1 {
		return nil, failure.New(failure.Code(15958), "the limit must be positive, not %s", v)
	}
	return func(docs []D) ([]D, error) { return docs[:min(n, int64(len(docs)))], nil }, nil
}

func project(v V) (func([]D) ([]D, error), error) {
	d, err := document(v, "$project")
	if err != nil {
		return nil, err
	}
	p, err := CompileProjection(d)
	if err == nil && p == nil {
		err = failure.New(failure.Code(51272), "Invalid $project :: caused by :: projection specification must have at least one field")
	}
	return perDocument(func(d D) (D, error) { return p.Apply(d), nil }), err
}

func set(v V) (func([]D) ([]D, error), error) {
	d, err := document(v, "$set")
	if err != nil {
		return nil, err
	}
	type addition struct {
		path value.Path
		Expression
	}
	var additions []addition
	it := value.Elements(d)
	for it.Next() {
		e, err := CompileExpression(it.Value)
		if err != nil {
			return nil, err
		}
		path, err := updatePath(string(it.Key))
		if err != nil {
			return nil, err
		}
		additions = append(additions, addition{path, e})
	}
	return perDocument(func(d D) (D, error) {
		root := value.NewNode(value.Document(d))
		for _, a := range additions {
			v, err := a.Expression(d)
			if err != nil {
				return nil, err
			}
			addField(root, a.path, v)
		}
		return root.Value().Data, nil
	}), nil
}

// addField sets a path as $set does: into every element of an array, and
// in place of a value that is no document.
func addField(n *value.Node, path value.Path, v V) {
	if n.IsArray() {
		for i, f := range n.Fields() {
			if !f.IsDocument() && !f.IsArray() {
				n.Put(index(i), value.NewDocument())
			}
			addField(n.Child(index(i)), path, v)
		}
		return
	}
	if len(path) == 1 {
		if value.Missing(v) {
			n.Remove(path[0])
		} else {
			n.Put(path[0], value.NewNode(v))
		}
		return
	}
	child := n.Child(path[0])
	if child == nil || !child.IsDocument() && !child.IsArray() {
		child = value.NewDocument()
		n.Put(path[0], child)
	}
	addField(child, path[1:], v)
}
