package reverse

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// Misfit is an item that is not in MongoDB as it is in the table, because it does not fit
// there. It is tried again every few seconds, as it then is.
type Misfit struct {
	Key    string    `bson:"key" json:"key"` // of the item, in DynamoDB's JSON
	Why    string    `bson:"why" json:"why"`
	SeenAt time.Time `bson:"seenAt" json:"seenAt"`

	Sequence string `bson:"seq" json:"-"` // of the record that was set aside
}

// misfitID is the key of a misfit's row.
type misfitID struct {
	Entity string `bson:"entity"`
	Key    string `bson:"key"`
}

func (r *Reverse) misfitRows() *mongo.Collection { return r.Source.DB.Collection(source.Misfits) }

func (r *Reverse) misfitID(key string) misfitID { return misfitID{r.Plan.Entity, key} }

// ListMisfits lists the misfits of the way back, at most limit; 0 is all.
func (r *Reverse) ListMisfits(ctx context.Context, limit int) ([]Misfit, error) {
	var all []Misfit
	err := retry.Do(ctx, "read "+source.Misfits, func(ctx context.Context) error {
		cursor, err := r.misfitRows().Find(ctx, bson.D{{Key: "entity", Value: r.Plan.Entity}}, options.Find().SetLimit(int64(limit)))
		if err != nil {
			return err
		}
		return cursor.All(ctx, &all)
	})
	return all, err
}

// misfitKeys are the keys of all misfits. What is added for a shard is added by its reader.
func (s *session) misfitKeys(ctx context.Context) (map[string]bool, error) {
	all, err := s.ListMisfits(ctx, 0)
	keys := map[string]bool{}
	for _, m := range all {
		keys[m.Key] = true
	}
	return keys, err
}

// writeMisfits sets changes aside that do not fit, and ends that items of others are, whose
// keys are known as those of misfits. It returns the keys of the former.
func (l *lane) writeMisfits(ctx context.Context, writes []*change, known map[string]bool) (aside []string, err error) {
	var fits bson.A
	for _, c := range writes {
		if c.misfit == nil {
			if known[c.key] {
				fits = append(fits, l.misfitID(c.key))
			}
			continue
		}
		aside = append(aside, c.key)
		l.Log.Error("an item does not fit MongoDB; it is set aside", "key", c.key, "error", c.misfit)
		_, err := l.misfitRows().ReplaceOne(ctx, bson.D{{Key: "_id", Value: l.misfitID(c.key)}}, bson.D{{Key: "entity", Value: l.Plan.Entity},
			{Key: "token", Value: l.row.Token}, {Key: "key", Value: c.key}, {Key: "why", Value: c.misfit.Error()},
			{Key: "seenAt", Value: time.Now().UTC()}, {Key: "seq", Value: c.sequence}},
			options.Replace().SetUpsert(true))
		if err != nil {
			return nil, err
		}
	}
	if len(fits) > 0 {
		_, err = l.misfitRows().DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: fits}}}})
	}
	return aside, err
}

const (
	retryMisfitsEvery = 2 * time.Second
	retryMisfitsBatch = 100
)

// retryMisfits tries from time to time what is set aside, as it is now.
func (s *session) retryMisfits(ctx context.Context) error {
	for {
		if err := backoff.Sleep(ctx, retryMisfitsEvery); err != nil {
			return err
		}
		if !s.active.Load() {
			continue
		}
		all, err := s.ListMisfits(ctx, retryMisfitsBatch)
		for i := 0; i < len(all) && err == nil; i++ {
			err = s.retryMisfit(ctx, all[i])
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, worker.ErrLeaseLost):
			return err
		case err != nil:
			s.Log.Warn("try again what does not fit MongoDB: failed, retrying", "error", err)
		}
	}
}

// retryMisfit carries an item as it is now, unless the reader of its shard has carried it
// since the misfit was seen. Changes up to now may be carried after it: the last one is the
// same again. While MongoDB owns the entity there is nothing to carry.
func (s *session) retryMisfit(ctx context.Context, m Misfit) error {
	rec, err := s.Owners.Load(ctx, s.Plan.Entity)
	if err != nil || !Active(rec.Phase) {
		return err
	}
	keys, err := attributevalue.UnmarshalMapJSON([]byte(m.Key))
	if err != nil {
		return err
	}
	c := change{keys: keys, key: m.Key}
	if rec.Owner == ownership.DynamoDB {
		item, err := s.Tables.Item(ctx, keys)
		if err != nil {
			return err
		}
		j := judge{rec, s.Plan.Codec()}
		if j.setDocument(&c, item); c.misfit != nil {
			return nil
		}
	}
	if !s.worker.HoldsLease() {
		return worker.ErrLeaseLost
	}
	session, err := s.Source.DB.Client().StartSession()
	if err != nil {
		return err
	}
	defer endSession(ctx, session)
	err = transact(ctx, session, func(ctx context.Context) error {
		res, err := s.misfitRows().DeleteOne(ctx, bson.D{{Key: "_id", Value: s.misfitID(m.Key)}, {Key: "seq", Value: m.Sequence}})
		if err != nil || res.DeletedCount == 0 || rec.Owner == ownership.MongoDB {
			return err
		}
		writes := []*change{&c}
		if err := s.findMoved(ctx, writes); err != nil {
			return err
		}
		return s.writeDocuments(ctx, rec, writes, newBatch())
	})
	if isRefusal(err) || isMoved(err) {
		return nil
	}
	return err
}
