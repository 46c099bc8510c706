package migrate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// clock is a MongoDB cluster time as one number: T<<32 | I.
type clock uint64

func clockOf(ts bson.Timestamp) clock { return clock(ts.T)<<32 | clock(ts.I) }

func (c clock) timestamp() bson.Timestamp { return bson.Timestamp{T: uint32(c >> 32), I: uint32(c)} }

// markers is the collection whose inserts mark places in the change stream.
const markers = "banyan_markers"

// source is the collection being moved, under whichever name it has.
type source struct {
	db     *mongo.Database
	name   string
	entity string
}

func (s *source) fenced(epoch int64) string { return fmt.Sprintf("%s__banyan_e%d", s.name, epoch) }

// stray names the nth stray of a turn. Its text order is the order in time.
func (s *source) stray(turn int64, n int) string {
	return fmt.Sprintf("%s%010d_%06d", s.strayPrefix(), turn, n)
}

func (s *source) strayPrefix() string { return s.name + "__banyan_stray_" }

// straysIn lists the strays among collections, the oldest first.
func (s *source) straysIn(kinds map[string]string) []string {
	var all []string
	for name := range kinds {
		if strings.HasPrefix(name, s.strayPrefix()) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// names matches all collections that may hold the entity's documents in an epoch.
func (s *source) names(epoch int64) bson.A {
	return bson.A{s.name, s.fenced(epoch), bson.Regex{Pattern: "^" + regexp.QuoteMeta(s.strayPrefix())}}
}

// kinds says which of the entity's collections are there and what they are:
// "collection" or "view".
func (s *source) kinds(ctx context.Context) (map[string]string, error) {
	kinds := map[string]string{}
	err := retry(ctx, "list the collections of "+s.db.Name(), func(ctx context.Context) error {
		ours := bson.D{{Key: "name", Value: bson.Regex{Pattern: "^" + regexp.QuoteMeta(s.name) + "($|__banyan_)"}}}
		cur, err := s.db.ListCollections(ctx, ours)
		if err != nil {
			return err
		}
		var all []struct{ Name, Type string }
		if err := cur.All(ctx, &all); err != nil {
			return err
		}
		clear(kinds)
		for _, c := range all {
			kinds[c.Name] = c.Type
		}
		return nil
	})
	return kinds, err
}

// answers asks once, so that a wrong address is told at once.
func (s *source) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := s.db.Client().Ping(ctx, nil)
	if unreachable(err) {
		return reachable("MongoDB", "MONGODB_URI", err)
	}
	return nil // what passes is left to the retries
}

// mustExist reports a missing collection in one sentence. In the middle of a
// fence it exists under its fenced name only.
func (s *source) mustExist(ctx context.Context, epoch int64) error {
	if err := s.answers(ctx); err != nil {
		return err
	}
	kinds, err := s.kinds(ctx)
	if err != nil {
		return reachable("MongoDB", "MONGODB_URI", err)
	}
	if kinds[s.name] == "" && kinds[s.fenced(epoch)] == "" {
		return fmt.Errorf("the collection %s.%s does not exist; check source.collection in the plan and the database in MONGODB_URI", s.db.Name(), s.name)
	}
	return nil
}

// chunk is a piece of the collection as it was at one moment.
type chunk struct {
	docs []bson.Raw
	at   clock // every document is at least as new as this
}

// read returns up to limit documents with _id above after and up to upTo, in
// order of _id; either bound may be missing. Where the server has snapshot
// reads, all are of one moment; elsewhere the moment is a lower bound.
func (s *source) read(ctx context.Context, after, upTo bson.RawValue, limit int) (chunk, error) {
	var c chunk
	err := retry(ctx, "read "+s.name, func(ctx context.Context) (err error) {
		c, err = s.snapshot(ctx, between(after, upTo), limit)
		if snapshotUnsupported(err) {
			c, err = s.majority(ctx, between(after, upTo), limit)
		}
		return err
	})
	return c, err
}

// readFrom returns up to limit documents of a collection that nobody writes to.
func (s *source) readFrom(ctx context.Context, name string, after bson.RawValue, limit int) (docs []bson.Raw, err error) {
	err = retry(ctx, "read "+name, func(ctx context.Context) error {
		reply, err := s.db.RunCommand(ctx, find(name, between(after, bson.RawValue{}), limit, "majority")).Raw()
		if err != nil {
			return err
		}
		docs, err = firstBatch(reply)
		return err
	})
	return docs, err
}

func between(after, upTo bson.RawValue) bson.D {
	var bounds bson.D
	if !after.IsZero() {
		bounds = append(bounds, bson.E{Key: "$gt", Value: after})
	}
	if !upTo.IsZero() {
		bounds = append(bounds, bson.E{Key: "$lte", Value: upTo})
	}
	if bounds == nil {
		return bson.D{}
	}
	return bson.D{{Key: "_id", Value: bounds}}
}

func find(name string, filter bson.D, limit int, concern string) bson.D {
	return bson.D{{Key: "find", Value: name}, {Key: "filter", Value: filter}, {Key: "sort", Value: bson.D{{Key: "_id", Value: 1}}},
		{Key: "limit", Value: int32(limit)}, {Key: "batchSize", Value: int32(limit)}, {Key: "singleBatch", Value: true},
		{Key: "readConcern", Value: bson.D{{Key: "level", Value: concern}}}}
}

func (s *source) snapshot(ctx context.Context, filter bson.D, limit int) (chunk, error) {
	reply, err := s.db.RunCommand(ctx, find(s.name, filter, limit, "snapshot")).Raw()
	if err != nil {
		return chunk{}, err
	}
	t, i, ok := reply.Lookup("cursor", "atClusterTime").TimestampOK()
	if !ok {
		return chunk{}, errNoSnapshot
	}
	docs, err := firstBatch(reply)
	return chunk{docs, clockOf(bson.Timestamp{T: t, I: i})}, err
}

var errNoSnapshot = errors.New("the server does not say the time of its snapshot")

func snapshotUnsupported(err error) bool {
	var server mongo.ServerError
	return errors.Is(err, errNoSnapshot) || errors.As(err, &server) && (server.HasErrorCode(72) || server.HasErrorCode(123) || server.HasErrorCode(9) || server.HasErrorCode(2))
}

func (s *source) majority(ctx context.Context, filter bson.D, limit int) (chunk, error) {
	at, err := s.now(ctx)
	if err != nil {
		return chunk{}, err
	}
	reply, err := s.db.RunCommand(ctx, find(s.name, filter, limit, "majority")).Raw()
	if err != nil {
		return chunk{}, err
	}
	docs, err := firstBatch(reply)
	return chunk{docs, at}, err
}

// now is a cluster time that no later read is older than.
func (s *source) now(ctx context.Context) (clock, error) {
	reply, err := s.db.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		return 0, err
	}
	if t, i, ok := reply.Lookup("operationTime").TimestampOK(); ok {
		return clockOf(bson.Timestamp{T: t, I: i}), nil
	}
	if t, i, ok := reply.Lookup("$clusterTime", "clusterTime").TimestampOK(); ok {
		return clockOf(bson.Timestamp{T: t, I: i}), nil
	}
	return 0, errors.New("the server tells no cluster time; a migration needs a replica set or a sharded cluster")
}

