package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
)

// ErrWrite is returned for an update or a document that events cannot be put
// into safely; the error says why and what to do instead.
var ErrWrite = errors.New("events cannot be put into this write")

// Field names the array of events in a document, [DefaultField] unless the
// relay's Config says otherwise. Its methods change no argument.
type Field string

// clearedField is the field that the relay marks when it cleans up the array, see the package comment.
func (f Field) clearedField() string { return string(f) + "_cleared" }

// Deleted is the field that marks a document as deleted but for the events that wait in it: it goes with the last of them.
func (f Field) Deleted() string { return string(f) + "_deleted" }

func (f Field) validate() error {
	if f == "" || f == "_id" || strings.ContainsAny(string(f), ".$\x00") {
		return fmt.Errorf("invalid field %q: must be the name of a top level field", f)
	}
	return nil
}

// Push puts events into an update, such that the server makes the change and
// keeps the events in one step. It is Field.Push of the default field.
func Push(update bson.D, es ...events.Event) (bson.D, error) {
	return DefaultField.Push(update, es...)
}

// Embed puts events into a document that is to be inserted. It is Field.Embed
// of the default field.
func Embed(doc bson.D, es ...events.Event) (bson.D, error) {
	return DefaultField.Embed(doc, es...)
}

// Replace makes the update that turns one document into another and keeps the
// events. It is Field.Replace of the default field.
func Replace(before, after bson.D, es ...events.Event) (bson.D, error) {
	return DefaultField.Replace(before, after, es...)
}

// Push returns update with es at the end of its $push. An upsert may use it as
// well. An update that pushes to other fields keeps that; calling Push on its own
// result appends.
//
// It fails with [ErrWrite] for a replacement and for an update that itself
// changes the field, and with events.ErrMalformed for an event that cannot be
// published. An update pipeline is of another type: use Push with the operators,
// or the collection form.
func (f Field) Push(update bson.D, es ...events.Event) (bson.D, error) {
	if err := f.checkUpdate(update); err != nil {
		return nil, err
	}
	entries, err := Entries(es...)
	if err != nil || len(entries) == 0 {
		return slices.Clone(update), err
	}
	out := slices.Clone(update)
	at := slices.IndexFunc(out, func(e bson.E) bool { return e.Key == "$push" })
	if at < 0 {
		return append(out, bson.E{Key: "$push", Value: bson.D{f.pushOf(entries)}}), nil
	}
	pushes, err := f.appendToPush(out[at].Value, entries)
	out[at].Value = pushes
	return out, err
}

func (f Field) pushOf(entries bson.A) bson.E {
	return bson.E{Key: string(f), Value: bson.D{{Key: "$each", Value: entries}}}
}

// checkUpdate returns an error if events cannot be pushed by this update.
func (f Field) checkUpdate(update bson.D) error {
	for _, operator := range update {
		if !strings.HasPrefix(operator.Key, "$") {
			return fmt.Errorf("publishers/outbox: %w: %q is not an update operator; a replacement would remove events that still wait in the document: "+
				"use Replace, which makes an update of it", ErrWrite, operator.Key)
		}
		fields, err := toDocument(operator.Value)
		if err != nil {
			return fmt.Errorf("publishers/outbox: %w: %s: %w", ErrWrite, operator.Key, err)
		}
		for _, field := range fields {
			if f.isReserved(field.Key) && operator.Key != "$push" {
				return fmt.Errorf("publishers/outbox: %w: its %s changes %q, which only the relay may change: leave it out", ErrWrite, operator.Key, field.Key)
			}
		}
	}
	return nil
}

// isReserved reports whether a path is the array, inside it, or a mark.
func (f Field) isReserved(path string) bool {
	return path == string(f) || strings.HasPrefix(path, string(f)+".") || path == f.clearedField() || path == f.Deleted()
}

// appendToPush adds entries to the fields of an existing $push.
func (f Field) appendToPush(pushes any, entries bson.A) (bson.D, error) {
	fields, err := toDocument(pushes)
	if err != nil {
		return nil, fmt.Errorf("publishers/outbox: %w: $push: %w", ErrWrite, err)
	}
	out := slices.Clone(fields)
	for i, field := range out {
		switch {
		case field.Key == string(f):
			earlier, ok := ownPush(field.Value)
			if !ok {
				return nil, fmt.Errorf("publishers/outbox: %w: its $push to %q was not made by Push: pass the events to Push", ErrWrite, field.Key)
			}
			out[i] = f.pushOf(slices.Concat(earlier, entries))
			return out, nil
		case f.isReserved(field.Key):
			return nil, fmt.Errorf("publishers/outbox: %w: its $push changes %q, which only the relay may change: leave it out", ErrWrite, field.Key)
		}
	}
	return append(out, f.pushOf(entries)), nil
}

