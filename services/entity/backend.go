package entity

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/direct"
)

// Backend keeps documents in one database: packages mongodb and dynamodb below have one each.
// An error wraps ownership.ErrFenced where the database refuses because of the grant; then
// nothing was written; so is ErrChanged, also where a request was sent again for want of an
// answer: a write whose effect cannot be known fails with another error. Reads see every write that was acknowledged before they began. What a
// backend returns may have the fields of the plan's outbox, which the store takes off.
//
// A Backend is safe for concurrent use. Package entitytest holds it to all of this.
type Backend interface {
	// Get returns those of the documents that exist, in any order. ids are distinct.
	Get(ctx context.Context, g ownership.Grant, ids ...bson.RawValue) ([]bson.Raw, error)
	// ByUnique returns the document that has the values under a constraint of the plan, nil for
	// none. doc has the constraint's fields, and is what a document that is looked for has there.
	ByUnique(ctx context.Context, g ownership.Grant, constraint int, doc bson.Raw) (bson.Raw, error)
	// Page returns documents in the order of a query, and what it ended with.
	Page(ctx context.Context, g ownership.Grant, q Page) (PageResult, error)
	// Insert makes w.After. ErrExists, [TakenError], and [DeletedError] where it remembers a
	// version that is not smaller. A repeated insert whose effect is there already may return ErrExists.
	Insert(ctx context.Context, g ownership.Grant, w Write) (direct.Write, error)
	// Replace makes w.After of w.Before, which it returned, provided that the version is the same.
	// ErrChanged, [TakenError].
	Replace(ctx context.Context, g ownership.Grant, w Write) (direct.Write, error)
	// Delete removes w.Before, provided that the version is the same. ErrChanged.
	Delete(ctx context.Context, g ownership.Grant, w Write) (direct.Write, error)
	// Waiting is what a write has left whose effect was there before: see direct.Write.Unread.
	Waiting(id bson.RawValue) (direct.Write, error)
}

// Write is one change of one document.
type Write struct {
	ID     bson.RawValue
	Before bson.Raw // nil for Insert
	After  bson.Raw // nil for Delete; with its version
	// Events are kept with the write.
	Events []events.Event
	// Final is set once nothing from before the migration can arrive any more, so that what is
	// deleted needs no tombstone.
	Final bool
}

// Page is a part of a query's answer. Sort keys, and the ids of documents of one sort key,
// come in MongoDB's order, both descending where that is asked for; while DynamoDB owns, ids come
// in an order of its own.
type Page struct {
	// Index is that of the plan's indexes; -1 for all documents in the order of their ids.
	Index int
	// Equal is the value of the index's first field.
	Equal bson.RawValue
	// From and Below bound its second field, inclusively and exclusively; zero for no bound.
	From, Below bson.RawValue
	Descending  bool
	Limit       int
	After       Cursor
}

// PageResult is what a page ended with.
type PageResult struct {
	Docs []bson.Raw
	// Next is where to go on; the zero Cursor when the answer is complete.
	Next Cursor
}
