package outbox

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// Bounds of one clean-up.
const (
	maxCleaned     = 500 // batches at once
	attemptTimeout = 15 * time.Second
)

// runCleanUp dequeues batches in order, waits until each is published, moves
// refused entries to their collection, and removes all entries from where they waited.
func (r *Relay) runCleanUp(ctx context.Context) {
	var next *batch
	for {
		first := next
		if next = nil; first == nil {
			select {
			case first = <-r.queue:
			case <-ctx.Done():
				return
			}
		}
		r.counts.setOldest(first)
		var group []*batch
		group, next = r.gatherPublished(ctx, first)
		err := r.cleanUp(ctx, group)
		for _, b := range group {
			r.finishBatch(b, err)
		}
		if next == nil && len(r.queue) == 0 {
			r.counts.setOldest(nil)
		}
	}
}

func (r *Relay) finishBatch(b *batch, err error) {
	if err != nil {
		r.lost.Store(true)
		if b.sweep != nil {
			b.sweep.failed = true
		}
	}
	r.counts.removeWaiting(b)
	b.complete(err)
}

// gatherPublished waits for the first batch and dequeues those behind it that are
// published as well. It returns the one that is not, and finishes those that failed.
func (r *Relay) gatherPublished(ctx context.Context, first *batch) (group []*batch, next *batch) {
	for b := first; b != nil; {
		if err := r.awaitPublished(ctx, b); err == nil {
			group = append(group, b)
		} else if len(group) == 0 {
			r.finishBatch(b, err)
		} else {
			return group, b // in its turn
		}
		if len(group) == maxCleaned {
			return group, nil
		}
		select {
		case b = <-r.queue:
			if !b.isPublished() {
				return group, b
			}
		default:
			b = nil
		}
	}
	return group, nil
}

// isPublished reports whether all receipts of b are complete.
func (b *batch) isPublished() bool {
	for _, p := range b.entries {
		if p.receipt == nil {
			continue
		}
		select {
		case <-p.receipt.Done():
		default:
			return false
		}
	}
	return true
}

// cleanUp removes what is published or refused, and retries until it succeeds. What came from the
// stream is read again from the position if this is interrupted, so it may be removed in
// any order. What a sweep found can only be found in the database: it is removed in the
// order in which it was published, so that an event never remains without its successors.
func (r *Relay) cleanUp(ctx context.Context, group []*batch) error {
	if err := r.moveAll(ctx, group); err != nil {
		return err
	}
	var streamed []*batch
	for _, b := range group {
		if b.origin != nil && b.sweep == nil {
			streamed = append(streamed, b)
		}
	}
	for name := range r.collections {
		if err := r.removeFrom(ctx, name, ofCollection(streamed, name)); err != nil {
			return err
		}
	}
	for len(group) > 0 {
		n := 1
		for n < len(group) && group[n].sameCollection(group[0]) {
			n++
		}
		if first := group[0]; first.sweep != nil {
			if err := r.removeFrom(ctx, first.origin.collection, group[:n]); err != nil {
				return err
			}
		}
		group = group[n:]
	}
	return nil
}

func ofCollection(group []*batch, collection string) []*batch {
	return slices.DeleteFunc(slices.Clone(group), func(b *batch) bool { return b.origin.collection != collection })
}

// sameCollection reports whether two batches of one sweep are of one collection.
func (b *batch) sameCollection(other *batch) bool {
	return b.sweep != nil && b.sweep == other.sweep && b.origin.collection == other.origin.collection
}

// removeFrom removes the entries of batches from their collection.
func (r *Relay) removeFrom(ctx context.Context, name string, group []*batch) error {
	var models []mongo.WriteModel
	for _, l := range groupByDocument(group) {
		if r.isOutbox(name) {
			models = append(models, mongo.NewDeleteOneModel().SetFilter(elementsOf(l.document)))
		} else {
			models = append(models, r.cfg.Field.removalModels(l)...)
		}
	}
	return r.writeModels(ctx, r.collections[name], models)
}

// retryTransient retries transient errors until ctx ends.
func (r *Relay) retryTransient(ctx context.Context, do func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		once, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := do(once)
		cancel()
		if err == nil {
			return nil
		}
		if err = transient(err); ctx.Err() != nil || !errors.Is(err, errTransient) {
			return err
		}
		r.cfg.Log.Warn("clean-up is late", "relay", r.cfg.Name, "error", err)
		if retryDelay.Wait(ctx, attempt) != nil {
			return err
		}
	}
}

// removal is what to remove from one document.
type removal struct {
	document bson.Raw
	ids      bson.A // of events, each once
	values   bson.A // whole, for what has no id or is no event
}

