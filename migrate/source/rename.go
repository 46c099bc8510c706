package source

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// Rename renames a collection of the database.
// Rename renames a collection of the database.
func (s *Collection) Rename(ctx context.Context, from, to string) error {
	return retry.Do(ctx, "rename "+from+" to "+to, func(ctx context.Context) error {
		return s.DB.Client().Database("admin").RunCommand(ctx,
			bson.D{{Key: "renameCollection", Value: s.DB.Name() + "." + from}, {Key: "to", Value: s.DB.Name() + "." + to}}).Err()
	})
}

// CreateReadOnlyView creates a view of the fenced collection under the collection's own
// name; the server refuses writes to a view.
// CreateReadOnlyView creates a view of the fenced collection under the collection's own
// name; the server refuses writes to a view.
func (s *Collection) CreateReadOnlyView(ctx context.Context, epoch int64) error {
	return retry.Do(ctx, "put a read-only view in the place of "+s.Name, func(ctx context.Context) error {
		return s.DB.CreateView(ctx, s.Name, s.FencedName(epoch), mongo.Pipeline{})
	})
}

// Upsert puts a document in the place of what has its _id.
func (s *Collection) Upsert(ctx context.Context, into string, doc bson.Raw) error {
	coll := s.DB.Collection(into)
	_, err := coll.InsertOne(ctx, doc)
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	result, replaceErr := coll.ReplaceOne(ctx, bson.D{{Key: "_id", Value: doc.Lookup("_id")}}, doc)
	if replaceErr != nil {
		return replaceErr
	}
	if result.MatchedCount == 0 {
		return err // another unique value, not the _id, stands in the way
	}
	return nil
}