func firstBatch(reply bson.Raw) ([]bson.Raw, error) {
	batch, ok := reply.Lookup("cursor", "firstBatch").ArrayOK()
	if !ok {
		return nil, errors.New("the server's reply has no first batch")
	}
	values, err := batch.Values()
	docs := make([]bson.Raw, 0, len(values))
	for _, v := range values {
		docs = append(docs, v.Document())
	}
	return docs, err
}

// current reads documents by _id as they are now, wherever the fence has put
// them; strays, being newer, win. Missing ids are missing in the result, whose
// keys are those of idText.
func (s *source) current(ctx context.Context, ids []bson.RawValue, epoch int64) (map[string]bson.Raw, error) {
	found := map[string]bson.Raw{}
	if len(ids) == 0 {
		return found, nil
	}
	for range 2 { // what a rename hides from the first pass, the second finds
		kinds, err := s.kinds(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range s.places(kinds, epoch) {
			if err := s.lookup(ctx, name, ids, found); err != nil {
				return nil, err
			}
		}
		if len(found) == len(ids) {
			break
		}
	}
	return found, nil
}

// places lists the collections that hold documents now, the newest last.
func (s *source) places(kinds map[string]string, epoch int64) []string {
	var all []string
	if kinds[s.fenced(epoch)] != "" {
		all = append(all, s.fenced(epoch))
	}
	all = append(all, s.straysIn(kinds)...)
	if kinds[s.name] != "view" {
		all = append(all, s.name)
	}
	return all
}

func (s *source) lookup(ctx context.Context, name string, ids []bson.RawValue, into map[string]bson.Raw) error {
	return retry(ctx, "read "+name+" by _id", func(ctx context.Context) error {
		cur, err := s.db.Collection(name).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, options.Find().SetBatchSize(int32(len(ids)+1)))
		if err != nil {
			return err
		}
		defer cur.Close(ctx)
		for cur.Next(ctx) {
			into[idText(cur.Current.Lookup("_id"))] = append(bson.Raw{}, cur.Current...)
		}
		return cur.Err()
	})
}

