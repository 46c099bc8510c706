package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// The largest entry that a request can move: a document may have 16 MiB,
// and where an entry is identified by its whole value, an update contains it twice.
const (
	maxMoved   = 16<<20 - 64<<10
	maxByValue = 6 << 20
	maxReason  = 1000
)

// canMove reports whether a refused entry can be moved to the collection of refused
// ones. One that cannot stays where it is: it is not lost, and does not block others.
func (p *flight) canMove(o *origin) bool {
	if !o.outbox && !p.hasID() && len(p.raw.Value) > maxByValue {
		return false
	}
	return len(p.raw.Value)+len(o.document) <= maxMoved
}

// hasID reports whether the entry can be found among others of the array by its id.
func (p *flight) hasID() bool { return p.known != "" && !absent(p.id) }

// moveAll moves the refused entries of a group to their collection.
func (r *Relay) moveAll(ctx context.Context, group []*batch) error {
	for _, b := range group {
		for _, p := range b.entries {
			if p.refusal == nil {
				continue
			}
			if p.stays = !p.canMove(b.origin); p.stays {
				r.counts.stuck.Add(1)
				r.cfg.Log.Error("an event is refused, and too large to be moved aside: it stays where it is", "collection", b.origin.collection,
					"document", b.origin.document.Lookup("_id").String(), "reason", reasonOf(p))
				continue
			}
			if err := r.retryTransient(ctx, func(ctx context.Context) error { return r.moveRefused(ctx, b.origin, p) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// reasonOf is the refusal, cut to a length: it may quote what was refused.
func reasonOf(p *flight) string {
	reason := p.refusal.Error()
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
}

// moveRefused stores an entry that cannot be published, whole and with the reason,
// in the collection of refused ones, as [Refused]. It writes the same document however
// often the same entry is refused.
func (r *Relay) moveRefused(ctx context.Context, o *origin, p *flight) error {
	id := refusalID(o, p)
	first := bson.D{
		{Key: "at", Value: time.Now()},
		{Key: "collection", Value: o.collection},
		{Key: "document", Value: o.document},
		{Key: "entry", Value: p.raw},
		{Key: "reason", Value: reasonOf(p)},
		{Key: "relay", Value: r.cfg.Name},
	}
	if !o.outbox {
		first = append(first, bson.E{Key: "field", Value: r.cfg.Field})
	}
	out, err := r.refused.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}},
		bson.D{{Key: "$setOnInsert", Value: first}}, options.UpdateOne().SetUpsert(true))
	if err == nil && out.UpsertedCount > 0 {
		r.counts.refused.Add(1)
		r.cfg.Log.Error("an event was refused and moved", "relay", r.cfg.Name, "collection", o.collection,
			"document", o.document.Lookup("_id").String(), "refused", r.refused.Name(), "id", id, "reason", reasonOf(p))
	}
	return err
}

// refusalID derives an id from the entry and where it waited.
func refusalID(o *origin, p *flight) string {
	whole := sha256.New()
	for _, part := range [][]byte{[]byte(o.collection), o.document, {byte(p.raw.Type)}, p.raw.Value} {
		hash := sha256.Sum256(part) // of one length each, so that the parts cannot run together
		whole.Write(hash[:])
	}
	return hex.EncodeToString(whole.Sum(nil))
}
