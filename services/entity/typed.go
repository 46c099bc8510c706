package entity

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
)

// Typed is a store as documents of a Go type: a struct with bson tags, of which one is _id.
// Fields of documents that the type does not have pass through every change untouched.
type Typed[T any] struct{ *Store }

// Of gives a store a type.
func Of[T any](s *Store) Typed[T] { return Typed[T]{s} }

// Versioned is a document, and its version.
type Versioned[T any] struct {
	Value   T
	Version int64
}

// Outcome is that of a write.
type Outcome[T any] struct {
	Versioned[T]
	// Position is that of the last event; see Written.
	Position events.Position
	// Repeated says that the effect was there before.
	Repeated bool
}

// Option is one of a write.
type Option func(*Options)

// IfVersion has a write fail with a [VersionError] where the document has another version; nil is
// for any.
func IfVersion(version *int64) Option {
	return func(o *Options) { o.IfVersion = version }
}

// Telling has a write make events: before is nil for what is made, after for what is deleted.
func (t Typed[T]) Telling(tell func(ctx context.Context, before, after *Versioned[T]) ([]events.Event, error)) Option {
	return func(o *Options) {
		o.Tell = func(ctx context.Context, before, after bson.Raw) ([]events.Event, error) {
			var views [2]*Versioned[T]
			for i, doc := range []bson.Raw{before, after} {
				if doc == nil {
					continue
				}
				v, err := t.versioned(doc)
				if err != nil {
					return nil, err
				}
				views[i] = &v
			}
			return tell(ctx, views[0], views[1])
		}
	}
}

func optionsOf(list []Option) (o Options) {
	for _, set := range list {
		set(&o)
	}
	return o
}

func read[T any](doc bson.Raw) (v T, err error) {
	if err = bson.Unmarshal(doc, &v); err != nil {
		err = fmt.Errorf("read the document as %T: %w", v, err)
	}
	return v, err
}

func (t Typed[T]) versioned(doc bson.Raw) (v Versioned[T], err error) {
	v.Version = t.Version(doc)
	v.Value, err = read[T](doc)
	return v, err
}

func (t Typed[T]) all(docs []bson.Raw) ([]Versioned[T], error) {
	all := make([]Versioned[T], len(docs))
	for i, doc := range docs {
		var err error
		if all[i], err = t.versioned(doc); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (t Typed[T]) outcome(w Written, err error) (Outcome[T], error) {
	o := Outcome[T]{Position: w.Position, Repeated: w.Repeated}
	if w.Doc == nil {
		return o, err
	}
	v, readErr := t.versioned(w.Doc)
	o.Versioned = v
	if err == nil {
		err = readErr
	}
	return o, err
}

// Get is Store.Get.
func (t Typed[T]) Get(ctx context.Context, id any) (Versioned[T], error) {
	doc, err := t.Store.Get(ctx, id)
	if err != nil {
		return Versioned[T]{}, err
	}
	return t.versioned(doc)
}

// GetMany is Store.GetMany.
func (t Typed[T]) GetMany(ctx context.Context, ids ...any) ([]Versioned[T], error) {
	docs, err := t.Store.GetMany(ctx, ids...)
	if err != nil {
		return nil, err
	}
	return t.all(docs)
}

// ByUnique is Store.ByUnique.
func (t Typed[T]) ByUnique(ctx context.Context, values bson.D) (Versioned[T], error) {
	doc, err := t.Store.ByUnique(ctx, values)
	if err != nil {
		return Versioned[T]{}, err
	}
	return t.versioned(doc)
}

// Query is Store.Query.
func (t Typed[T]) Query(ctx context.Context, q Query) ([]Versioned[T], string, error) {
	docs, next, err := t.Store.Query(ctx, q)
	if err != nil {
		return nil, "", err
	}
	all, err := t.all(docs)
	return all, next, err
}

// Create is Store.Create.
func (t Typed[T]) Create(ctx context.Context, v T, options ...Option) (Outcome[T], error) {
	doc, err := bson.Marshal(v)
	if err != nil {
		return Outcome[T]{}, fmt.Errorf("%w: write %T as BSON: %w", ErrInvalid, v, err)
	}
	return t.outcome(t.Store.Create(ctx, doc, optionsOf(options)))
}

// Update is Store.Update by a function that changes the value. What it leaves as it is keeps
// the BSON that it has.
func (t Typed[T]) Update(ctx context.Context, id any, change func(*T) error, options ...Option) (Outcome[T], error) {
	return t.outcome(t.Store.Update(ctx, id, func(current bson.Raw) (bson.Raw, error) {
		v, err := read[T](current)
		if err != nil {
			return nil, err
		}
		from, err := bson.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("write %T as BSON: %w", v, err)
		}
		if err := change(&v); err != nil {
			return nil, err
		}
		to, err := bson.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("%w: write %T as BSON: %w", ErrInvalid, v, err)
		}
		return merge(current, from, to)
	}, optionsOf(options)))
}

// Delete is Store.Delete.
func (t Typed[T]) Delete(ctx context.Context, id any, options ...Option) (Outcome[T], error) {
	return t.outcome(t.Store.Delete(ctx, id, optionsOf(options)))
}
