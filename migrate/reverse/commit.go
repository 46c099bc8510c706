package reverse

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
)

// keptBarriers is how many barriers the row of a shard keeps.
const keptBarriers = 16

// commit carries a batch: the position, which must be what this process believes, and the
// documents, in one transaction. met are the unique indexes for which room is made.
func (l *lane) commit(ctx context.Context, rec ownership.Record, b *batch, met []index) error {
	if !l.worker.HoldsLease() {
		return worker.ErrLeaseLost
	}
	next := l.advanced(b)
	if next.Late > l.row.Late { // first, so that none which does not have it counts once it is kept
		if err := l.Control.EndVerifications(ctx); err != nil {
			return err
		}
	}
	var misfits []string
	err := transact(ctx, l.txn, func(ctx context.Context) error {
		if err := l.advance(ctx, next); err != nil {
			return err
		}
		writes := b.writes()
		if err := l.findMoved(ctx, writes); err != nil {
			return err
		}
		if len(met) > 0 {
			var err error
			if writes, err = l.makeRoom(ctx, rec, writes, met); err != nil {
				return err
			}
		}
		var err error
		if misfits, err = l.writeMisfits(ctx, writes, l.misfits); err != nil {
			return err
		}
		if err := l.writeLate(ctx, b); err != nil {
			return err
		}
		return l.writeDocuments(ctx, rec, writes, b)
	})
	l.failed = err != nil
	if isMoved(err) {
		return fmt.Errorf("%w: %w", errLookAgain, err)
	}
	if err != nil {
		return err
	}
	if *l.row = *next; b.barrier() != "" {
		select {
		case l.probed <- struct{}{}:
		default:
		}
	}
	for _, c := range b.writes() {
		delete(l.misfits, c.key)
	}
	for _, key := range misfits {
		l.misfits[key] = true
	}
	return nil
}

// advanced is the position behind a batch.
func (l *lane) advanced(b *batch) *position {
	next := *l.row
	last := b.all[len(b.all)-1]
	next.Rev, next.Sequence, next.At = l.row.Rev+1, last.sequence, last.at.UTC()
	next.Barriers = slices.Clone(next.Barriers)
	for _, c := range b.all {
		if c.outOfBand {
			next.OutOfBand, next.LastKey = next.OutOfBand+1, c.key
		}
		if c.late != nil {
			next.Late++
		}
		if c.barrier != "" && !slices.Contains(next.Barriers, c.barrier) {
			next.Barriers = append(next.Barriers, c.barrier)
		}
	}
	next.Barriers = next.Barriers[max(0, len(next.Barriers)-keptBarriers):]
	return &next
}

// advance moves the position, or fails with errOvertaken.
func (l *lane) advance(ctx context.Context, next *position) error {
	res, err := l.rows().UpdateOne(ctx, bson.D{{Key: "_id", Value: next.ID}, {Key: "rev", Value: l.row.Rev}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "rev", Value: next.Rev}, {Key: "seq", Value: next.Sequence}, {Key: "at", Value: next.At},
			{Key: "barriers", Value: next.Barriers}, {Key: "outOfBand", Value: next.OutOfBand}, {Key: "lastKey", Value: next.LastKey},
			{Key: "late", Value: next.Late}}}})
	if err == nil && res.MatchedCount == 0 {
		return errOvertaken
	}
	return err
}

// writeDocuments removes and replaces documents. With a barrier it writes in any case, so
// that it proves that the collection can be written.
func (r *Reverse) writeDocuments(ctx context.Context, rec ownership.Record, writes []*change, b *batch) error {
	var deletes, updates bson.A
	standing, err := r.readStanding(ctx, rec, writes)
	if err != nil {
		return err
	}
	remove := func(id bson.RawValue) {
		deletes = append(deletes, bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: id}}}, {Key: "limit", Value: 1}})
	}
	for _, c := range writes {
		switch {
		case c.misfit != nil || c.moved:
		case c.doc == nil:
			remove(c.id)
		default:
			doc, before := c.doc, standing[side.IDKey(c.id)]
			if before != nil && !before.Lookup("_id").Equal(doc.Lookup("_id")) { // a server may keep that of what it replaces
				remove(c.id)
			}
			if !c.anew {
				doc = r.Plan.Codec().Restored(doc, before)
			}
			updates = append(updates, bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: c.id}}}, {Key: "u", Value: doc}, {Key: "upsert", Value: true}})
		}
	}
	if barrier := b.barrier(); barrier != "" {
		kind, id, err := bson.MarshalValue("_banyan#barrier#" + barrier)
		if err != nil {
			return err
		}
		remove(bson.RawValue{Type: kind, Value: id})
	}
	if len(deletes) > 0 {
		if err := r.write(ctx, rec, bson.D{{Key: "delete", Value: rec.Collection}, {Key: "deletes", Value: deletes}}); err != nil {
			return err
		}
	}
	if len(updates) == 0 {
		return nil
	}
	return r.write(ctx, rec, bson.D{{Key: "update", Value: rec.Collection}, {Key: "updates", Value: updates}})
}

