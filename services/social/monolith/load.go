package monolith

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Collections of the monolith's database, which are those of services by now: Import and
// Generate write to them, and Snapshot reads them, before a migration.
const (
	usersCollection   = "users"
	followsCollection = "follows"
	postsCollection   = "posts"
)

// Database runs an operation, and runs it again where it may have met a connection
// that broke, or refused credentials: *mongoclient.Database does.
type Database interface {
	Do(ctx context.Context, op func(ctx context.Context, db *mongo.Database) error) error
}

// followDoc is a document of the collection follows.
type followDoc struct {
	ID       string    `bson:"_id"` // "<follower>:<followee>"
	Follower string    `bson:"follower"`
	Followee string    `bson:"followee"`
	At       time.Time `bson:"at"`
}

// postDoc is a document of the collection posts.
type postDoc struct {
	ID     bson.ObjectID `bson:"_id"`
	Author string        `bson:"author"`
	Text   string        `bson:"text"`
	At     time.Time     `bson:"at"`
}

// insertAll inserts what it can of docs and returns the refusals by index. Other
// failures end it. Where it is repeated, what the first time inserted is refused for
// a duplicate.
func insertAll(ctx context.Context, db Database, collection string, docs []any) (map[int]mongo.WriteError, error) {
	if len(docs) == 0 {
		return nil, nil
	}
	err := db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		_, err := db.Collection(collection).InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
		return err
	})
	if err == nil {
		return nil, nil
	}
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil {
		return nil, fmt.Errorf("insert %d documents into %s: %w", len(docs), collection, err)
	}
	refused := make(map[int]mongo.WriteError, len(bulk.WriteErrors))
	for _, e := range bulk.WriteErrors {
		refused[e.Index] = e.WriteError
	}
	return refused, nil
}

// makeEmailsUnique is what the users service does too; data that is loaded before
// the service runs must obey it too.
func makeEmailsUnique(ctx context.Context, db Database) error {
	unique := mongo.IndexModel{Keys: bson.D{{Key: "email", Value: 1}}, Options: options.Index().SetUnique(true)}
	if err := index(ctx, db, usersCollection, unique); err != nil {
		return fmt.Errorf("make e-mails unique: %w", err)
	}
	return nil
}

// ensureIndexes makes those that the services of follows and posts need.
func ensureIndexes(ctx context.Context, db Database) error {
	for name, fields := range map[string][]string{followsCollection: {"follower", "followee", "_id"}, postsCollection: {"author", "_id"}} {
		keys := bson.D{}
		for _, field := range fields {
			keys = append(keys, bson.E{Key: field, Value: 1})
		}
		if err := index(ctx, db, name, mongo.IndexModel{Keys: keys}); err != nil {
			return err
		}
	}
	return nil
}

func index(ctx context.Context, db Database, collection string, model mongo.IndexModel) error {
	err := db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		_, err := db.Collection(collection).Indexes().CreateOne(ctx, model)
		return err
	})
	if err != nil {
		return fmt.Errorf("index the collection %s: %w", collection, err)
	}
	return nil
}

// find reads the documents that match.
func find[D any](ctx context.Context, db Database, collection string, filter bson.D, o *options.FindOptionsBuilder) (docs []D, err error) {
	err = db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		cursor, err := db.Collection(collection).Find(ctx, filter, o)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &docs)
	})
	return docs, err
}
