package source

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Barriers is the collection whose inserts are barriers in the change stream: a reader
// that has read one has read everything that was acknowledged before its insert.
const Barriers = "banyan_barriers"

// Claims is the collection that says which control table a collection's migration belongs
// to, by the collection's public name, and what its TTL indexes said before a fence.
const Claims = "banyan_claims"

// The collections of the way back from DynamoDB, see package reverse.
const (
	Positions  = "banyan_reverse"         // a row for each stream, and one for each of its shards
	Misfits    = "banyan_reverse_misfits" // items that do not fit MongoDB
	LateWrites = "banyan_late_writes"     // writes to the table while MongoDB owned the entity
)

// Collection is the collection that a migration moves, under whichever name it has.
// It is safe for concurrent use.
type Collection struct {
	DB     *mongo.Database // reads of the primary, writes with majority
	Names  names.Names
	UUID   string // of the collection, wherever it is: 32 hexadecimal digits
	Entity string // of the plan
	Codec  *codec.Codec

	last    atomic.Pointer[string] // the name that it had last
	noQueue atomic.Bool            // the user may not see what waits in the primary
}

// Primary is a database for a [Collection]: whatever its client prefers, what is
// compared and copied is read of the primary, and what is written has a majority.
func Primary(client *mongo.Client, database string) *mongo.Database {
	return client.Database(database, options.Database().SetReadPreference(readpref.Primary()).SetWriteConcern(writeconcern.Majority()))
}

// ErrGone says that no collection has the UUID.
var ErrGone error = retry.Permanent("the collection was dropped or replaced: none has the UUID that the migration is bound to; " +
	"restore it, or take what stands there now as the source with `banyan-migrate run --from-start`")

// Look lists what stands under the collection's names now.
func (s *Collection) Look(ctx context.Context) (Layout, error) { return Look(ctx, s.DB, s.Names) }

// Locate is the name that the collection has now.
func (s *Collection) Locate(ctx context.Context) (string, error) {
	l, err := s.Look(ctx)
	if err != nil {
		return "", err
	}
	name := l.Locate(s.UUID)
	if name == "" {
		return "", fmt.Errorf("find %s: %w", s.Names, ErrGone)
	}
	s.last.Store(&name)
	return name, nil
}

// errMoved: the collection has another name after a read than before it.
var errMoved = errors.New("the collection was renamed meanwhile")

// read runs a read under the collection's name, and again when the collection had another
// one after it: a name that it left is empty, or another's. Once it is so at once, since
// clients wait for what is read right behind a fence.
func (s *Collection) read(ctx context.Context, what string, fn func(ctx context.Context, name string) error) error {
	var name string
	if last := s.last.Load(); last != nil {
		name = *last
	} else if first, err := s.Locate(ctx); err != nil {
		return err
	} else {
		name = first
	}
	return retry.Do(ctx, what, func(ctx context.Context) error {
		for range 2 {
			readErr := fn(ctx, name)
			now, err := s.Locate(ctx)
			if err != nil {
				return err
			}
			if now == name {
				return readErr
			}
			name = now
		}
		return errMoved
	})
}

// ping sends one request, so that a wrong address is reported at once.
func (s *Collection) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retry.AttemptTimeout)
	defer cancel()
	err := s.DB.Client().Ping(ctx, readpref.Primary())
	if retry.IsUnreachable(err) {
		return retry.Reachable("MongoDB", "MONGODB_URI", err)
	}
	return nil // other errors are left to the retries
}

// ErrNothingToMove is returned by Find where no collection has the public name.
var ErrNothingToMove = errors.New("there is nothing to move")

