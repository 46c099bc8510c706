package reverse

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/source"
)

// LateWrite is a write to the table while MongoDB owned the entity that was not the
// migration's: of an instance that had not heard of the rollback, or of somebody else. It
// had no effect on MongoDB, and `repair` takes it back in the table: verifications of before
// it do not count.
type LateWrite struct {
	// Sequence is its number in the stream, and its name for DiscardLateWrite.
	Sequence string    `bson:"seq" json:"name"`
	Key      string    `bson:"key" json:"key"` // of the item, in DynamoDB's JSON
	At       time.Time `bson:"at" json:"at"`
	Epoch    int64     `bson:"epoch" json:"epoch"` // that it was written under; 0 for none
	Removed  bool      `bson:"removed" json:"removed"`
	// Document is what was written, and Image where there is no such document, because of
	// Problem.
	Document bson.Raw `bson:"document,omitempty" json:"-"`
	Image    string   `bson:"image,omitempty" json:"image,omitempty"`
	Problem  string   `bson:"problem,omitempty" json:"problem,omitempty"`
}

// lateID is the key of a late write's row.
type lateID struct {
	Entity string `bson:"entity"`
	Seq    string `bson:"seq"`
}

// writeLate keeps the late writes of a batch.
func (l *lane) writeLate(ctx context.Context, b *batch) error {
	var rows []any
	for _, c := range b.all {
		if c.late == nil {
			continue
		}
		l.Log.Error("somebody wrote to the table although MongoDB owns the entity; it is kept and has no effect", "key", c.key, "epoch", c.late.Epoch)
		rows = append(rows, struct {
			ID        lateID `bson:"_id"`
			Entity    string `bson:"entity"`
			Token     string `bson:"token"`
			LateWrite `bson:",inline"`
		}{lateID{l.Plan.Entity, c.late.Sequence}, l.Plan.Entity, l.row.Token, *c.late})
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := l.Source.DB.Collection(source.LateWrites).InsertMany(ctx, rows)
	return err
}

// ListLateWrites lists the late writes that nobody has discarded, at most limit; 0 is all.
func (r *Reverse) ListLateWrites(ctx context.Context, limit int) ([]LateWrite, error) {
	var all []LateWrite
	err := retry.Do(ctx, "read "+source.LateWrites, func(ctx context.Context) error {
		cursor, err := r.Source.DB.Collection(source.LateWrites).Find(ctx, bson.D{{Key: "entity", Value: r.Plan.Entity}},
			options.Find().SetLimit(int64(limit)).SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			return err
		}
		return cursor.All(ctx, &all)
	})
	return all, err
}

// CountLateWrites counts the late writes that were ever kept, also those that were discarded,
// and each time that some may have been missed: it grows with whatever ends verifications.
func (r *Reverse) CountLateWrites(ctx context.Context) (n int64, err error) {
	all, err := r.loadRows(ctx)
	for _, rows := range all {
		for _, row := range rows {
			n += row.Late
		}
	}
	return n, err
}

// DiscardLateWrite forgets a late write by its name.
func (r *Reverse) DiscardLateWrite(ctx context.Context, name string) error {
	return retry.Do(ctx, "discard the late write "+name, func(ctx context.Context) error {
		res, err := r.Source.DB.Collection(source.LateWrites).DeleteOne(ctx, bson.D{{Key: "_id", Value: lateID{r.Plan.Entity, name}}})
		if err == nil && res.DeletedCount == 0 {
			return fmt.Errorf("no late write is called %s: %w", name, errUnknown)
		}
		return err
	})
}

var errUnknown error = retry.Permanent("`banyan-migrate strays` lists them")
