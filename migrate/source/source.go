package source

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

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// Barriers is the collection whose inserts are barriers in the change stream: a reader
// that has read one has read everything that was acknowledged before its insert.
const Barriers = "banyan_barriers"

// Collection is the collection that a migration moves, under whichever name it has.
// It is safe for concurrent use.
type Collection struct {
	DB     *mongo.Database
	Name   string // before any fence
	Entity string // of the plan
}

// FencedName is the collection's name while it is fenced in an epoch.
// FencedName is the collection's name while it is fenced in an epoch.
func (s *Collection) FencedName(epoch int64) string {
	return fmt.Sprintf("%s__banyan_e%d", s.Name, epoch)
}

// RecreatedName names the nth collection that a late writer recreated during one lease
// of the fence. Their text order is their order in time.
func (s *Collection) RecreatedName(lease int64, n int) string {
	return fmt.Sprintf("%s%010d_%06d", s.recreatedPrefix(), lease, n)
}

func (s *Collection) recreatedPrefix() string { return s.Name + "__banyan_recreated_" }

// RecreatedIn lists the recreated collections among collections, the oldest first.
func (s *Collection) RecreatedIn(kinds map[string]string) []string {
	var all []string
	for name := range kinds {
		if strings.HasPrefix(name, s.recreatedPrefix()) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Names matches all collections that may hold the entity's documents in an epoch.
func (s *Collection) Names(epoch int64) bson.A {
	return bson.A{s.Name, s.FencedName(epoch), bson.Regex{Pattern: "^" + regexp.QuoteMeta(s.recreatedPrefix())}}
}

// Kinds returns the entity's collections that exist, each as "collection" or "view".
func (s *Collection) Kinds(ctx context.Context) (map[string]string, error) {
	kinds := map[string]string{}
	err := retry.Do(ctx, "list the collections of "+s.DB.Name(), func(ctx context.Context) error {
		ours := bson.D{{Key: "name", Value: bson.Regex{Pattern: "^" + regexp.QuoteMeta(s.Name) + "($|__banyan_)"}}}
		cur, err := s.DB.ListCollections(ctx, ours)
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

// ping sends one request, so that a wrong address is reported at once.
func (s *Collection) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retry.AttemptTimeout)
	defer cancel()
	err := s.DB.Client().Ping(ctx, nil)
	if retry.IsUnreachable(err) {
		return retry.Reachable("MongoDB", "MONGODB_URI", err)
	}
	return nil // other errors are left to the retries
}

// MustExist fails when the collection does not exist. While it is fenced it exists
// under its fenced name only.
func (s *Collection) MustExist(ctx context.Context, epoch int64) error {
	if err := s.ping(ctx); err != nil {
		return err
	}
	kinds, err := s.Kinds(ctx)
	if err != nil {
		return retry.Reachable("MongoDB", "MONGODB_URI", err)
	}
	if kinds[s.Name] == "" && kinds[s.FencedName(epoch)] == "" {
		return fmt.Errorf("the collection %s.%s does not exist; check source.collection in the plan and the database in MONGODB_URI", s.DB.Name(), s.Name)
	}
	return nil
}

// Chunk is a piece of the collection as it was at one moment.
type Chunk struct {
	Docs []bson.Raw
	At   stamp.ClusterTime // every document is at least as new as this
}

// Read returns up to limit documents with _id above after and up to upTo, in
// order of _id; either bound may be missing. Where the server has snapshot
// reads, all are of one moment; elsewhere the moment is a lower bound.
func (s *Collection) Read(ctx context.Context, after, upTo bson.RawValue, limit int) (Chunk, error) {
	var c Chunk
	err := retry.Do(ctx, "read "+s.Name, func(ctx context.Context) (err error) {
		c, err = s.readSnapshot(ctx, idFilter(after, upTo), limit)
		if snapshotUnsupported(err) {
			c, err = s.readMajority(ctx, idFilter(after, upTo), limit)
		}
		return err
	})
	return c, err
}

// ReadCollection returns up to limit documents of a collection that is no longer written.
func (s *Collection) ReadCollection(ctx context.Context, name string, after bson.RawValue, limit int) (docs []bson.Raw, err error) {
	err = retry.Do(ctx, "read "+name, func(ctx context.Context) error {
		reply, err := s.DB.RunCommand(ctx, findCommand(name, idFilter(after, bson.RawValue{}), limit, "majority")).Raw()
		if err != nil {
			return err
		}
		docs, err = firstBatch(reply)
		return err
	})
	return docs, err
}

func idFilter(after, upTo bson.RawValue) bson.D {
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

func findCommand(name string, filter bson.D, limit int, concern string) bson.D {
	return bson.D{{Key: "find", Value: name}, {Key: "filter", Value: filter}, {Key: "sort", Value: bson.D{{Key: "_id", Value: 1}}},
		{Key: "limit", Value: int32(limit)}, {Key: "batchSize", Value: int32(limit)}, {Key: "singleBatch", Value: true},
		{Key: "readConcern", Value: bson.D{{Key: "level", Value: concern}}}}
}

func (s *Collection) readSnapshot(ctx context.Context, filter bson.D, limit int) (Chunk, error) {
	reply, err := s.DB.RunCommand(ctx, findCommand(s.Name, filter, limit, "snapshot")).Raw()
	if err != nil {
		return Chunk{}, err
	}
	t, i, ok := reply.Lookup("cursor", "atClusterTime").TimestampOK()
	if !ok {
		return Chunk{}, errNoSnapshot
	}
	docs, err := firstBatch(reply)
	return Chunk{docs, stamp.ClusterTimeOf(bson.Timestamp{T: t, I: i})}, err
}

var errNoSnapshot = errors.New("the server's reply has no atClusterTime")

func snapshotUnsupported(err error) bool {
	var server mongo.ServerError
	return errors.Is(err, errNoSnapshot) || errors.As(err, &server) &&
		(server.HasErrorCode(72) || server.HasErrorCode(123) || server.HasErrorCode(9) || server.HasErrorCode(2))
}

func (s *Collection) readMajority(ctx context.Context, filter bson.D, limit int) (Chunk, error) {
	at, err := s.Now(ctx)
	if err != nil {
		return Chunk{}, err
	}
	reply, err := s.DB.RunCommand(ctx, findCommand(s.Name, filter, limit, "majority")).Raw()
	if err != nil {
		return Chunk{}, err
	}
	docs, err := firstBatch(reply)
	return Chunk{docs, at}, err
}

// Now is a cluster time that no later read is older than.
func (s *Collection) Now(ctx context.Context) (stamp.ClusterTime, error) {
	reply, err := s.DB.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		return 0, err
	}
	if t, i, ok := reply.Lookup("operationTime").TimestampOK(); ok {
		return stamp.ClusterTimeOf(bson.Timestamp{T: t, I: i}), nil
	}
	if t, i, ok := reply.Lookup("$clusterTime", "clusterTime").TimestampOK(); ok {
		return stamp.ClusterTimeOf(bson.Timestamp{T: t, I: i}), nil
	}
	return 0, errors.New("the server reports no cluster time; a migration needs a replica set or a sharded cluster")
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

// Current reads documents by _id as they are now, under whichever name the fence gave
// their collection; those of recreated collections are newer and win. The result is by
// IDKey and has no entry for a missing document.
func (s *Collection) Current(ctx context.Context, ids []bson.RawValue, epoch int64) (map[string]bson.Raw, error) {
	found := map[string]bson.Raw{}
	if len(ids) == 0 {
		return found, nil
	}
	for range 2 { // the second pass finds what a rename hid from the first
		kinds, err := s.Kinds(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range s.currentNames(kinds, epoch) {
			if err := s.Lookup(ctx, name, ids, found); err != nil {
				return nil, err
			}
		}
		if len(found) == len(ids) {
			break
		}
	}
	return found, nil
}

// currentNames lists the collections that hold documents now, the newest last.
func (s *Collection) currentNames(kinds map[string]string, epoch int64) []string {
	var all []string
	if kinds[s.FencedName(epoch)] != "" {
		all = append(all, s.FencedName(epoch))
	}
	all = append(all, s.RecreatedIn(kinds)...)
	if kinds[s.Name] != "view" {
		all = append(all, s.Name)
	}
	return all
}

// Lookup reads documents of one collection by _id into a map by IDKey.
// Lookup reads documents of one collection by _id into a map by IDKey.
func (s *Collection) Lookup(ctx context.Context, name string, ids []bson.RawValue, into map[string]bson.Raw) error {
	return retry.Do(ctx, "read "+name+" by _id", func(ctx context.Context) error {
		cur, err := s.DB.Collection(name).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, options.Find().SetBatchSize(int32(len(ids)+1)))
		if err != nil {
			return err
		}
		defer cur.Close(ctx)
		for cur.Next(ctx) {
			into[IDKey(cur.Current.Lookup("_id"))] = append(bson.Raw{}, cur.Current...)
		}
		return cur.Err()
	})
}

// IDKey is an identifier as a map key: its type and its bytes.
func IDKey(id bson.RawValue) string { return string([]byte{byte(id.Type)}) + string(id.Value) }

// InsertBarrier inserts a barrier; the changes pass it after everything that was
// acknowledged before.
func (s *Collection) InsertBarrier(ctx context.Context, id string, epoch int64) error {
	return retry.Do(ctx, "insert a barrier into "+Barriers, func(ctx context.Context) error {
		_, err := s.DB.Collection(Barriers).InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "entity", Value: s.Entity}, {Key: "epoch", Value: epoch}})
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
}

// DeleteBarrier removes a barrier that is no longer needed.
// DeleteBarrier removes a barrier that is no longer needed.
func (s *Collection) DeleteBarrier(ctx context.Context, id string) error {
	_, err := s.DB.Collection(Barriers).DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	return err
}

// Extremes returns the smallest and the largest _id in the order over all
// types; zero values when the collection is empty.
func (s *Collection) Extremes(ctx context.Context) (least, most bson.RawValue, err error) {
	for _, end := range []struct {
		direction int
		into      *bson.RawValue
	}{{1, &least}, {-1, &most}} {
		err = retry.Do(ctx, "read the ends of "+s.Name, func(ctx context.Context) error {
			opts := options.FindOne().SetSort(bson.D{{Key: "_id", Value: end.direction}}).SetProjection(bson.D{{Key: "_id", Value: 1}})
			doc, err := s.DB.Collection(s.Name).FindOne(ctx, bson.D{}, opts).Raw()
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

// IDAfter returns the _id that is n documents after another, zero at the end.
func (s *Collection) IDAfter(ctx context.Context, after bson.RawValue, n int) (bson.RawValue, error) {
	var id bson.RawValue
	err := retry.Do(ctx, "divide "+s.Name+" into ranges", func(ctx context.Context) error {
		opts := options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "_id", Value: 1}}).SetSkip(int64(n - 1))
		doc, err := s.DB.Collection(s.Name).FindOne(ctx, idFilter(after, bson.RawValue{}), opts).Raw()
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		id = doc.Lookup("_id")
		return err
	})
	return id, err
}

// EstimatedCount is the number of documents by the server's metadata.
// EstimatedCount is the number of documents by the server's metadata.
func (s *Collection) EstimatedCount(ctx context.Context) (n int64, err error) {
	err = retry.Do(ctx, "count "+s.Name, func(ctx context.Context) (err error) {
		n, err = s.DB.Collection(s.Name).EstimatedDocumentCount(ctx)
		return err
	})
	return n, err
}

// IsOwn reports whether a collection name is one the fence makes.
func (s *Collection) IsOwn(name string) bool { return strings.HasPrefix(name, s.Name+"__banyan_") }

// Present returns which of the ids are in the collection, by IDKey.
func (s *Collection) Present(ctx context.Context, ids []bson.RawValue) (map[string]bool, error) {
	there := map[string]bool{}
	err := retry.Do(ctx, "look for documents in "+s.Name, func(ctx context.Context) error {
		opts := options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(int32(len(ids) + 1))
		cur, err := s.DB.Collection(s.Name).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, opts)
		if err != nil {
			return err
		}
		defer cur.Close(ctx)
		for cur.Next(ctx) {
			there[IDKey(cur.Current.Lookup("_id"))] = true
		}
		return cur.Err()
	})
	return there, err
}
