package outbox

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/events"
)

// ErrNoTransaction is returned by [Insert] outside of a transaction, where the
// events would be kept or lost apart from the documents that they are about.
var ErrNoTransaction = errors.New("not in a transaction: call it from within InTransaction, with the context given there")

// Insert keeps events in a collection of events, in the order given, as part of
// the transaction that ctx carries; with any other ctx it fails with
// [ErrNoTransaction]. The id of the event is the _id, so the same event cannot be
// kept twice while it waits.
//
// Errors must end the transaction: return them from the function given to
// [InTransaction].
func Insert(ctx context.Context, outbox *mongo.Collection, es ...events.Event) error {
	if !inTransaction(ctx) {
		return fmt.Errorf("publishers/outbox: keep %d events in %s: %w", len(es), outbox.Name(), ErrNoTransaction)
	}
	docs := make([]any, 0, len(es))
	for _, e := range es {
		entry, err := storedForm(e)
		if err != nil {
			return fmt.Errorf("publishers/outbox: keep in %s: %w", outbox.Name(), err)
		}
		docs = append(docs, append(bson.D{{Key: "_id", Value: e.ID}}, entry...))
	}
	if len(docs) == 0 {
		return nil
	}
	if _, err := outbox.InsertMany(ctx, docs); err != nil {
		return fmt.Errorf("publishers/outbox: keep %d events in %s: %w", len(docs), outbox.Name(), err)
	}
	return nil
}

// inTransaction finds out in the only way that the driver offers: where a transaction runs,
// another cannot be started. One that this call started has done
// nothing yet, and is aborted without a request to the server.
func inTransaction(ctx context.Context) bool {
	session := mongo.SessionFromContext(ctx)
	if session == nil {
		return false
	}
	if err := session.StartTransaction(); err != nil {
		return true
	}
	_ = session.AbortTransaction(ctx) // nothing was sent
	return false
}

// InTransaction runs change in a transaction: what it writes with the context it
// is given takes effect at one instant, or not at all. It is committed when
// change returns nil, to a majority of the replica set.
//
// The driver calls change again when the transaction failed by a conflict or an
// election, for two minutes at most, or until ctx ends: change must have no other
// effects, and return the errors of the driver unchanged or wrapped. Events may be
// made inside it; those of attempts that failed are never seen.
func InTransaction(ctx context.Context, client *mongo.Client, change func(ctx context.Context) error) error {
	session, err := client.StartSession()
	if err != nil {
		return fmt.Errorf("publishers/outbox: start a session: %w", err)
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		return nil, change(ctx)
	}, options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return fmt.Errorf("publishers/outbox: transaction: %w", err)
	}
	return nil
}
