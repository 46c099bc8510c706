package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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

// cleanUp removes what is published or refused, and retries until it succeeds. Of one
// key it removes events in the order in which they were published, so that none ever
// waits without its successors: where the position is lost, or was not there yet, the
// sweep publishes what waits behind what was published already.
func (r *Relay) cleanUp(ctx context.Context, group []*batch) error {
	if err := r.moveAll(ctx, group); err != nil {
		return err
	}
	steps := inOrder(group)
	if r.cfg.Admit == nil || len(steps) == 0 {
		return r.remove(ctx, steps)
	}
	return r.retryTransient(ctx, func(ctx context.Context) error {
		return r.cfg.Admit(ctx, func(ctx context.Context) error { return r.remove(ctx, steps) })
	})
}

// remove executes the steps until each was executed where the collections are. A name that
// a collection has left is vacant, so that nothing is found there, or a view. No name is
// used twice: where a collection still is, it was at the time of the request.
func (r *Relay) remove(ctx context.Context, steps [][]*batch) error {
	places := *r.places.Load()
	for attempt := 0; ; attempt++ {
		found, err := r.removeFrom(ctx, places, steps)
		if err == nil && found || err != nil && !errors.Is(err, errMoved) {
			return err
		}
		var now map[string]string
		locate := func(ctx context.Context) (err error) { now, err = r.locate(ctx); return err }
		if err := r.retryTransient(ctx, locate); err != nil {
			return err
		}
		if maps.Equal(now, places) {
			if err == nil {
				return nil // removed before
			}
			r.cfg.Log.Warn("clean-up waits", "relay", r.cfg.Name, "error", err)
			if retryDelay.Wait(ctx, attempt) != nil {
				return err
			}
		}
		places = now
	}
}

// removeFrom reports whether there was something to remove for each request.
func (r *Relay) removeFrom(ctx context.Context, places map[string]string, steps [][]*batch) (found bool, err error) {
	found = true
	for _, step := range steps {
		name, removals := step[0].origin.collection, groupByDocument(step)
		var models []mongo.WriteModel
		for _, l := range removals {
			if r.isOutbox(name) {
				models = append(models, mongo.NewDeleteOneModel().SetFilter(elementsOf(l.document)))
			} else {
				models = append(models, r.cfg.Field.removalModels(l)...)
			}
			found = found && len(l.values) == 0 // which are counted twice
		}
		n, err := r.writeModels(ctx, r.cfg.Database.Collection(places[name]), models)
		if err != nil {
			return false, err
		}
		found = found && n == int64(len(removals))
	}
	return found, nil
}

