package monolith

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

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