// Find returns what stands under the public name, before there is a UUID to look for. It
// fails with ErrNothingToMove unless it is a collection.
func (s *Collection) Find(ctx context.Context) (Entry, error) {
	if err := s.ping(ctx); err != nil {
		return Entry{}, err
	}
	l, err := s.Look(ctx)
	if err != nil {
		return Entry{}, retry.Reachable("MongoDB", "MONGODB_URI", err)
	}
	e, there := l.At(string(s.Names))
	switch {
	case !there:
		return e, fmt.Errorf("%w: the collection %s.%s does not exist; check source.collection in the plan and the database in MONGODB_URI",
			ErrNothingToMove, s.DB.Name(), s.Names)
	case e.View:
		return e, fmt.Errorf("%w: %s.%s is a view on %s; a migration needs the collection", ErrNothingToMove, s.DB.Name(), s.Names, e.ViewOn)
	case e.UUID == "":
		return e, fmt.Errorf("%w: the server lists no UUID of %s.%s; a migration needs MongoDB 4.2 or later", ErrNothingToMove, s.DB.Name(), s.Names)
	}
	return e, nil
}

// ReadRange returns up to limit documents from the beginning of a range, in the order of
// _id. Where the server has snapshot reads, all are of one moment; elsewhere the moment is
// a lower bound.
func (s *Collection) ReadRange(ctx context.Context, r side.Range, limit int) (side.Chunk, error) {
	var c side.Chunk
	filter := codec.IDRange(unpackID(r.From), unpackID(r.To))
	err := s.read(ctx, "read "+string(s.Names), func(ctx context.Context, name string) (err error) {
		c, err = s.readSnapshot(ctx, name, filter, limit)
		if snapshotUnsupported(err) {
			c, err = s.readMajority(ctx, name, filter, limit)
		}
		return err
	})
	if c.Next = r.From; len(c.Docs) > 0 {
		c.Next = packID(c.Docs[len(c.Docs)-1].Lookup("_id"))
	}
	return c, err
}

func findCommand(name string, filter bson.D, limit int, concern string) bson.D {
	return bson.D{{Key: "find", Value: name}, {Key: "filter", Value: filter}, {Key: "sort", Value: bson.D{{Key: "_id", Value: 1}}},
		{Key: "limit", Value: int32(limit)}, {Key: "batchSize", Value: int32(limit)}, {Key: "singleBatch", Value: true},
		{Key: "readConcern", Value: bson.D{{Key: "level", Value: concern}}}}
}

func (s *Collection) readSnapshot(ctx context.Context, name string, filter bson.D, limit int) (side.Chunk, error) {
	reply, err := s.DB.RunCommand(ctx, findCommand(name, filter, limit, "snapshot")).Raw()
	if err != nil {
		return side.Chunk{}, err
	}
	t, i, ok := reply.Lookup("cursor", "atClusterTime").TimestampOK()
	if !ok {
		return side.Chunk{}, errNoSnapshot
	}
	docs, err := firstBatch(reply)
	return side.Chunk{Docs: docs, At: stamp.ClusterTimeOf(bson.Timestamp{T: t, I: i})}, err
}

var errNoSnapshot = errors.New("the server's reply has no atClusterTime")

func snapshotUnsupported(err error) bool {
	var server mongo.ServerError
	return errors.Is(err, errNoSnapshot) || errors.As(err, &server) &&
		(server.HasErrorCode(72) || server.HasErrorCode(123) || server.HasErrorCode(9) || server.HasErrorCode(2))
}

func (s *Collection) readMajority(ctx context.Context, name string, filter bson.D, limit int) (side.Chunk, error) {
	at, err := s.now(ctx)
	if err != nil {
		return side.Chunk{}, err
	}
	reply, err := s.DB.RunCommand(ctx, findCommand(name, filter, limit, "majority")).Raw()
	if err != nil {
		return side.Chunk{}, err
	}
	docs, err := firstBatch(reply)
	return side.Chunk{Docs: docs, At: at}, err
}

// Now is a cluster time that no later read is older than.
func (s *Collection) Now(ctx context.Context) (now stamp.ClusterTime, err error) {
	err = retry.Do(ctx, "read the cluster time of MongoDB", func(ctx context.Context) (err error) {
		now, err = s.now(ctx)
		return err
	})
	return now, err
}

func (s *Collection) now(ctx context.Context) (stamp.ClusterTime, error) {
	reply, err := s.DB.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		return 0, err
	}
	return operationTime(reply)
}

