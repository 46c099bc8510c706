package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/outbox"
	"github.com/banyan-fig/banyan/services/entity"
)

// Backend is an entity.Backend. It is safe for concurrent use.
type Backend struct {
	plan       *plan.Plan
	collection *owned.Collection
	box        *Box

	mu    sync.Mutex
	texts map[int]bson.Raw // by constraint: the collation of its index, nil for none
}

// New uses the plan's collection, in the database db. o admits what is done with events that wait. It
// sends nothing.
func New(db owned.Database, p *plan.Plan, o Ownership) *Backend {
	b := &Backend{plan: p, collection: owned.New(db, p.Source.Collection), texts: map[int]bson.Raw{}}
	b.box = &Box{collection: b.collection, ownership: o, field: outbox.Field(p.Outbox.Field)}
	return b
}

// Box is where events wait. It is empty where the plan names no outbox.field.
func (b *Backend) Box() *Box { return b.box }

// Get implements entity.Backend.
func (b *Backend) Get(ctx context.Context, g ownership.Grant, ids ...bson.RawValue) ([]bson.Raw, error) {
	return b.collection.For(g).Find(ctx, b.there(bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}), owned.FindOptions{Limit: len(ids)})
}

// ByUnique implements entity.Backend.
func (b *Backend) ByUnique(ctx context.Context, g ownership.Grant, constraint int, doc bson.Raw) (bson.Raw, error) {
	holder, err := b.holder(ctx, g, constraint, doc)
	if b.isDeleted(holder) {
		return nil, err
	}
	return holder, err
}

// holder is the document that the server holds to have a value: it may be marked as deleted.
func (b *Backend) holder(ctx context.Context, g ownership.Grant, constraint int, doc bson.Raw) (bson.Raw, error) {
	u := &b.plan.Unique[constraint]
	h, filter, o := b.collection.For(g), u.Filter(), owned.FindOptions{Limit: 1}
	var err error
	if u.Collation == plan.CollationLower {
		if o.Collation, err = b.collation(ctx, h, constraint); err != nil {
			return nil, err
		}
	}
	for _, name := range u.Names() {
		v := doc.Lookup(name)
		if v.IsZero() || v.Type == bson.TypeNull {
			return nil, nil
		}
		values := bson.A{v}
		if text, ok := v.StringValueOK(); ok && u.Collation == plan.CollationLower {
			values = append(values, strings.ToLower(text))
		}
		filter = append(filter, bson.E{Key: name, Value: bson.D{{Key: "$in", Value: values}}})
	}
	docs, err := h.Find(ctx, filter, o)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	return docs[0], nil
}

// Insert implements entity.Backend.
func (b *Backend) Insert(ctx context.Context, g ownership.Grant, w entity.Write) (direct.Write, error) {
	left, entries, err := b.box.keep(w)
	if err != nil {
		return left, err
	}
	doc, err := elementsOf(w.After)
	if err != nil {
		return left, err
	}
	if len(entries) > 0 {
		doc = append(doc, bson.E{Key: b.plan.Outbox.Field, Value: entries})
	}
	h := b.collection.For(g)
	if err = h.InsertOne(ctx, doc); !mongo.IsDuplicateKeyError(err) {
		return left, b.refusal(ctx, g, w, err)
	}
	there, found, findErr := h.FindOne(ctx, byID(w.ID))
	switch {
	case findErr != nil:
		return left, findErr
	case b.isDeleted(there):
		if last, _ := there.Lookup(b.box.field.Deleted()).AsInt64OK(); b.version(w.After) <= last {
			return left, &entity.DeletedError{Version: last}
		}
		w.Before = there
		return b.Replace(ctx, g, w)
	case found || slices.Contains(keyPattern(err), "_id"):
		return left, entity.ErrExists
	}
	return left, b.refusal(ctx, g, w, err)
}

// Replace implements entity.Backend.
func (b *Backend) Replace(ctx context.Context, g ownership.Grant, w entity.Write) (direct.Write, error) {
	left, entries, err := b.box.keep(w)
	if err != nil {
		return left, err
	}
	filter, update, err := b.change(w, entries)
	if err != nil {
		return left, err
	}
	matched, err := b.collection.For(g).UpdateOne(ctx, filter, update)
	if err == nil && !matched {
		err = entity.ErrChanged
	}
	return left, b.refusal(ctx, g, w, err)
}

