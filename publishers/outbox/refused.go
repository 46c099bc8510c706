package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// moveAside keeps an entry that cannot be published, whole and with the reason,
// in the collection of refused ones. It is the same document however often the
// same entry is refused.
func (r *Relay) moveAside(ctx context.Context, o *origin, p *passage) error {
	id := refusalID(o, p)
	first := bson.D{
		{Key: "at", Value: time.Now()},
		{Key: "collection", Value: o.collection},
		{Key: "document", Value: o.document},
		{Key: "entry", Value: p.raw},
		{Key: "reason", Value: p.refusal.Error()},
		{Key: "relay", Value: r.cfg.Name},
	}
	out, err := r.refused.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}},
		bson.D{{Key: "$setOnInsert", Value: first}}, options.UpdateOne().SetUpsert(true))
	if err == nil && out.UpsertedCount > 0 {
		r.counts.refused.Add(1)
		r.cfg.Log.Error("an event was moved aside", "relay", r.cfg.Name, "collection", o.collection,
			"document", o.document.Lookup("_id").String(), "refused", r.refused.Name(), "id", id, "reason", p.refusal)
	}
	return err
}

// refusalID is made of what was refused and where.
func refusalID(o *origin, p *passage) string {
	whole := sha256.New()
	for _, part := range [][]byte{[]byte(o.collection), o.document, {byte(p.raw.Type)}, p.raw.Value} {
		hash := sha256.Sum256(part) // of one length each, so that the parts cannot run together
		whole.Write(hash[:])
	}
	return hex.EncodeToString(whole.Sum(nil))
}