// findMoved marks the changes of items that are not those of their documents any more, where
// documents move from item to item. A document that moves is in two shards, whose records
// come in any order: so the one key counts that the document's entry names, read after the
// transaction has its snapshot. What another shard carries from then on of the same document
// is a conflict of transactions, and the entry is read again.
func (r *Reverse) findMoved(ctx context.Context, writes []*change) error {
	if r.Plan.Lookup() < 0 {
		return nil
	}
	var ids []bson.RawValue
	for _, c := range writes {
		if c.moved = false; !c.id.IsZero() {
			ids = append(ids, c.id)
		}
	}
	keys, err := r.Tables.Keys(ctx, ids)
	if err != nil {
		return err
	}
	for _, c := range writes {
		key, known := keys[side.IDKey(c.id)]
		here := key != nil && codec.KeyText(key) == codec.KeyText(r.Plan.Codec().KeyOf(c.keys))
		if c.doc == nil {
			c.moved = key != nil && !here
		} else {
			c.moved = known && !here
		}
		if c.moved {
			c.misfit = nil
		}
	}
	return nil
}

// readStanding reads what documents that are replaced have and the table has not, by
// side.IDKey: the numeric types of the _id, where equal ones may have others, and what the
// plan drops.
func (r *Reverse) readStanding(ctx context.Context, rec ownership.Record, writes []*change) (map[string]bson.Raw, error) {
	fields := r.Plan.Codec().DroppedFields()
	var ids bson.A
	for _, c := range writes {
		if c.misfit == nil && !c.moved && c.doc != nil && (len(fields) > 0 || codec.HasEquals(c.id)) {
			ids = append(ids, c.id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	projection := bson.D{}
	for _, name := range fields {
		projection = append(projection, bson.E{Key: name, Value: 1})
	}
	cursor, err := r.Source.DB.Collection(rec.Collection).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(projection))
	if err != nil {
		return nil, err
	}
	var all []bson.Raw
	if err := cursor.All(ctx, &all); err != nil {
		return nil, err
	}
	found := map[string]bson.Raw{}
	for _, doc := range all {
		found[side.IDKey(doc.Lookup("_id"))] = doc
	}
	return found, nil
}

// write sends a write to the entity's collection, and to no other.
func (r *Reverse) write(ctx context.Context, rec ownership.Record, command bson.D) error {
	if id, err := hex.DecodeString(rec.CollectionUUID); r.Conditional && err == nil && len(id) == 16 {
		command = append(command, bson.E{Key: "collectionUUID", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: id}})
	}
	return r.Source.DB.RunCommand(ctx, command).Err()
}

const (
	transactionTimeout = 15 * time.Second
	maxAttempts        = 8
)

// transact runs fn in a transaction of a session, again where it met another one. After an
// answer that was lost the position says what became of it.
func transact(ctx context.Context, session *mongo.Session, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	defer cancel()
	for i := 0; ; i++ {
		err := attempt(mongo.NewSessionContext(ctx, session), session, fn)
		if err == nil || i == maxAttempts-1 || !hasLabel(err, "TransientTransactionError") {
			return err
		}
		if waitErr := retry.Wait(ctx, min(i, 5)); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

// endSession ends a session, and its transaction if it still has one.
func endSession(ctx context.Context, session *mongo.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	session.EndSession(ctx)
}

func attempt(ctx context.Context, session *mongo.Session, fn func(context.Context) error) error {
	// Whatever the client prefers.
	start := options.Transaction().SetReadPreference(readpref.Primary()).SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority())
	if err := session.StartTransaction(start); err != nil {
		return err
	}
	if err := fn(ctx); err != nil {
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = session.AbortTransaction(out) // else the server does, after a minute
		return err
	}
	for i := 0; ; i++ {
		err := session.CommitTransaction(ctx)
		if err == nil || i == maxAttempts-1 || !hasLabel(err, "UnknownTransactionCommitResult") {
			return err
		}
		if waitErr := retry.Wait(ctx, min(i, 5)); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

func hasLabel(err error, label string) bool {
	var labeled mongo.LabeledError
	return errors.As(err, &labeled) && labeled.HasErrorLabel(label)
}
