package reverse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
)

// rowID names a shard of a stream, or the stream itself with the shard "".
type rowID struct {
	Entity string `bson:"entity"`
	Stream string `bson:"stream"`
	Shard  string `bson:"shard"`
}

// position is how far a shard was carried. Rev grows with each change that decides anything;
// every such change is conditional on it.
type position struct {
	ID       rowID     `bson:"_id"`
	Entity   string    `bson:"entity"`
	Token    string    `bson:"token"` // of the beginning that it is of, see Clear
	Rev      int64     `bson:"rev"`
	Sequence string    `bson:"seq"`               // of the last record that was carried; "" before the first
	Latest   bool      `bson:"latest"`            // without Sequence: begin behind what was there
	At       time.Time `bson:"at"`                // of that record
	CaughtUp time.Time `bson:"caughtUp"`          // when the shard last held nothing more
	Done     bool      `bson:"done"`              // the shard is at its end, and its children may be read
	Worker   string    `bson:"worker"`            // that reads it
	Session  bson.Raw  `bson:"session,omitempty"` // of the reader's transactions
	Barriers []string  `bson:"barriers"`          // the last ones carried
	// OutOfBand counts what neither the service nor the migration wrote.
	OutOfBand int64  `bson:"outOfBand"`
	LastKey   string `bson:"lastKey"` // of such an item
	Late      int64  `bson:"late"`    // late writes that were kept, discarded ones among them, or that there may have been

	// Of the row of a stream.
	Begun    time.Time `bson:"begun"`
	ProbedAt time.Time `bson:"probedAt"` // when the last Drain came through
	Hurry    bool      `bson:"hurry"`    // writes are held until all is carried
	Ended    string    `bson:"ended"`    // why the way back has ended
}

// place is where to read on.
func (p *position) place() dynamostream.Position {
	switch {
	case p.Sequence != "":
		return dynamostream.After(p.Sequence)
	case p.Latest:
		return dynamostream.Latest
	}
	return dynamostream.Oldest
}

func (r *Reverse) rows() *mongo.Collection { return r.Source.DB.Collection(source.Positions) }

func (r *Reverse) rowID(stream, shard string) rowID { return rowID{r.Plan.Entity, stream, shard} }

// loadRows reads the rows of the entity, by stream and shard, as a majority has them: what a
// change of primary may still take back has not been carried.
func (r *Reverse) loadRows(ctx context.Context) (map[string]map[string]*position, error) {
	all := map[string]map[string]*position{}
	err := retry.Do(ctx, "read "+source.Positions, func(ctx context.Context) error {
		clear(all)
		majority := options.Collection().SetReadConcern(readconcern.Majority())
		cursor, err := r.Source.DB.Collection(source.Positions, majority).Find(ctx, bson.D{{Key: "entity", Value: r.Plan.Entity}})
		if err != nil {
			return err
		}
		var rows []*position
		if err := cursor.All(ctx, &rows); err != nil {
			return err
		}
		for _, row := range rows {
			if all[row.ID.Stream] == nil {
				all[row.ID.Stream] = map[string]*position{}
			}
			all[row.ID.Stream][row.ID.Shard] = row
		}
		return nil
	})
	return all, err
}

// resolveEvery is how often the table is asked for its stream.
const resolveEvery = 10 * time.Second

// begun returns the rows of the table's stream by shard, and begins where there are none and
// nothing can be missed by that.
func (s *session) begun(ctx context.Context, rec ownership.Record) (map[string]*position, error) {
	if time.Since(s.resolved) > resolveEvery {
		arn, err := s.Tables.StreamARN(ctx)
		if err != nil {
			return nil, err
		}
		if arn != s.stream.ARN {
			s.stream = dynamostream.Stream{Client: s.Streams, ARN: arn}
			s.forgetShards()
		}
		s.resolved = time.Now()
	}
	all, err := s.loadRows(ctx)
	if err != nil {
		return nil, err
	}
	rows := all[s.stream.ARN]
	head := rows[""]
	switch {
	case head != nil && head.Ended != "" && rec.Owner == ownership.DynamoDB:
		return nil, fmt.Errorf("%w (%s)", ErrEnded, head.Ended)
	case head != nil && head.Ended == "":
		s.token = head.Token
		delete(rows, "")
		return rows, nil
	case rec.Owner == ownership.DynamoDB:
		return nil, fmt.Errorf("%w (the table has another stream than at the switch)", ErrEnded)
	}
	if head != nil {
		return nil, errors.Join(errBegun, s.setRow(ctx, head, false, bson.D{{Key: "ended", Value: ""}}))
	}
	if err := s.begin(ctx, rec.Epoch > stamp.FirstEpoch); err != nil {
		return nil, err
	}
	s.Log.Info("the way back begins", "stream", s.stream.ARN)
	return nil, errBegun
}

// errBegun: the rows were just made; look again.
var errBegun = errors.New("the way back has just begun")

// begin writes down the shards that there are: the open ones are read from their ends on,
// the closed ones are done. A stream that follows on another is read as a whole, and counts as
// a late write, as there may have been one between them. The row of the stream comes last, so
// that a beginning that was interrupted is done again. It changes no row that there is.
func (s *session) begin(ctx context.Context, another bool) error {
	shards, err := s.stream.Shards(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{source.Positions, source.Misfits, source.LateWrites} { // a transaction of MongoDB 4.2 creates none
		if err := s.Source.DB.CreateCollection(ctx, name); err != nil && !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
			return fmt.Errorf("create the collection %s: %w", name, err)
		}
	}
	s.token = uuid.NewString()
	for _, shard := range shards {
		row := position{ID: s.rowID(s.stream.ARN, shard.ID), Entity: s.Plan.Entity, Rev: 1, Latest: !another && !shard.Closed,
			Done: !another && shard.Closed}
		if err := s.insertRow(ctx, row); err != nil {
			return err
		}
	}
	head := position{ID: s.rowID(s.stream.ARN, ""), Entity: s.Plan.Entity, Rev: 1, Begun: time.Now().UTC()}
	if another {
		head.Late = 1
		if err := s.Control.EndVerifications(ctx); err != nil {
			return err
		}
	}
	return s.insertRow(ctx, head)
}