func operationTime(reply bson.Raw) (stamp.ClusterTime, error) {
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

// Current reads documents by _id as they are now. The result is by IDKey and has no entry
// for a missing document.
func (s *Collection) Current(ctx context.Context, ids []bson.RawValue) (map[string]bson.Raw, error) {
	found := map[string]bson.Raw{}
	if len(ids) == 0 {
		return found, nil
	}
	err := s.read(ctx, "read "+string(s.Names)+" by _id", func(ctx context.Context, name string) error {
		clear(found)
		return s.find(ctx, name, ids, options.Find(), func(doc bson.Raw) { found[side.IDKey(doc.Lookup("_id"))] = doc })
	})
	return found, err
}

// find reads documents by _id.
func (s *Collection) find(ctx context.Context, name string, ids []bson.RawValue, opts *options.FindOptionsBuilder, each func(bson.Raw)) error {
	in := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
	cur, err := s.DB.Collection(name).Find(ctx, in, opts.SetBatchSize(int32(len(ids)+1)))
	if err != nil {
		return err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		each(append(bson.Raw{}, cur.Current...))
	}
	return cur.Err()
}

// InsertBarrier inserts a barrier; the changes pass it after everything that was
// acknowledged before.
func (s *Collection) InsertBarrier(ctx context.Context, id string) error {
	return retry.Do(ctx, "insert a barrier into "+Barriers, func(ctx context.Context) error {
		_, err := s.DB.Collection(Barriers).InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "entity", Value: s.Entity}})
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
}

// Settled is a time up to which a majority has everything, and every later read with it:
// that of a write of its own, which is a barrier nobody waits for.
func (s *Collection) Settled(ctx context.Context) (at stamp.ClusterTime, err error) {
	id := bson.NewObjectID()
	err = retry.Do(ctx, "insert a barrier into "+Barriers, func(ctx context.Context) error {
		id = bson.NewObjectID() // the time of one that stands already is not known
		reply, err := s.DB.RunCommand(ctx, bson.D{{Key: "insert", Value: Barriers}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: id}}}},
			{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}}}).Raw()
		if err == nil {
			at, err = operationTime(reply)
		}
		return err
	})
	if err == nil {
		_, _ = s.DB.Collection(Barriers).DeleteOne(ctx, bson.D{{Key: "_id", Value: id}}) // one left behind does no harm
	}
	return at, err
}

// DeleteBarrier removes a barrier that is no longer needed.
func (s *Collection) DeleteBarrier(ctx context.Context, id string) error {
	_, err := s.DB.Collection(Barriers).DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	return err
}

// Divide divides the collection into ranges of about size documents, or a 64th of it for 0
// (but at least 5,000, and at most 100,000), and calls each with them, in the order of _id. The first is open below and the last
// above. It returns how many there are.
func (s *Collection) Divide(ctx context.Context, size int, each func(n int, r side.Range) error) (int, error) {
	if err := s.checkIDTypes(ctx); err != nil {
		return 0, err
	}
	if size == 0 {
		estimated, err := s.EstimatedCount(ctx)
		if err != nil {
			return 0, err
		}
		size = int(min(max(estimated/64, 5000), 100_000))
	}
	var from bson.RawValue
	for n := 0; ; n++ {
		to, err := s.idAfter(ctx, from, size)
		if err != nil {
			return n, err
		}
		if err := each(n, side.Range{From: packID(from), To: packID(to)}); err != nil {
			return n, err
		}
		if to.IsZero() {
			return n + 1, nil
		}
		from = to
	}
}

// checkIDTypes makes sure that no _id is of another type than the key's. Documents sort by
// type first, so where the key has one type looking at both ends is enough.
func (s *Collection) checkIDTypes(ctx context.Context) error {
	least, most, err := s.extremes(ctx)
	if err != nil {
		return err
	}
	nan, err := s.firstID(ctx, bson.D{{Key: "_id", Value: math.NaN()}}, options.FindOne()) // no comparison finds it
	if err != nil {
		return err
	}
	for _, id := range []bson.RawValue{least, most, nan} {
		if id.IsZero() {
			continue
		}
		if _, err := s.Codec.Key(id); err != nil {
			return err
		}
	}
	return nil
}