// change is an update, and the condition for it.
func (b *Backend) change(w entity.Write, entries bson.A) (filter, update bson.D, err error) {
	before, err := elementsOf(w.Before)
	if err != nil {
		return nil, nil, err
	}
	after, err := elementsOf(w.After)
	if err != nil {
		return nil, nil, err
	}
	if b.isDeleted(w.Before) {
		return append(byID(w.ID), b.unchangedOutbox(w)...), b.replacement(w, after, entries), nil
	}
	var set, unset bson.D
	for _, e := range after {
		if was := w.Before.Lookup(e.Key); e.Key != "_id" && !was.Equal(e.Value.(bson.RawValue)) {
			set = append(set, e)
		}
	}
	reserved := b.plan.Outbox.Fields()
	for _, e := range before {
		if w.After.Lookup(e.Key).IsZero() && !slices.Contains(reserved, e.Key) {
			unset = append(unset, bson.E{Key: e.Key, Value: ""})
		}
	}
	filter = b.unchanged(w, before)
	for _, e := range slices.Concat(set, unset) {
		if strings.HasPrefix(e.Key, "$") {
			return nil, nil, fmt.Errorf("%w: MongoDB cannot change the field %q, whose name begins with a dollar sign", entity.ErrInvalid, e.Key)
		}
		if isStrange(e.Key) {
			return append(filter, b.unchangedOutbox(w)...), b.replacement(w, after, entries), nil
		}
	}
	for _, part := range []bson.E{{Key: "$set", Value: set}, {Key: "$unset", Value: unset}} {
		if len(part.Value.(bson.D)) > 0 {
			update = append(update, part)
		}
	}
	if len(entries) > 0 {
		update = append(update, b.push(entries))
	}
	return b.there(filter), update, nil
}

// replacement is the whole document, with what waits in it.
func (b *Backend) replacement(w entity.Write, after bson.D, entries bson.A) bson.D {
	doc := append(bson.D{{Key: "_id", Value: w.Before.Lookup("_id")}},
		slices.DeleteFunc(after, func(e bson.E) bool { return e.Key == "_id" })...)
	for _, name := range b.plan.Outbox.Fields() {
		v := w.Before.Lookup(name)
		switch {
		case name == b.box.field.Deleted():
		case name == b.plan.Outbox.Field && len(entries) > 0:
			doc = append(doc, bson.E{Key: name, Value: append(b.box.stored(w.Before), entries...)})
		case !v.IsZero():
			doc = append(doc, bson.E{Key: name, Value: v})
		}
	}
	return doc
}

// Delete implements entity.Backend. Where events wait, the document is marked, and waits with them.
func (b *Backend) Delete(ctx context.Context, g ownership.Grant, w entity.Write) (direct.Write, error) {
	left, entries, err := b.box.keep(w)
	if err != nil {
		return left, err
	}
	before, err := elementsOf(w.Before)
	if err != nil {
		return left, err
	}
	waiting := b.box.stored(w.Before)
	if len(waiting) > len(b.box.entries(w.Before)) {
		return left, fmt.Errorf("%w: events wait in it that a relay has to publish first", entity.ErrChanged)
	}
	var deleted bool
	h, filter := b.collection.For(g), b.unchanged(w, before)
	if len(entries)+len(waiting) == 0 {
		deleted, err = h.DeleteOne(ctx, append(filter, b.unchangedOutbox(w)...))
	} else {
		mark := bson.D{{Key: "$set", Value: bson.D{{Key: b.box.field.Deleted(), Value: b.version(w.Before) + 1}}}}
		if len(entries) > 0 {
			mark = append(mark, b.push(entries))
		} else { // else nobody would look for it
			_, _, waiting := b.box.field.WaitingIndex()
			filter = append(filter, waiting...)
		}
		deleted, err = h.UpdateOne(ctx, b.there(filter), mark)
	}
	if err == nil && !deleted {
		err = entity.ErrChanged
	}
	return left, b.refusal(ctx, g, w, err)
}

func (b *Backend) push(entries bson.A) bson.E {
	return bson.E{Key: "$push", Value: bson.D{{Key: b.plan.Outbox.Field, Value: bson.D{{Key: "$each", Value: entries}}}}}
}

// there selects documents that are not marked as deleted.
func (b *Backend) there(filter bson.D) bson.D {
	if b.box.field == "" {
		return filter
	}
	return append(filter, bson.E{Key: b.box.field.Deleted(), Value: bson.D{{Key: "$exists", Value: false}}})
}

func (b *Backend) isDeleted(doc bson.Raw) bool {
	return b.box.field != "" && !doc.Lookup(b.box.field.Deleted()).IsZero()
}

func (b *Backend) version(doc bson.Raw) int64 {
	v, _ := doc.Lookup(b.plan.VersionField).AsInt64OK()
	return v
}