// insertRow inserts a row unless there is one.
func (s *session) insertRow(ctx context.Context, row position) error {
	row.Token = s.token
	return retry.Do(ctx, "write to "+source.Positions, func(ctx context.Context) error {
		_, err := s.rows().InsertOne(ctx, row)
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
}

// take makes this process the reader of a shard, with a session for its transactions. It
// returns nil where another one was first. A reader that has died may have left a
// transaction, which would keep the position until MongoDB ends it, after a minute.
func (s *session) take(ctx context.Context, shard string, seen *position) (*lane, error) {
	id := s.rowID(s.stream.ARN, shard)
	if seen == nil {
		if err := s.insertRow(ctx, position{ID: id, Entity: s.Plan.Entity}); err != nil {
			return nil, err
		}
		seen = &position{}
	}
	if !seen.Session.Lookup("id").IsZero() {
		if err := s.Source.DB.RunCommand(ctx, bson.D{{Key: "killSessions", Value: bson.A{seen.Session}}}).Err(); err != nil {
			s.Log.Warn("end the transaction of a reader that has died: failed; MongoDB ends it within a minute", "error", err)
		}
	}
	txn, err := s.Source.DB.Client().StartSession()
	if err != nil {
		return nil, err
	}
	row := &position{}
	err = s.rows().FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: id}, {Key: "rev", Value: seen.Rev}, {Key: "done", Value: false}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "worker", Value: s.worker.ID}, {Key: "session", Value: txn.ID()}}},
			{Key: "$inc", Value: bson.D{{Key: "rev", Value: 1}}}},
		options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(row)
	if err != nil {
		endSession(ctx, txn)
		if errors.Is(err, mongo.ErrNoDocuments) {
			err = nil
		}
		return nil, err
	}
	return &lane{session: s, row: row, txn: txn,
		reader: &dynamostream.Reader{Stream: s.stream, Shard: shard, Position: row.place(), Pace: &s.pace}}, nil
}

// errOvertaken: another process has changed the position of a shard.
var errOvertaken = errors.New("another process reads the shard")

// setRow changes a row that is as it was read; with step also for those that believe in
// what it was.
func (r *Reverse) setRow(ctx context.Context, row *position, step bool, set bson.D) error {
	change := bson.D{{Key: "$set", Value: set}}
	if step {
		change = append(change, bson.E{Key: "$inc", Value: bson.D{{Key: "rev", Value: 1}}})
	}
	res, err := r.rows().UpdateOne(ctx, bson.D{{Key: "_id", Value: row.ID}, {Key: "rev", Value: row.Rev}}, change)
	switch {
	case err != nil:
		return fmt.Errorf("write to %s: %w", source.Positions, err)
	case res.MatchedCount == 0:
		return errOvertaken
	case step:
		row.Rev++
	}
	return nil
}

// trimmed handles a shard whose records are gone before they were carried. While MongoDB
// owns the entity nothing of it would have been carried, so it is read from the oldest on that
// is left; there may have been late writes, so it counts as one. Else the way back has ended.
func (s *session) trimmed(ctx context.Context, row *position) error {
	rec, err := s.Owners.Load(ctx, s.Plan.Entity)
	if err != nil {
		return err
	}
	if rec.Owner == ownership.DynamoDB {
		why := fmt.Sprintf("the stream no longer holds what follows %s in %s: nobody followed it for %s", row.Sequence, row.ID.Shard, dynamostream.Retention)
		head := position{ID: s.rowID(row.ID.Stream, ""), Rev: 1}
		if err := s.setRow(ctx, &head, false, bson.D{{Key: "ended", Value: why}}); err != nil {
			return err
		}
		return fmt.Errorf("%w (%s)", ErrEnded, why)
	}
	if err := s.Control.EndVerifications(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	there := s.shards.Has(row.ID.Shard)
	s.mu.Unlock()
	s.Log.Warn("the stream no longer holds the position of a shard; it is read from the oldest record on that is left", "shard", row.ID.Shard)
	err = s.setRow(ctx, row, true, bson.D{{Key: "seq", Value: ""}, {Key: "latest", Value: false}, {Key: "late", Value: row.Late + 1},
		{Key: "done", Value: !there}, {Key: "worker", Value: ""}, {Key: "session", Value: bson.D{}}})
	if errors.Is(err, errOvertaken) {
		return nil
	}
	return err
}

// Clear returns what removes all that the way back of the entity has stored until now. What
// a later migration of the entity stores stays, however late it is called.
func (r *Reverse) Clear(ctx context.Context) (remove func(context.Context) error, err error) {
	all, err := r.loadRows(ctx)
	if err != nil {
		return nil, err
	}
	tokens := []string{}
	for _, rows := range all {
		for _, row := range rows {
			if !slices.Contains(tokens, row.Token) {
				tokens = append(tokens, row.Token)
			}
		}
	}
	return func(ctx context.Context) error {
		filter := bson.D{{Key: "entity", Value: r.Plan.Entity}, {Key: "token", Value: bson.D{{Key: "$in", Value: tokens}}}}
		for _, name := range []string{source.LateWrites, source.Misfits, source.Positions} {
			err := retry.Do(ctx, "remove the entity's rows from "+name, func(ctx context.Context) error {
				_, err := r.Source.DB.Collection(name).DeleteMany(ctx, filter)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}
