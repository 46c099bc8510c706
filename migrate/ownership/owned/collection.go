package owned

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Database runs an operation, and runs it again where it may have met a connection
// that broke, or refused credentials: *mongoclient.Database does.
type Database interface {
	Do(ctx context.Context, op func(ctx context.Context, db *mongo.Database) error) error
}

// Collection is an entity's collection in MongoDB. It is safe for concurrent use.
type Collection struct {
	db   Database
	name string

	sessions sessions
	mu       sync.Mutex
	tried    *mongo.Client // whose server was last asked
	takes    bool          // whether it takes a collectionUUID
	greeted  *mongo.Client // whose server was last asked the other thing
	comments bool          // whether it takes a comment with every command
}

// New uses the collection that the service knows by name, which it has until it is
// encapsulated and after the migration was abandoned. It sends nothing.
func New(db Database, name string) *Collection { return &Collection{db: db, name: name} }

// For returns the collection as the grant names it. Like the grant, the handle must not
// be used once the function that was given it has returned.
func (c *Collection) For(g ownership.Grant) Handle {
	return Handle{c: c, name: cmp.Or(g.Collection, c.name), uuid: g.CollectionUUID}
}

// Handle is a collection under a grant. Its errors wrap ownership.ErrFenced where the
// server refused because the collection is not what was granted; then nothing was
// written. Other errors of the server can be told by mongoerr and the driver's functions.
type Handle struct {
	c    *Collection
	name string
	uuid string
}

// InsertOne inserts a document. The error of a duplicate key is the server's, see
// mongo.IsDuplicateKeyError.
func (h Handle) InsertOne(ctx context.Context, document any) error {
	_, err := h.write(ctx, bson.D{{Key: "insert", Value: h.name}, {Key: "documents", Value: bson.A{document}}})
	return h.wrap(err, "insert into")
}

// UpdateOne updates at most one document by operators, a pipeline or a whole document,
// and reports whether there was one.
func (h Handle) UpdateOne(ctx context.Context, filter, update any) (matched bool, err error) {
	one := bson.D{{Key: "q", Value: filter}, {Key: "u", Value: update}}
	return h.writeOne(ctx, "update", bson.D{{Key: "update", Value: h.name}, {Key: "updates", Value: bson.A{one}}})
}

// Update is an update of at most one document.
type Update struct{ Filter, Change any }

// UpdateFollowing makes updates in one command, in their order, and returns how many
// documents they matched. They must be no writes of the entity, such as those that take
// published events out of documents, and each must bear to arrive late: they may be made
// under a grant for reading, while writes are held, and follow the collection by its UUID to
// whichever name it has.
func (h Handle) UpdateFollowing(ctx context.Context, updates ...Update) (matched int64, err error) {
	statements := make(bson.A, len(updates))
	for i, u := range updates {
		statements[i] = bson.D{{Key: "q", Value: u.Filter}, {Key: "u", Value: u.Change}}
	}
	return h.follow(ctx, "update", bson.D{{Key: "update", Value: h.name}, {Key: "updates", Value: statements}})
}

// DeleteFollowing deletes at most one document for each filter, in one command as UpdateFollowing
// makes updates, and returns how many. They must be documents that the entity has not any more, as
// the service has marked them, and no filter may ever match another.
func (h Handle) DeleteFollowing(ctx context.Context, filters ...any) (deleted int64, err error) {
	statements := make(bson.A, len(filters))
	for i, filter := range filters {
		statements[i] = bson.D{{Key: "q", Value: filter}, {Key: "limit", Value: 1}}
	}
	return h.follow(ctx, "delete from", bson.D{{Key: "delete", Value: h.name}, {Key: "deletes", Value: statements}})
}

// follow makes a write to the collection, whichever name it has.
func (h Handle) follow(ctx context.Context, what string, command bson.D) (n int64, err error) {
	for range maxMoves {
		var out outcome
		out, err = h.write(ctx, command)
		if err == nil && (out.certain || h.uuid == "") {
			return out.n, nil
		}
		now := actualCollection(err)
		if now == "" && (err == nil || h.uuid != "" && mongoerr.HasCode(err, refusals...)) {
			var lookErr error
			if now, lookErr = h.locate(ctx); lookErr != nil {
				return 0, lookErr
			}
		}
		if err == nil && now == command[0].Value {
			return out.n, nil
		}
		if now == "" {
			break
		}
		command[0].Value = now
	}
	if err == nil {
		err = ownership.ErrFenced
	}
	return 0, h.wrap(err, what)
}

// DeleteOne deletes at most one document, and reports whether there was one.
func (h Handle) DeleteOne(ctx context.Context, filter any) (deleted bool, err error) {
	one := bson.D{{Key: "q", Value: filter}, {Key: "limit", Value: 1}}
	return h.writeOne(ctx, "delete from", bson.D{{Key: "delete", Value: h.name}, {Key: "deletes", Value: bson.A{one}}})
}