// groupByDocument sorts a group by document. Of what a sweep found, the events of one key
// keep their order, so a document may occur more than once.
func groupByDocument(group []*batch) (all []*removal) {
	of := make(map[string]int)   // the last of a document
	upTo := make(map[string]int) // the last with a key
	for _, b := range group {
		for _, p := range b.entries {
			if p.stays {
				continue
			}
			i, there := of[string(b.origin.document)]
			if !there || b.sweep != nil && i < upTo[p.key] {
				i = len(all)
				all = append(all, &removal{document: b.origin.document})
				of[string(b.origin.document)] = i
			}
			upTo[p.key] = max(upTo[p.key], i)
			all[i].add(p)
		}
	}
	return all
}

func (l *removal) add(p *flight) {
	if !p.hasID() {
		l.values = append(l.values, p.raw)
		return
	}
	for _, id := range l.ids {
		if id := id.(bson.RawValue); id.Type == p.id.Type && bytes.Equal(id.Value, p.id.Value) {
			return
		}
	}
	l.ids = append(l.ids, p.id)
}

// removalModels returns the updates that remove published entries. Where nothing else waits, the field is unset,
// which leaves no trace and shows nothing in the change stream. Else the rest of
// the array shows there as if it was new; the mark says that it is not.
func (f Field) removalModels(l *removal) (models []mongo.WriteModel) {
	update := func(condition bson.D, change bson.D) {
		filter := append(elementsOf(l.document), condition...)
		models = append(models, mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(change))
	}
	array, id := string(f), string(f)+".id"
	vanish := bson.D{{Key: "$unset", Value: bson.D{{Key: array, Value: ""}, {Key: f.clearedField(), Value: ""}}}}
	pull := func(what bson.D) bson.D {
		return bson.D{{Key: "$pull", Value: bson.D{{Key: array, Value: what}}},
			{Key: "$set", Value: bson.D{{Key: f.clearedField(), Value: bson.NewObjectID()}}}}
	}
	if len(l.ids) > 0 {
		each := bson.A{bson.D{{Key: array, Value: bson.D{{Key: "$size", Value: len(l.ids)}}}}}
		for _, one := range l.ids {
			each = append(each, bson.D{{Key: id, Value: one}})
		}
		any := bson.D{{Key: "$in", Value: l.ids}}
		update(bson.D{{Key: "$and", Value: each}}, vanish)
		update(bson.D{{Key: id, Value: any}}, pull(bson.D{{Key: "id", Value: any}}))
	}
	if len(l.values) > 0 {
		any := bson.D{{Key: "$in", Value: l.values}}
		update(bson.D{{Key: array, Value: bson.D{{Key: "$elemMatch", Value: any}}}}, pull(any)) // of an array only
		update(bson.D{{Key: array, Value: bson.D{{Key: "$size", Value: 0}}}}, vanish)
	}
	return models
}

func elementsOf(doc bson.Raw) bson.D {
	var d bson.D
	fields, _ := doc.Elements() // the server's
	for _, f := range fields {
		d = append(d, bson.E{Key: f.Key(), Value: f.Value()})
	}
	return d
}

// writeModels executes the models in order, and skips those that a document
// refuses.
func (r *Relay) writeModels(ctx context.Context, c *mongo.Collection, models []mongo.WriteModel) error {
	for len(models) > 0 {
		var refused mongo.WriteError
		err := r.retryTransient(ctx, func(ctx context.Context) error {
			_, err := c.BulkWrite(ctx, models)
			if e, ok := refusedWrite(err); ok {
				refused, err = e, errUnwritable
			}
			return err
		})
		if !errors.Is(err, errUnwritable) {
			return err
		}
		r.counts.stuck.Add(1)
		r.cfg.Log.Error("a document refuses its clean-up: its events are published and stay in it", "collection", c.Name(), "error", refused)
		models = models[refused.Index+1:]
	}
	return nil
}

// errUnwritable ends the retries.
var errUnwritable = errors.New("a document cannot be changed")

// refusedWrite finds an error that belongs to one document and will not pass: its
// validation, for instance. It knows the server's codes for a bad value, an invalid
// path, a failed validation, a view and a document that is too large.
func refusedWrite(err error) (mongo.WriteError, bool) {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || len(bulk.WriteErrors) == 0 {
		return mongo.WriteError{}, false
	}
	first := bulk.WriteErrors[0].WriteError
	switch first.Code {
	case mongoerr.BadValue, 28, mongoerr.DocumentValidationFailure, mongoerr.CommandNotSupportedOnView, mongoerr.BSONObjectTooLarge, 17280:
		return first, true
	}
	return mongo.WriteError{}, false
}
