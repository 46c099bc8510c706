package reverse

import (
	"fmt"
	"reflect"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/target"
)

// change is what one record of the stream means.
type change struct {
	sequence string
	at       time.Time
	keys     dynamo.Item
	key      string // keys as text

	// write says that the document is to be doc, or to be gone where that is nil.
	write bool
	id    bson.RawValue
	doc   bson.Raw
	anew  bool // the document was deleted within the batch before
	moved bool // the document stands under another key: its records say what becomes of it
	// reread says that the record alone does not tell what the document is to be: it may be of
	// the migration or of somebody who kept its mark, or the migration may have written since.
	// The item itself tells.
	reread    bool
	outOfBand bool
	barrier   string // the barrier that the record is
	late      *LateWrite
	misfit    error // why there is no such document
}

// judge says what records mean under a record of ownership that was loaded after they were
// read.
type judge struct {
	rec   ownership.Record
	codec *codec.Codec
}

// judge fails with errLookAgain where the record of ownership is too old to tell.
func (j judge) judge(r dynamostream.Record) (change, error) {
	key, err := target.ItemText(r.Keys)
	if err != nil {
		return change{}, fmt.Errorf("read the key of record %s: %w", r.Sequence, err)
	}
	c := change{sequence: r.Sequence, at: r.At, keys: r.Keys, key: key}
	now, was := stamp.Of(r.New), stamp.Of(r.Old)
	switch {
	case now.Barrier != "":
		c.barrier = now.Barrier
	case r.Removed && was.Tombstone: // a barrier, too
	case j.rec.Owner == ownership.MongoDB:
		j.judgeLate(&c, r, now)
	case r.Removed && was.Epoch < j.rec.Epoch:
		c.reread = true // the migration may have put the item again since
	case r.Removed:
		j.setDocument(&c, nil)
	case now.HasEpoch && now.Epoch > j.rec.Epoch:
		return change{}, errLookAgain
	case now.HasEpoch && now.Epoch == j.rec.Epoch:
		j.setDocument(&c, r.New)
	case !now.HasEpoch && !now.HasTime:
		c.outOfBand = true
		j.setDocument(&c, r.New)
	default:
		c.reread = j.isDynamoDBs(now) || sameStamp(r.Old, r.New)
	}
	return c, nil
}

// isDynamoDBs reports whether an image is of an earlier epoch in which DynamoDB was the owner:
// of an instance that slept meanwhile. Owners take turns with each epoch.
func (j judge) isDynamoDBs(s stamp.Stamp) bool {
	distance := j.rec.Epoch - s.Epoch
	return s.HasEpoch && (distance%2 == 0) == (j.rec.Owner == ownership.DynamoDB)
}

// judgeLate finds what is not the migration's while MongoDB owns the entity. What DynamoDB
// removes because its time is over, MongoDB removes as well.
func (j judge) judgeLate(c *change, r dynamostream.Record, now stamp.Stamp) {
	late := &LateWrite{Sequence: r.Sequence, Key: c.key, At: r.At, Epoch: now.Epoch}
	switch {
	case r.Removed && !r.Expired:
		late.Removed = true
		c.late = late
	case r.Removed:
	case !now.HasEpoch && !now.HasTime, j.isDynamoDBs(now):
		late.Removed = now.Tombstone
		c.late = late
		if late.Document, late.Problem = nil, ""; now.Tombstone {
			return
		}
		doc, err := j.codec.Read(r.New)
		if err == nil {
			late.Document = doc
			return
		}
		late.Problem = err.Error()
		late.Image, _ = target.ItemText(r.New)
	}
}

// setDocument makes the change that of the document which an item stands for.
func (j judge) setDocument(c *change, item dynamo.Item) {
	c.write, c.reread = true, false
	if item == nil || stamp.Of(item).Tombstone {
		c.id, c.misfit = j.codec.ID(c.keys)
		return
	}
	if c.doc, c.misfit = j.codec.Read(item); c.misfit == nil {
		c.id = c.doc.Lookup("_id")
	}
}

// sameStamp reports whether a change has left what the reserved attribute says.
func sameStamp(before, after dynamo.Item) bool {
	if before == nil || after == nil {
		return false
	}
	return reflect.DeepEqual(before[stamp.Attribute], after[stamp.Attribute])
}
