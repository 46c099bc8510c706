package mongodb

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/outbox"
	"github.com/banyan-fig/banyan/services/entity"
)

// Ownership admits operations under a grant. *ownership.Member is one.
type Ownership interface {
	Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error
}

// Box is where the events of an entity wait: in its documents, also in those that are marked as
// deleted, which go with the last of them. It is a direct.Box, safe for concurrent use.
//
// Entries of other forms than package outbox writes, by programs in other languages, are a
// relay's, and passed over. While another store owns the entity nothing is found: the
// migration has seen to it that nothing was left.
type Box struct {
	collection *owned.Collection
	ownership  Ownership
	field      outbox.Field
}

// keep makes entries of the events of a write, and what it will have left.
func (b *Box) keep(w entity.Write) (direct.Write, bson.A, error) {
	if len(w.Events) == 0 {
		return direct.Write{}, nil, nil
	}
	if b.field == "" {
		return direct.Write{}, nil, fmt.Errorf("%w: the plan names no field for events: add outbox.field, such as _outbox", entity.ErrInvalid)
	}
	stored, err := outbox.Entries(w.Events...)
	if err != nil {
		return direct.Write{}, nil, err
	}
	left := b.waitingOf(w.ID)
	left.Own = make([]direct.Entry, len(w.Events))
	for i, e := range w.Events {
		data, err := events.Encode(e)
		if err != nil {
			return direct.Write{}, nil, err
		}
		left.Own[i] = direct.Entry{Place: left.Place, ID: e.ID, Events: []direct.Event{{Key: e.PartitionKey, Data: data}}}
	}
	left.Before, left.Unread = b.entries(w.Before), false
	return left, stored, nil
}

// waitingOf is what an unknown write has left.
func (b *Box) waitingOf(id bson.RawValue) direct.Write {
	return direct.Write{Box: b, Place: placeOf(id), Began: time.Now(), Unread: true}
}

func placeOf(id bson.RawValue) direct.Place {
	return direct.Place(append([]byte{byte(id.Type)}, id.Value...))
}

func idOf(place direct.Place) bson.RawValue {
	if place == "" {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: bson.Type(place[0]), Value: []byte(place[1:])}
}

// stored are the entries in a document, as they are.
func (b *Box) stored(doc bson.Raw) (all bson.A) {
	array, _ := doc.Lookup(string(b.field)).ArrayOK()
	values, _ := array.Values() // the server's documents are well-formed
	for _, v := range values {
		all = append(all, v)
	}
	return all
}

// entries are what waits in a document as it was read, in the order of the writes.
func (b *Box) entries(doc bson.Raw) (waiting []direct.Entry) {
	for _, v := range b.stored(doc) {
		entry, _ := v.(bson.RawValue).DocumentOK()
		id, isText := entry.Lookup("id").StringValueOK()
		key, _ := entry.Lookup("key").StringValueOK()
		_, data, isEvent := entry.Lookup("event").BinaryOK()
		if isText && isEvent {
			waiting = append(waiting, direct.Entry{Place: placeOf(doc.Lookup("_id")), ID: id, Events: []direct.Event{{Key: key, Data: data}}})
		}
	}
	return waiting
}

// Waiting implements direct.Box.
func (b *Box) Waiting(ctx context.Context, place direct.Place) (waiting []direct.Entry, err error) {
	err = b.whileMongoDB(ctx, func(ctx context.Context, h owned.Handle) error {
		doc, _, err := h.FindOne(ctx, byID(idOf(place)))
		waiting = b.entries(doc)
		return err
	})
	return waiting, err
}

// Claim implements direct.Box: the claim stands in the entry that waits first.
func (b *Box) Claim(ctx context.Context, first direct.Entry, claimant string, until time.Time) (claimed bool, err error) {
	at := string(b.field) + ".0."
	free := bson.A{bson.D{{Key: at + "relay", Value: claimant}}, bson.D{{Key: at + "until", Value: bson.D{{Key: "$exists", Value: false}}}},
		bson.D{{Key: at + "until", Value: bson.D{{Key: "$lt", Value: time.Now()}}}}}
	claim := owned.Update{
		Filter: append(byID(idOf(first.Place)), bson.E{Key: at + "id", Value: first.ID}, bson.E{Key: "$or", Value: free}),
		Change: bson.D{{Key: "$set", Value: bson.D{{Key: at + "relay", Value: claimant}, {Key: at + "until", Value: until}}}},
	}
	err = b.whileMongoDB(ctx, func(ctx context.Context, h owned.Handle) error {
		n, err := h.UpdateFollowing(ctx, claim)
		claimed = n > 0
		return err
	})
	return claimed, err
}

// Remove implements direct.Box.
func (b *Box) Remove(ctx context.Context, entries []direct.Entry) error {
	ids := map[direct.Place]bson.A{}
	for _, e := range entries {
		ids[e.Place] = append(ids[e.Place], e.ID)
	}
	var updates []owned.Update
	var deletes []any
	for place, ids := range ids {
		for _, r := range b.field.Remove(byID(idOf(place)), ids) {
			if r.Update == nil {
				deletes = append(deletes, r.Filter)
			} else {
				updates = append(updates, owned.Update{Filter: r.Filter, Change: r.Update})
			}
		}
	}
	return b.whileMongoDB(ctx, func(ctx context.Context, h owned.Handle) error {
		for range 2 { // what is made anew in between is updated
			updated, err := h.UpdateFollowing(ctx, updates...)
			if err != nil || int(updated) == len(ids) {
				return err
			}
			deleted, err := h.DeleteFollowing(ctx, deletes...)
			if err != nil || int(updated+deleted) == len(ids) {
				return err
			}
		}
		return nil
	})
}

// mostPlaces is how many documents one sweep looks at; the next ones come next.
const mostPlaces = 1000

// Each implements direct.Box.
func (b *Box) Each(ctx context.Context, visit func([]direct.Entry) error) error {
	_, _, there := b.field.WaitingIndex()
	var docs []bson.Raw
	err := b.whileMongoDB(ctx, func(ctx context.Context, h owned.Handle) (err error) {
		docs, err = h.Find(ctx, there, owned.FindOptions{Limit: mostPlaces})
		return err
	})
	if err != nil {
		return err
	}
	for _, doc := range docs {
		if waiting := b.entries(doc); len(waiting) > 0 {
			if err := visit(waiting); err != nil {
				return err
			}
		}
	}
	return nil
}

// whileMongoDB runs fn unless another store owns the entity, or nothing can wait.
func (b *Box) whileMongoDB(ctx context.Context, fn func(context.Context, owned.Handle) error) error {
	if b.field == "" {
		return nil
	}
	return b.ownership.Read(ctx, func(ctx context.Context, g ownership.Grant) error {
		if g.Owner != ownership.MongoDB {
			return nil
		}
		return fn(ctx, b.collection.For(g))
	})
}
