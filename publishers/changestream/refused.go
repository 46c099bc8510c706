package changestream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers"
)

// Refused is a dead letter: a change of which an event could not be made or
// published, whole, with the reason.
type Refused struct {
	ID     string    `bson:"_id"` // the same when the change is refused again
	Reason string    `bson:"reason"`
	At     time.Time `bson:"at"`
	// Event is the one that was not published, nil when it was not made.
	Event  bson.RawValue `bson:"event,omitempty"`
	Change RefusedChange `bson:"change"`
	// Left names the parts of the change that did not fit into a document.
	Left []string `bson:"left,omitempty"`
}

// RefusedChange is the change in a dead letter, under the server's field names.
type RefusedChange struct {
	Operation   string                   `bson:"operationType"`
	Database    string                   `bson:"database"`
	Collection  string                   `bson:"collection"`
	Key         bson.Raw                 `bson:"documentKey"`
	Full        bson.Raw                 `bson:"fullDocument,omitempty"`
	Before      bson.Raw                 `bson:"fullDocumentBeforeChange,omitempty"`
	Updated     bson.Raw                 `bson:"updatedFields,omitempty"`
	Removed     []string                 `bson:"removedFields,omitempty"`
	Truncated   []mongostream.Truncation `bson:"truncatedArrays,omitempty"`
	ClusterTime bson.Timestamp           `bson:"clusterTime"`
	Index       int                      `bson:"n"`
	Wall        time.Time                `bson:"wallTime"`
	Snapshot    string                   `bson:"snapshot,omitempty"`
	Stripped    bool                     `bson:"stripped,omitempty"`
}

func changeOf(c *Change, snapshot string) RefusedChange {
	return RefusedChange{c.Operation, c.Database, c.Collection, c.Key, c.Full, c.Before,
		c.Updated, c.Removed, c.Truncated, c.ClusterTime, c.Index, c.Wall, snapshot, c.Stripped}
}

// toChange is the inverse of changeOf.
func (k *RefusedChange) toChange() *Change {
	return &Change{Operation: k.Operation, Database: k.Database, Collection: k.Collection, Key: k.Key, Full: k.Full, Before: k.Before,
		Updated: k.Updated, Removed: k.Removed, Truncated: k.Truncated, ClusterTime: k.ClusterTime, Index: k.Index, Wall: k.Wall.UTC(),
		Stripped: k.Stripped}
}

// refuse stores a dead letter. e is nil when no event was made.
func (p *Publisher) refuse(ctx context.Context, c *Change, id *identity, snapshot string, e *events.Event, reason error) error {
	letter := Refused{ID: newUUID(id.digest[:]), Reason: reason.Error(), At: time.Now().UTC(), Change: changeOf(c, snapshot)}
	if e != nil {
		letter.ID = e.ID
		letter.Event = eventValue(e)
	}
	err := p.storeLetter(ctx, letter)
	if err != nil {
		return fmt.Errorf("store the dead letter of %s (%w): %w", c, reason, err)
	}
	id.refused = append(id.refused, letter.ID)
	p.counted(func(s *Status) { s.Refused++ })
	p.cfg.Log.Warn("change refused", "change", c.String(), "reason", reason.Error(), "id", letter.ID)
	return nil
}

// eventValue keeps the attributes and the data of an event that could not be
// encoded as one.
func eventValue(e *events.Event) bson.RawValue {
	doc := bson.D{{Key: "id", Value: e.ID}, {Key: "source", Value: e.Source}, {Key: "type", Value: e.Type}, {Key: "version", Value: e.Version},
		{Key: "subject", Value: e.Subject}, {Key: "partitionkey", Value: e.PartitionKey}, {Key: "data", Value: string(e.Data)}}
	kind, value, err := bson.MarshalValue(doc)
	if err != nil {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: kind, Value: value}
}

// storeLetter drops parts until the letter fits into a document, which a change
// with both images may not.
func (p *Publisher) storeLetter(ctx context.Context, letter Refused) error {
	reduce := []struct {
		what string
		out  func(*Refused)
	}{
		{"event", func(l *Refused) { l.Event = bson.RawValue{} }},
		{"fullDocumentBeforeChange", func(l *Refused) { l.Change.Before = nil }},
		{"updatedFields", func(l *Refused) { l.Change.Updated = nil }},
		{"fullDocument", func(l *Refused) { l.Change.Full = nil }},
	}
	for i := 0; ; i++ {
		_, err := p.cfg.Refused.ReplaceOne(ctx, bson.D{{Key: "_id", Value: letter.ID}}, letter, options.Replace().SetUpsert(true))
		if err == nil || i == len(reduce) || !tooLarge(err) {
			return err
		}
		reduce[i].out(&letter)
		letter.Left = append(letter.Left, reduce[i].what)
	}
}

func tooLarge(err error) bool {
	return mongoerr.HasCode(err, mongoerr.BSONObjectTooLarge) || errors.Is(err, driver.ErrDocumentTooLarge)
}

// receipt is the receipt of an event that may still be refused for good: then Wait writes the
// dead letter of its change.
type receipt struct {
	publishers.Receipt
	p        *Publisher
	c        *Change
	id       *identity
	snapshot string
	e        events.Event
}

// Wait is called by the follower, once, in the order of the stream.
func (r *receipt) Wait(ctx context.Context) (events.Position, error) {
	pos, err := r.Receipt.Wait(ctx)
	switch {
	case err == nil:
		r.p.counted(func(s *Status) { s.Published++ })
		return pos, nil
	case ctx.Err() == nil && r.p.cfg.Permanent(err):
		return pos, r.p.refuse(ctx, r.c, r.id, r.snapshot, &r.e, err)
	}
	return pos, fmt.Errorf("event %s: %w", r.e.ID, err)
}