// CreateIndexes makes indexes that do not exist yet; each is {key, name, and options}, as
// the command createIndexes has them. It makes the collection if there is none, but not
// under a name that was granted.
func (h Handle) CreateIndexes(ctx context.Context, indexes ...bson.D) error {
	err := h.run(ctx, bson.D{{Key: "createIndexes", Value: h.name}, {Key: "indexes", Value: indexes}, majority})
	return h.wrap(err, "make indexes on")
}

// Indexes are those of the collection, as the command listIndexes has them.
func (h Handle) Indexes(ctx context.Context) (all []bson.Raw, err error) {
	err = h.c.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		cursor, err := db.Collection(h.name).Indexes().List(ctx)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &all)
	})
	return all, h.wrap(err, "list the indexes of")
}

// FindOne returns a document that matches, if there is one.
func (h Handle) FindOne(ctx context.Context, filter any) (doc bson.Raw, found bool, err error) {
	docs, err := h.Find(ctx, filter, FindOptions{Limit: 1})
	if err != nil || len(docs) == 0 {
		return nil, false, err
	}
	return docs[0], true, nil
}

// FindOptions narrow a Find. The zero value finds everything in no particular order.
type FindOptions struct {
	// Sort is as the command find has it.
	Sort bson.D
	// Limit is the most documents returned; 0 means all, which are held in memory.
	Limit int
	// Collation is as the command find has it; nil compares bytes.
	Collation bson.Raw
}

// Find returns the documents that match.
func (h Handle) Find(ctx context.Context, filter any, o FindOptions) ([]bson.Raw, error) {
	command := bson.D{{Key: "find", Value: h.name}, {Key: "filter", Value: filter}}
	if len(o.Sort) > 0 {
		command = append(command, bson.E{Key: "sort", Value: o.Sort})
	}
	if o.Collation != nil {
		command = append(command, bson.E{Key: "collation", Value: o.Collation})
	}
	if o.Limit > 0 {
		command = append(command, bson.E{Key: "limit", Value: int64(o.Limit)}, bson.E{Key: "batchSize", Value: int64(o.Limit)},
			bson.E{Key: "singleBatch", Value: o.Limit == 1})
	}
	var docs []bson.Raw
	_, err := h.believe(ctx, true, func() (found, certain bool, err error) {
		docs, certain, err = h.find(ctx, command)
		return len(docs) > 0, certain, err
	})
	return docs, h.wrap(err, "find in")
}

// maxMoves bounds how often one read follows a collection that moves on.
const maxMoves = 4

// find runs a find command, and follows the collection by its UUID.
func (h Handle) find(ctx context.Context, command bson.D) (docs []bson.Raw, certain bool, err error) {
	for range maxMoves {
		docs, certain, err = h.query(ctx, command)
		actual := actualCollection(err)
		if actual == "" {
			break
		}
		command[0].Value = actual
	}
	return docs, certain, err
}

// actualCollection is where the server says that a UUID is, or "".
func actualCollection(err error) string {
	var failed mongo.CommandError
	if !mongoerr.HasCode(err, mongoerr.CollectionUUIDMismatch) || !errors.As(err, &failed) {
		return ""
	}
	name, _ := failed.Raw.Lookup("actualCollection").StringValueOK()
	return name
}

// writeOne writes, and does not believe that nothing matched where that may be the fence.
func (h Handle) writeOne(ctx context.Context, what string, command bson.D) (bool, error) {
	matched, err := h.believe(ctx, false, func() (matched, certain bool, err error) {
		out, err := h.write(ctx, command)
		return out.n > 0, out.certain, err
	})
	return matched, h.wrap(err, what)
}

// refusals are how a server answers where a collection is not what was granted.
var refusals = []int{mongoerr.CollectionUUIDMismatch, mongoerr.CommandNotSupportedOnView, mongoerr.NamespaceNotFound,
	mongoerr.QueryPlanKilled, mongoerr.CursorNotFound}

// wrap adds what was attempted, and ErrFenced where the server refused because the
// collection is fenced, or was while a query ran.
func (h Handle) wrap(err error, what string) error {
	if err == nil {
		return err
	}
	what = fmt.Sprintf("%s the collection %s", what, h.name)
	if mongoerr.HasCode(err, refusals...) {
		return fmt.Errorf("%s: %w: %w", what, ownership.ErrFenced, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// binaryOf is a UUID as commands carry it.
func binaryOf(uuid string) (bson.Binary, error) {
	id, err := hex.DecodeString(uuid)
	if err != nil || len(id) != 16 {
		return bson.Binary{}, fmt.Errorf("granted collection UUID %q is not 32 hex digits", uuid)
	}
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: id}, nil
}
