package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/publishers"
)

// Checkpoints is the collection that positions are stored in by default.
const Checkpoints = "banyan_relays"

// Config of a Follower. Name, Database and Handle are needed; the zero value of
// everything else is a sensible default.
type Config struct {
	// Name of the position, unique among the followers of the collection that
	// positions are stored in.
	Name string
	// Database whose changes are followed.
	Database *mongo.Database
	// Collection is the one followed; "" means all of the database, except the
	// one for positions.
	Collection string
	// Pipeline are further stages. They must keep _id, operationType and
	// clusterTime of each event, and let invalidate events through, which have no
	// collection.
	Pipeline mongo.Pipeline
	// FullDocument and FullDocumentBeforeChange ask for documents, as the
	// driver's options of that name; "" means the server's default, none.
	FullDocument, FullDocumentBeforeChange options.FullDocument
	// Checkpoints is where the position is stored; nil means the collection
	// banyan_relays of Database.
	Checkpoints *mongo.Collection

	// Handle is called for each change of a document, in the order of the stream,
	// one at a time. The position moves over c when all receipts of c and of
	// earlier changes are settled without an error. An error of a receipt ends
	// Run: what a relay wants to put aside instead, it wraps into a receipt that
	// does so. So does an error of Handle that does not pass, see Passing.
	Handle func(ctx context.Context, c Change) ([]publishers.Receipt, error)
	// Done, optional, is called in the order of the stream when the receipts of
	// c are settled, before the position moves over c. It runs beside Handle.
	Done func(ctx context.Context, c Change) error
	// Sweep, optional, is called every SweepEvery (0 means a minute) between two
	// changes, never at the same time as Handle, and whenever the stream was opened.
	Sweep      func(ctx context.Context) error
	SweepEvery time.Duration
	// Interleave, optional, puts what was read from the database into its place
	// in the stream.
	Interleave Interleaver
	// Passing tells which errors of Handle, Done, Sweep and receipts may not
	// happen again; then the stream is read again from the position on. nil means
	// lost connections, time-outs and elections of MongoDB.
	Passing func(error) bool

	// Window is how many changes may be handled and not settled; 0 means 1,000.
	Window int
	// Lease is how long a follower that is gone keeps the others waiting; 0 means
	// 10 s, at least 100 ms.
	Lease time.Duration
	// SaveEvery is how often the position is stored while changes come in; 0
	// means 300 ms. Without changes, it is stored with the lease, every third of it.
	SaveEvery time.Duration
	// Grace is how long changes in flight are waited for when ctx ends; 0 means 5 s.
	Grace time.Duration
	// StartAt is where a follower without a position starts, that time included;
	// nil means behind the server's present time.
	StartAt *bson.Timestamp
	// FollowOn goes on behind a drop or a rename of the collection instead of
	// stopping with ErrInvalidated.
	FollowOn bool
	// Now is the clock of the lease, time.Now when nil.
	Now func() time.Time
	// Log gets what passes; nil means nobody.
	Log *slog.Logger
}

// Validate tells what is wrong with c, nil if nothing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Name != "" && len(c.Name) <= 200, "Name %q is not 1 to 200 bytes", c.Name)
	check(c.Database != nil, "Database is missing")
	check(c.Handle != nil, "Handle is missing")
	check(!strings.HasPrefix(c.Collection, "system."), "Collection %q is the server's own", c.Collection)
	check(c.Window > 0, "Window %d is negative", c.Window)
	check(c.Lease >= 100*time.Millisecond, "Lease %v is less than 100 ms", c.Lease)
	check(c.SaveEvery > 0 && c.SweepEvery > 0 && c.Grace > 0, "a negative duration")
	if len(errs) > 0 {
		return fmt.Errorf("follow: config: %w", errors.Join(errs...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	orDefault(&c.Window, 1000)
	orDefault(&c.Lease, 10*time.Second)
	orDefault(&c.SaveEvery, 300*time.Millisecond)
	orDefault(&c.SweepEvery, time.Minute)
	orDefault(&c.Grace, 5*time.Second)
	if c.Checkpoints == nil && c.Database != nil {
		c.Checkpoints = c.Database.Collection(Checkpoints)
	}
	if c.Passing == nil {
		c.Passing = passing
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// An Interleaver puts into the stream what it reads beside it: each chunk at the
// place of the cluster time that it was read at, behind all changes up to that
// time and before all later ones. So what a chunk tells of a document is never
// older than what was told of it before.
type Interleaver interface {
	// Begin is called with the state stored last, nil if none, whenever the stream
	// is opened anew. fresh says that there is no position yet; then what it
	// returns is stored together with the start. Else it returns state as it is.
	Begin(ctx context.Context, state bson.Raw, fresh bool) (bson.Raw, error)
	// Next reads the next chunk, nil when there is none any more. It is called
	// between two changes, when the chunk before was handled.
	Next(ctx context.Context) (*Chunk, error)
}

// Chunk is a part of what an Interleaver reads.
type Chunk struct {
	// At is the cluster time as of which it was read.
	At bson.Timestamp
	// Handle is Config.Handle for the chunk.
	Handle func(ctx context.Context) ([]publishers.Receipt, error)
	// State is stored when all before and the chunk itself are settled.
	State bson.Raw
}