// ownPush returns the entries of {$each: [...]}.
func ownPush(v any) (bson.A, bool) {
	d, ok := v.(bson.D)
	if !ok || len(d) != 1 || d[0].Key != "$each" {
		return nil, false
	}
	entries, ok := d[0].Value.(bson.A)
	return entries, ok
}

// Embed returns doc with es in its array, for an insert.
//
// It fails with [ErrWrite] when doc has the array already: a document that was
// read with its waiting events would write them back after they were published.
// For the same reason, and since it would remove events that still wait, a
// document that may exist is not to be replaced: [Field.Replace] makes an update
// of it. (A replacement loses no event that the change stream still has; but
// should the relay have been away for longer than the oplog reaches, only what is
// in the document can be found.)
func (f Field) Embed(doc bson.D, es ...events.Event) (bson.D, error) {
	for _, field := range doc {
		if f.isReserved(field.Key) {
			return nil, fmt.Errorf("publishers/outbox: %w: the document has %q already: "+
				"if it was read from the database use Replace, else leave that out", ErrWrite, field.Key)
		}
		if strings.HasPrefix(field.Key, "$") {
			return nil, fmt.Errorf("publishers/outbox: %w: %q is an update operator: use Push", ErrWrite, field.Key)
		}
	}
	entries, err := Entries(es...)
	if err != nil || len(entries) == 0 {
		return slices.Clone(doc), err
	}
	return append(slices.Clone(doc), bson.E{Key: string(f), Value: entries}), nil
}

// Replace returns the update that turns before, a document as it was read, into
// after, and keeps es in the same step: a replacement that touches neither the
// events that wait in the document nor fields that another writer has added
// meanwhile. Both may have the array, which is passed over, and after may leave
// the _id out. Filter by a version of the document to be sure that it still is
// what was read.
//
// It fails with [ErrWrite] for names of fields that no update can set, such as
// those with a dot.
func (f Field) Replace(before, after bson.D, es ...events.Event) (bson.D, error) {
	var set, unset bson.D
	for _, field := range after {
		if field.Key == "" || strings.ContainsAny(field.Key, ".$") {
			return nil, fmt.Errorf("publishers/outbox: %w: no update can set the field %q: "+
				"use the collection form, where a replacement does no harm", ErrWrite, field.Key)
		}
		if field.Key != "_id" && !f.isReserved(field.Key) {
			set = append(set, field)
		}
	}
	for _, field := range before {
		gone := !slices.ContainsFunc(after, func(e bson.E) bool { return e.Key == field.Key })
		if gone && field.Key != "_id" && !f.isReserved(field.Key) {
			unset = append(unset, bson.E{Key: field.Key, Value: ""})
		}
	}
	var update bson.D
	if len(set) > 0 {
		update = append(update, bson.E{Key: "$set", Value: set})
	}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return f.Push(update, es...)
}

// toDocument converts the operand of an operator, whatever its Go type, to a document.
func toDocument(v any) (bson.D, error) {
	if d, ok := v.(bson.D); ok {
		return d, nil
	}
	b, err := bson.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("not a document: %w", err)
	}
	var d bson.D
	return d, bson.Unmarshal(b, &d)
}

// Entries are events as they are stored, for a write that no other function
// here makes, such as one of several pipelines. It fails with events.ErrMalformed.
func Entries(es ...events.Event) (bson.A, error) {
	entries := make(bson.A, 0, len(es))
	for _, e := range es {
		entry, err := storedForm(e)
		if err != nil {
			return nil, fmt.Errorf("publishers/outbox: %w", err)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// storedForm is the form that this package writes, see the package comment.
func storedForm(e events.Event) (bson.D, error) {
	b, err := events.Encode(e)
	return bson.D{
		{Key: "v", Value: int32(1)},
		{Key: "id", Value: e.ID},
		{Key: "key", Value: e.PartitionKey},
		{Key: "event", Value: bson.Binary{Data: b}},
	}, err
}
