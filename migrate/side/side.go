// Package side has what copying, following and verifying say about a store, whichever of
// the two it is. Their documents are BSON: source reads it and target makes items of it
// and back, without loss. What each of them needs of a store is an interface of few
// methods that it declares itself; source and target are the adapters.
package side

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

var (
	// ErrServiceOwned: the owning service has written the document on this side; a
	// migration never overwrites that.
	ErrServiceOwned error = retry.Permanent("the document was written by the owning service")
	// ErrOutOfBand: neither the migration nor the service wrote what stands there.
	ErrOutOfBand error = retry.Permanent("the target holds an item that neither the migration nor the service wrote")
	// ErrSameTime: another document of the same time stands there. All changes of a
	// transaction have one time, so only the side that they are of can tell which is the
	// last: read it there, and apply it with Version.Read.
	ErrSameTime error = retry.Permanent("another document of the same time stands in its place")
)

// Range is a part of a store, in an order of the store's own: behind From, up to and with
// To. The bounds mean something to that store only; nil is open.
type Range struct{ From, To []byte }

// Segment is one of several parts of a store that have no order: the Nth of Of, from 0.
type Segment struct{ N, Of int }

// Chunk is the beginning of a range as it was at one moment.
type Chunk struct {
	Docs []bson.Raw        // none at the end of the range
	At   stamp.ClusterTime // every document is at least as new as this
	Next []byte            // the bound behind the last document, where the range goes on
}

// Version is a document as a store had it at some time.
type Version struct {
	ID  bson.RawValue
	Doc bson.Raw          // nil: the document was deleted
	At  stamp.ClusterTime // decides between two versions; Doc may be newer, never older
	// Read says that Doc was read of the store itself, after At, and not of a change: so
	// it also stands for the last of several changes of that time.
	Read bool
}

// Load is how busy a store is besides.
type Load struct {
	// Lag is by how much the majority of its servers is behind.
	Lag time.Duration
	// Queue is how many operations wait to be admitted or for a lock; -1 where it is not known.
	Queue int
}

// Misfit is the error about a document that a store cannot hold. Another attempt does not
// change it.
type Misfit struct {
	ID     bson.RawValue
	Shown  string // ID for people
	Field  string // that does not fit, "" for the whole
	Why    string
	WayOut string
	Err    error // all of it
}

// Error says all of it.
func (m *Misfit) Error() string { return m.Err.Error() }

// Unwrap returns Err.
func (m *Misfit) Unwrap() error { return m.Err }

// Batch is what a store writes at once of a chunk.
type Batch interface {
	// Size is in bytes, by the store's own measure.
	Size() int
	// Fill writes each document where nothing stands, not even the mark of a deleted
	// one, and leaves alone what does. With fresh it also replaces what is older: a
	// migration that was restarted finds the documents of the one before.
	Fill(ctx context.Context, fresh bool) error
}

// IDKey is an identifier as a map key: equal for two that MongoDB takes for the same, such
// as 1 and 1.0.
func IDKey(id bson.RawValue) string { return codec.Identity(id) }