// Waiting implements entity.Backend.
func (b *Backend) Waiting(id bson.RawValue) (direct.Write, error) {
	return b.box.waitingOf(id), nil
}

func byID(id bson.RawValue) bson.D { return bson.D{{Key: "_id", Value: id}} }

// maxCompared is the most bytes of a field that a write's condition has.
const maxCompared = 4 << 10

// unchanged selects the document that was read: its version, null for none, and its fields, as
// one that was deleted and made anew may have the version, too.
func (b *Backend) unchanged(w entity.Write, before bson.D) bson.D {
	filter := append(byID(w.ID), bson.E{Key: b.plan.VersionField, Value: bson.D{{Key: "$eq", Value: nil}}})
	for _, e := range before {
		v, condition := e.Value.(bson.RawValue), bson.E{Key: e.Key, Value: bson.D{{Key: "$eq", Value: e.Value}}}
		switch {
		case e.Key == b.plan.VersionField:
			filter[1] = condition
		case e.Key == "_id" || slices.Contains(b.plan.Outbox.Fields(), e.Key):
		case isStrange(e.Key) || v.Type == bson.TypeUndefined: // which no filter takes
		case len(v.Value) <= maxCompared:
			filter = append(filter, condition)
		}
	}
	return filter
}

// isStrange reports whether filters and updates take a field's name for something else.
func isStrange(name string) bool {
	return name == "" || strings.HasPrefix(name, "$") || strings.Contains(name, ".")
}

// unchangedOutbox selects documents in which the events wait that were read.
func (b *Backend) unchangedOutbox(w entity.Write) (filter bson.D) {
	for _, name := range b.plan.Outbox.Fields() {
		condition := bson.D{{Key: "$exists", Value: false}}
		if v := w.Before.Lookup(name); !v.IsZero() {
			condition = bson.D{{Key: "$eq", Value: v}}
		}
		filter = append(filter, bson.E{Key: name, Value: condition})
	}
	return filter
}

// refusal is the store's error for what the server has refused.
func (b *Backend) refusal(ctx context.Context, g ownership.Grant, w entity.Write, err error) error {
	switch {
	case mongo.IsDuplicateKeyError(err):
		return b.contest(ctx, g, w, &entity.TakenError{Fields: keyPattern(err)})
	case mongoerr.HasCode(err, mongoerr.BSONObjectTooLarge):
		return fmt.Errorf("%w: %w", entity.ErrUnfit, err)
	case mongoerr.HasCode(err, mongoerr.DocumentValidationFailure, dollarPrefixedFieldName):
		return fmt.Errorf("%w: %w", entity.ErrInvalid, err)
	}
	return err
}

const dollarPrefixedFieldName = 52

// contest is the error for a value that another document has: ErrChanged where that one is marked
// as deleted, and has the value until its events are published, or is gone by now.
func (b *Backend) contest(ctx context.Context, g ownership.Grant, w entity.Write, taken *entity.TakenError) error {
	fields, free := slices.Sorted(slices.Values(taken.Fields)), false
	for n := range b.plan.Unique {
		names := slices.Sorted(slices.Values(b.plan.Unique[n].Names()))
		isNull := func(name string) bool { v := w.After.Lookup(name); return v.IsZero() || v.Type == bson.TypeNull }
		if !slices.Equal(names, fields) || slices.ContainsFunc(names, isNull) {
			continue
		}
		holder, err := b.holder(ctx, g, n, w.After)
		if err != nil {
			return err
		}
		switch {
		case b.isDeleted(holder):
			return fmt.Errorf("%w: the %s of a deleted one, whose events wait to be published", entity.ErrChanged, b.plan.Unique[n].Name())
		case holder != nil:
			return taken
		}
		free = true
	}
	if free {
		return fmt.Errorf("%w: %w", entity.ErrChanged, taken)
	}
	return taken
}

// keyPattern are the fields of the index that has refused a write.
func keyPattern(err error) (fields []string) {
	var failed mongo.WriteException
	if !errors.As(err, &failed) {
		return nil
	}
	for _, e := range failed.WriteErrors {
		pattern, _ := e.Raw.Lookup("keyPattern").DocumentOK()
		elements, _ := pattern.Elements() // the server's
		for _, e := range elements {
			fields = append(fields, e.Key())
		}
	}
	return fields
}

// elementsOf are the fields of a document.
func elementsOf(doc bson.Raw) (bson.D, error) {
	elements, err := doc.Elements()
	d := make(bson.D, len(elements))
	for i, e := range elements {
		d[i] = bson.E{Key: e.Key(), Value: e.Value()}
	}
	return d, err
}