// extremes returns the smallest and the largest _id in the order over all
// types; zero values when the collection is empty.
func (s *Collection) extremes(ctx context.Context) (least, most bson.RawValue, err error) {
	if least, err = s.firstID(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}})); err != nil {
		return least, most, err
	}
	most, err = s.firstID(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}))
	return least, most, err
}

// idAfter returns the _id that is n documents after another, zero at the end.
func (s *Collection) idAfter(ctx context.Context, after bson.RawValue, n int) (bson.RawValue, error) {
	opts := options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}}).SetSkip(int64(n - 1))
	return s.firstID(ctx, codec.IDRange(after, bson.RawValue{}), opts)
}

// firstID returns the _id of the first document, zero for none.
func (s *Collection) firstID(ctx context.Context, filter bson.D, opts *options.FindOneOptionsBuilder) (id bson.RawValue, err error) {
	err = s.read(ctx, "divide "+string(s.Names)+" into ranges", func(ctx context.Context, name string) error {
		doc, err := s.DB.Collection(name).FindOne(ctx, filter, opts.SetProjection(bson.D{{Key: "_id", Value: 1}})).Raw()
		if id = (bson.RawValue{}); errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		id = doc.Lookup("_id")
		return err
	})
	return id, err
}

// EstimatedCount is the number of documents by the server's metadata.
func (s *Collection) EstimatedCount(ctx context.Context) (n int64, err error) {
	err = s.read(ctx, "count "+string(s.Names), func(ctx context.Context, name string) (err error) {
		n, err = s.DB.Collection(name).EstimatedDocumentCount(ctx)
		return err
	})
	return n, err
}

// Present returns which of the ids are in the collection, by IDKey.
func (s *Collection) Present(ctx context.Context, ids []bson.RawValue) (map[string]bool, error) {
	there := map[string]bool{}
	err := s.read(ctx, "look for documents in "+string(s.Names), func(ctx context.Context, name string) error {
		clear(there)
		opts := options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}})
		return s.find(ctx, name, ids, opts, func(doc bson.Raw) { there[side.IDKey(doc.Lookup("_id"))] = true })
	})
	return there, err
}

// Load is how far the majority of the servers is behind the primary, to a second, and how many
// operations wait there. Where the user may not see that, it is not asked for again.
func (s *Collection) Load(ctx context.Context) (side.Load, error) {
	load := side.Load{Queue: -1}
	err := retry.Do(ctx, "ask MongoDB how far its servers are", func(ctx context.Context) error {
		hello, err := mongoserver.AskHello(ctx, s.DB)
		load.Lag = hello.MajorityLag()
		return err
	})
	if err != nil || s.noQueue.Load() {
		return load, err
	}
	if n, err := mongoserver.AskQueue(ctx, s.DB.Client()); err == nil {
		load.Queue = n
	} else if mongoerr.HasCode(err, mongoerr.Unauthorized, mongoerr.CommandNotFound) {
		s.noQueue.Store(true)
	}
	return load, nil
}

// maxWaiting bounds how many waiting events are listed.
const maxWaiting = 1000

// Waiting names the first events that wait in documents to be published, in an array.
func (s *Collection) Waiting(ctx context.Context, field string) (waiting []string, err error) {
	path := field + ".id"
	var docs []bson.Raw
	err = s.read(ctx, "look for events that wait to be published", func(ctx context.Context, name string) error {
		cursor, err := s.DB.Collection(name).Find(ctx, bson.D{{Key: path, Value: bson.D{{Key: "$exists", Value: true}}}},
			options.Find().SetProjection(bson.D{{Key: path, Value: 1}}).SetLimit(maxWaiting))
		if err != nil {
			return err
		}
		return cursor.All(ctx, &docs)
	})
	for _, doc := range docs {
		array, _ := doc.Lookup(field).ArrayOK()
		entries, _ := array.Values() // the server's documents are well-formed
		for _, e := range entries {
			waiting = append(waiting, fmt.Sprintf("%s in the document %s", e, codec.Show(doc.Lookup("_id"))))
		}
	}
	return waiting, err
}