// idText is an identifier as a map key: its type and its bytes.
func idText(id bson.RawValue) string { return string([]byte{byte(id.Type)}) + string(id.Value) }

// mark inserts a marker; the changes pass it after everything that was
// acknowledged before.
func (s *source) mark(ctx context.Context, id string, epoch int64) error {
	return retry(ctx, "insert a marker into "+markers, func(ctx context.Context) error {
		_, err := s.db.Collection(markers).InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "entity", Value: s.entity}, {Key: "epoch", Value: epoch}})
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
}

func (s *source) unmark(ctx context.Context, id string) error {
	_, err := s.db.Collection(markers).DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	return err
}

// extremes returns the smallest and the largest _id in the order over all
// types; zero values when the collection is empty.
func (s *source) extremes(ctx context.Context) (least, most bson.RawValue, err error) {
	for _, end := range []struct {
		direction int
		into      *bson.RawValue
	}{{1, &least}, {-1, &most}} {
		err = retry(ctx, "read the ends of "+s.name, func(ctx context.Context) error {
			opts := options.FindOne().SetSort(bson.D{{Key: "_id", Value: end.direction}}).SetProjection(bson.D{{Key: "_id", Value: 1}})
			doc, err := s.db.Collection(s.name).FindOne(ctx, bson.D{}, opts).Raw()
			if errors.Is(err, mongo.ErrNoDocuments) {
				return nil
			}
			*end.into = doc.Lookup("_id")
			return err
		})
		if err != nil {
			return least, most, err
		}
	}
	return least, most, nil
}

// hop returns the _id that stands n documents after another, zero at the end.
func (s *source) hop(ctx context.Context, after bson.RawValue, n int) (bson.RawValue, error) {
	var id bson.RawValue
	err := retry(ctx, "divide "+s.name+" into ranges", func(ctx context.Context) error {
		opts := options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "_id", Value: 1}}).SetSkip(int64(n - 1))
		doc, err := s.db.Collection(s.name).FindOne(ctx, between(after, bson.RawValue{}), opts).Raw()
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		id = doc.Lookup("_id")
		return err
	})
	return id, err
}

func (s *source) estimate(ctx context.Context) (n int64, err error) {
	err = retry(ctx, "count "+s.name, func(ctx context.Context) (err error) {
		n, err = s.db.Collection(s.name).EstimatedDocumentCount(ctx)
		return err
	})
	return n, err
}

// isOurs reports whether a collection name is one the fence makes.
func (s *source) isOurs(name string) bool { return strings.HasPrefix(name, s.name+"__banyan_") }

// present says which of the ids are in the collection.
func (s *source) present(ctx context.Context, ids []bson.RawValue) (map[string]bool, error) {
	there := map[string]bool{}
	err := retry(ctx, "look for documents in "+s.name, func(ctx context.Context) error {
		opts := options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(int32(len(ids) + 1))
		cur, err := s.db.Collection(s.name).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, opts)
		if err != nil {
			return err
		}
		defer cur.Close(ctx)
		for cur.Next(ctx) {
			there[idText(cur.Current.Lookup("_id"))] = true
		}
		return cur.Err()
	})
	return there, err
}
