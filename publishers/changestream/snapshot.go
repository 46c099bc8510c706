package changestream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers"
)

// snapshot reads whole collections, in chunks that the follower inserts at their
// positions in the stream.
type snapshot struct {
	p     *Publisher
	state *snapshotState // nil: there is none
}

// snapshotState is stored with the position.
type snapshotState struct {
	ID          string        `bson:"id"`
	StartedAt   time.Time     `bson:"startedAt"`
	Collections []string      `bson:"collections"` // not read to the end yet
	Bracket     int           `bson:"bracket"`
	After       bson.RawValue `bson:"after,omitempty"` // the last _id read in the bracket
	Documents   int64         `bson:"documents"`
	Done        bool          `bson:"done"`
}

// brackets are the groups of types in the order of _id. A comparison in a query
// is within one group only: _id > "z" finds no ObjectId. What cannot be an _id
// (arrays, regular expressions, undefined) has none.
var brackets = [][]string{{"minKey"}, {"null"}, {"number"}, {"string", "symbol"}, {"object"}, {"binData"}, {"objectId"},
	{"bool"}, {"date"}, {"timestamp"}, {"dbPointer", "javascript", "javascriptWithScope"}, {"maxKey"}}

// Begin starts a snapshot where there is no position to resume from, and resumes
// one that was interrupted.
func (s *snapshot) Begin(_ context.Context, state bson.Raw, fresh bool) (bson.Raw, error) {
	s.state = nil
	switch {
	case !fresh && state != nil:
		s.state = &snapshotState{}
		if err := bson.Unmarshal(state, s.state); err != nil {
			return nil, fmt.Errorf("decode the snapshot's progress: %w", err)
		}
	case fresh && s.p.cfg.Snapshot:
		names := slices.Clone(s.p.cfg.Mapping.Snapshots)
		slices.Sort(names)
		s.state = &snapshotState{ID: uuid.NewString(), StartedAt: time.Now().UTC(), Collections: names}
	default:
		return state, nil
	}
	s.report()
	if !fresh {
		return state, nil
	}
	return bson.Marshal(s.state)
}

func (s *snapshot) report() {
	st := SnapshotStatus{ID: s.state.ID, Running: !s.state.Done, Documents: s.state.Documents}
	if len(s.state.Collections) > 0 {
		st.Collection = s.state.Collections[0]
	}
	s.p.counted(func(all *Status) { all.Snapshot = st })
}

// Next reads the next chunk.
func (s *snapshot) Next(ctx context.Context) (*mongostream.Chunk, error) {
	for s.state != nil && !s.state.Done {
		if len(s.state.Collections) == 0 {
			return s.finish(ctx)
		}
		docs, at, err := s.read(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %s for the snapshot: %w", s.state.Collections[0], err)
		}
		if len(docs) > 0 {
			return s.chunk(docs, at)
		}
		s.advance()
	}
	return nil, nil
}

// advance moves on to the next bracket of _id, then to the next collection.
func (s *snapshot) advance() {
	s.state.After = bson.RawValue{}
	if s.state.Bracket++; s.state.Bracket == len(brackets) {
		s.state.Bracket, s.state.Collections = 0, s.state.Collections[1:]
	}
}

// finish returns a last chunk without documents, as of the present cluster time.
func (s *snapshot) finish(context.Context) (*mongostream.Chunk, error) {
	s.state.Done = true
	state, err := bson.Marshal(s.state)
	if err != nil {
		return nil, err
	}
	return &mongostream.Chunk{State: state, Handle: func(context.Context) (mongostream.Ack, error) {
		s.report()
		s.p.cfg.Log.Info("snapshot complete", "name", s.p.cfg.Name, "id", s.state.ID, "documents", s.state.Documents)
		return nil, nil
	}}, nil
}

func (s *snapshot) chunk(docs []bson.Raw, at bson.Timestamp) (*mongostream.Chunk, error) {
	name, id := s.state.Collections[0], s.state.ID
	s.state.After = docs[len(docs)-1].Lookup("_id")
	s.state.Documents += int64(len(docs))
	state, err := bson.Marshal(s.state)
	if err != nil {
		return nil, err
	}
	return &mongostream.Chunk{At: at, State: state, Handle: func(ctx context.Context) (mongostream.Ack, error) {
		s.report()
		receipts, err := s.publish(ctx, name, id, docs, at)
		return waitForAll(receipts), err
	}}, nil
}