// inOrder sorts a group into steps, each of one collection and as few as can be: of one
// key, no batch is in an earlier step than one before it.
func inOrder(group []*batch) (steps [][]*batch) {
	last := make(map[string]int) // step of a key
	for _, b := range group {
		if b.origin == nil {
			continue
		}
		i := 0
		for _, p := range b.entries {
			i = max(i, last[p.key])
		}
		for i < len(steps) && steps[i][0].origin.collection != b.origin.collection {
			i++
		}
		if i == len(steps) {
			steps = append(steps, nil)
		}
		steps[i] = append(steps[i], b)
		for _, p := range b.entries {
			last[p.key] = i
		}
	}
	return steps
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

// groupByDocument sorts a group by document. The events of one key keep their order, so a
// document may occur more than once.
func groupByDocument(group []*batch) (all []*removal) {
	of := make(map[string]int)   // the last of a document
	upTo := make(map[string]int) // the last with a key
	for _, b := range group {
		for _, p := range b.entries {
			if p.stays {
				continue
			}
			i, there := of[string(b.origin.document)]
			if !there || i < upTo[p.key] {
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

// Removal takes published events out of a document: by an update, or, where there is none, by
// deleting the document.
type Removal struct{ Filter, Update bson.D }

// Remove returns how events are taken out of a document, which a condition selects, by their ids,
// one Removal after the other. Where nothing else waits, the field is unset, which leaves no trace;
// a document that is marked as deleted is deleted. Else the rest of the array shows in the change
// stream as if it was new; the mark says that it is not.
func (f Field) Remove(document bson.D, ids bson.A) []Removal {
	array, id := string(f), string(f)+".id"
	each := bson.A{bson.D{{Key: array, Value: bson.D{{Key: "$size", Value: len(ids)}}}}}
	for _, one := range ids {
		each = append(each, bson.D{{Key: id, Value: one}})
	}
	any := bson.D{{Key: "$in", Value: ids}}
	others := bson.D{{Key: "$elemMatch", Value: bson.D{{Key: "id", Value: bson.D{{Key: "$nin", Value: ids}}}}}}
	marked := func(is bool) bson.E { return bson.E{Key: f.Deleted(), Value: bson.D{{Key: "$exists", Value: is}}} }
	return []Removal{
		{append(slices.Clip(document), bson.E{Key: "$and", Value: each}, marked(false)), f.vanish()},
		{append(slices.Clip(document), bson.E{Key: id, Value: any}, // what is marked is found by what waits
			bson.E{Key: "$or", Value: bson.A{bson.D{marked(false)}, bson.D{{Key: array, Value: others}}}}), f.pull(bson.D{{Key: "id", Value: any}})},
		{append(slices.Clip(document), bson.E{Key: id, Value: any}, marked(true), bson.E{Key: array, Value: bson.D{{Key: "$not", Value: others}}}), nil},
	}
}

func (f Field) vanish() bson.D {
	return bson.D{{Key: "$unset", Value: bson.D{{Key: string(f), Value: ""}, {Key: f.clearedField(), Value: ""}}}}
}

func (f Field) pull(what bson.D) bson.D {
	return bson.D{{Key: "$pull", Value: bson.D{{Key: string(f), Value: what}}},
		{Key: "$set", Value: bson.D{{Key: f.clearedField(), Value: bson.NewObjectID()}}}}
}

// removalModels returns the updates that remove published entries.
func (f Field) removalModels(l *removal) (models []mongo.WriteModel) {
	document, array := elementsOf(l.document), string(f)
	var all []Removal
	if len(l.ids) > 0 {
		all = f.Remove(document, l.ids)
	}
	if len(l.values) > 0 {
		any := bson.D{{Key: "$in", Value: l.values}}
		all = append(all, // of an array only
			Removal{append(slices.Clip(document), bson.E{Key: array, Value: bson.D{{Key: "$elemMatch", Value: any}}}), f.pull(any)},
			Removal{append(slices.Clip(document), bson.E{Key: array, Value: bson.D{{Key: "$size", Value: 0}}}), f.vanish()})
	}
	for _, one := range all {
		if one.Update != nil { // else it is its service's, which alone may delete it
			models = append(models, mongo.NewUpdateOneModel().SetFilter(one.Filter).SetUpdate(one.Update))
		}
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
// refuses. It returns how many documents were there, or errMoved.
func (r *Relay) writeModels(ctx context.Context, c *mongo.Collection, models []mongo.WriteModel) (found int64, err error) {
	for len(models) > 0 {
		var refused mongo.WriteError
		err := r.retryTransient(ctx, func(ctx context.Context) error {
			out, err := c.BulkWrite(ctx, models)
			if out != nil {
				found += out.MatchedCount + out.DeletedCount
			}
			if mongoerr.HasCode(err, mongoerr.CommandNotSupportedOnView) {
				return fmt.Errorf("%w: %w", errMoved, err)
			}
			if e, ok := refusedWrite(err); ok {
				refused, err = e, errUnwritable
			}
			return err
		})
		if !errors.Is(err, errUnwritable) || errors.Is(err, errMoved) {
			return found, err
		}
		r.counts.stuck.Add(1)
		r.cfg.Log.Error("a document refuses its clean-up: its events are published and stay in it", "collection", c.Name(), "error", refused)
		models = models[refused.Index+1:]
	}
	return found, nil
}

// errUnwritable ends the retries.
var errUnwritable = errors.New("a document cannot be changed")

// errMoved: there is a view under the name of a collection.
var errMoved = fmt.Errorf("%w: the name that its collection had is that of a view; if migrate moved the collection, "+
	"the relay needs the right to list collections", errUnwritable)

// refusedWrite finds an error that belongs to one document and will not pass: its
// validation, for instance. It knows the server's codes for a bad value, an invalid
// path, a failed validation and a document that is too large.
func refusedWrite(err error) (mongo.WriteError, bool) {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || len(bulk.WriteErrors) == 0 {
		return mongo.WriteError{}, false
	}
	first := bulk.WriteErrors[0].WriteError
	switch first.Code {
	case mongoerr.BadValue, 28, mongoerr.DocumentValidationFailure, mongoerr.BSONObjectTooLarge, 17280:
		return first, true
	}
	return mongo.WriteError{}, false
}
