package entity

import (
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Join makes a document of elements.
func Join(elements ...bson.RawElement) bson.Raw {
	at, doc := bsoncore.AppendDocumentStart(nil)
	for _, e := range elements {
		doc = append(doc, e...)
	}
	doc, _ = bsoncore.AppendDocumentEnd(doc, at) // the start is this one's
	return bson.Raw(doc)
}

// Element is a field of a document.
func Element(name string, v bson.RawValue) bson.RawElement {
	return append(bsoncore.AppendHeader(nil, bsoncore.Type(v.Type), name), v.Value...)
}

// without is a document without some of its fields.
func without(doc bson.Raw, names ...string) bson.Raw {
	elements, err := doc.Elements()
	if err != nil || !slices.ContainsFunc(elements, func(e bson.RawElement) bool { return slices.Contains(names, e.Key()) }) {
		return doc
	}
	return Join(slices.DeleteFunc(elements, func(e bson.RawElement) bool { return slices.Contains(names, e.Key()) })...)
}

// withVersion is a document with a version, in its place or behind all. No field may be there twice.
func withVersion(doc bson.Raw, field string, version int64) (bson.Raw, error) {
	elements, err := doc.Elements()
	if err != nil {
		return nil, err
	}
	e := Element(field, bson.RawValue{Type: bson.TypeInt64, Value: bsoncore.AppendInt64(nil, version)})
	seen := map[string]bool{}
	for i, old := range elements {
		if seen[old.Key()] {
			return nil, errors.New("field " + old.Key() + " is there twice")
		}
		if seen[old.Key()] = true; old.Key() == field {
			elements[i] = e
		}
	}
	if !seen[field] {
		elements = append(elements, e)
	}
	return Join(elements...), nil
}

// union has the names of the fields of both.
func union(docs ...bson.Raw) map[string]bool {
	names := map[string]bool{}
	for _, doc := range docs {
		elements, _ := doc.Elements() // what is not well-formed differs as a whole
		for _, e := range elements {
			names[e.Key()] = true
		}
	}
	return names
}

// merge is a document with what has changed from one view of it to another: fields that the
// views do not have, and those whose value is the same in both, stay as they are, also their
// types; so in documents within it, but not within arrays.
func merge(doc, from, to bson.Raw) (bson.Raw, error) {
	elements, err := doc.Elements()
	if err != nil {
		return nil, err
	}
	changed, err := to.Elements()
	if err != nil {
		return nil, err
	}
	names := union(from)
	var merged []bson.RawElement
	placed := map[string]bool{}
	for _, e := range elements {
		name := e.Key()
		after, err := to.LookupErr(name)
		switch {
		case placed[name]:
			continue
		case err == nil && !(names[name] && after.Equal(from.Lookup(name))):
			if after, err = mergeValue(e.Value(), from.Lookup(name), after); err != nil {
				return nil, err
			}
			e = Element(name, after)
		case err != nil && names[name]:
			continue // removed
		}
		placed[name] = true
		merged = append(merged, e)
	}
	for _, e := range changed {
		if name := e.Key(); !placed[name] && !(names[name] && e.Value().Equal(from.Lookup(name))) {
			merged = append(merged, e)
		}
	}
	return Join(merged...), nil
}

// mergeValue is merge where all three are documents, else to.
func mergeValue(v, from, to bson.RawValue) (bson.RawValue, error) {
	doc, isDoc := v.DocumentOK()
	before, isBefore := from.DocumentOK()
	after, isAfter := to.DocumentOK()
	if !isDoc || !isBefore || !isAfter {
		return to, nil
	}
	merged, err := merge(doc, before, after)
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: merged}, err
}