func (s *snapshot) publish(ctx context.Context, name, id string, docs []bson.Raw, at bson.Timestamp) ([]publishers.Receipt, error) {
	var all []publishers.Receipt
	for _, doc := range docs {
		key, err := bson.Marshal(bson.D{{Key: "_id", Value: doc.Lookup("_id")}})
		if err != nil {
			return nil, err
		}
		c := &Change{Operation: "snapshot", Database: s.p.cfg.Database.Name(), Collection: name, Key: key, Full: doc,
			ClusterTime: at, Wall: time.Unix(int64(at.T), 0).UTC()}
		receipts, err := s.p.publish(ctx, c, id)
		if err != nil {
			return nil, err
		}
		all = append(all, receipts...)
	}
	return all, nil
}

// read returns the next documents, all as of one cluster time; none of a collection that
// does not exist.
func (s *snapshot) read(ctx context.Context) (docs []bson.Raw, at bson.Timestamp, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = s.p.readWhere(ctx, s.state.Collections[0], func(name string) (bool, error) {
		docs, at, err = s.readFrom(ctx, name)
		for mongoerr.HasCode(err, mongoerr.SnapshotUnavailable) && retryDelay.Wait(ctx, 0) == nil {
			docs, at, err = s.readFrom(ctx, name) // a rename was newer than the server's snapshots
		}
		return len(docs) > 0, err
	})
	if errors.Is(err, errCollectionGone) {
		err = nil
	}
	return docs, at, err
}

func (s *snapshot) readFrom(ctx context.Context, name string) ([]bson.Raw, bson.Timestamp, error) {
	n := int32(s.p.cfg.SnapshotChunk)
	reply, err := s.p.cfg.Database.RunCommand(ctx, bson.D{{Key: "find", Value: name}, {Key: "filter", Value: s.filter()},
		{Key: "sort", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "limit", Value: n}, {Key: "batchSize", Value: n}, {Key: "singleBatch", Value: true},
		{Key: "readConcern", Value: bson.D{{Key: "level", Value: "snapshot"}}}}).Raw()
	if err != nil {
		return nil, bson.Timestamp{}, explain(err)
	}
	t, i, ok := reply.Lookup("cursor", "atClusterTime").TimestampOK()
	if !ok {
		return nil, bson.Timestamp{}, errNoSnapshots
	}
	batch, err := reply.Lookup("cursor", "firstBatch").Array().Values()
	docs := make([]bson.Raw, len(batch))
	for k, v := range batch {
		docs[k] = v.Document()
	}
	return docs, bson.Timestamp{T: t, I: i}, err
}

var errNoSnapshots = errors.New("the server cannot read as of one cluster time, which a snapshot needs to find its place among the changes: " +
	"MongoDB 5.0 or newer can")

func explain(err error) error {
	if mongoerr.HasCode(err, mongoerr.BadValue, mongoerr.FailedToParse, mongoerr.InvalidOptions, 123) {
		return fmt.Errorf("%w: %w", errNoSnapshots, err)
	}
	return err
}

// filter selects the documents behind the last one, within the present bracket.
func (s *snapshot) filter() bson.D {
	condition := bson.D{{Key: "$type", Value: brackets[s.state.Bracket]}}
	switch after := s.state.After; {
	case after.IsZero():
	case isNaN(after): // below all numbers, and not comparable with any
		condition = append(condition, bson.E{Key: "$gte", Value: math.Inf(-1)})
	default:
		condition = append(condition, bson.E{Key: "$gt", Value: after})
	}
	return bson.D{{Key: "_id", Value: condition}}
}

func isNaN(v bson.RawValue) bool {
	if d, ok := v.DoubleOK(); ok {
		return math.IsNaN(d)
	}
	d, ok := v.Decimal128OK()
	return ok && d.IsNaN()
}
