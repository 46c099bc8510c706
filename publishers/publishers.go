// Package publishers is what everything that puts events on the stream has in
// common: the [Publisher] that relays, the sidecar and services are written
// against, so that any of them can publish into the stream or into the spool.
//
// The forms are packages of their own: kinesis puts events on the stream, spool
// keeps them on disk until they are there, outbox and changestream take them
// from a database.
package publishers

import (
	"context"

	"github.com/banyan-fig/banyan/events"
)

// Publisher enqueues events and gives a receipt for each, which says when it is kept.
// Safe for concurrent use.
//
// Events of one partition key are kept in the order in which they were enqueued: that
// of the calls, where one returned before the next began.
type Publisher interface {
	// Enqueue enqueues e and returns at once, or as soon as the publisher is not full.
	// An error means that e was not enqueued.
	Enqueue(ctx context.Context, e events.Event) (Receipt, error)
	// EnqueueEncoded is Enqueue for an event that events.Encode has written, and
	// which has that partition key. The publisher keeps data, which must not be
	// changed any more.
	EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (Receipt, error)
}

// Receipt says what becomes of one event. Safe for concurrent use.
type Receipt interface {
	// Wait returns when the event is kept, or will never be, or ctx ends; in the
	// last case the event is still in flight. The position is the zero value
	// where the event is kept but not on the stream yet.
	Wait(ctx context.Context) (events.Position, error)
	// Done is closed when Wait would not wait.
	Done() <-chan struct{}
}
