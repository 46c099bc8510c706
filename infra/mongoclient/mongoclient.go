// Package mongoclient gives programs the database that the monolith and the services
// share, by a URI that is fixed ([Open]), or that changes while the program runs
// ([Follow]).
//
// Caveats first:
//
//   - There is not one *mongo.Database for the life of the program, but one for each
//     operation: [Database.Do] runs it on the client of the newest URI that has
//     worked, and runs it again when it failed by a broken connection, a fail-over or refused
//     credentials. An operation must be safe to run twice,
//     also when the outcome of the first run is unknown: for instance, an insert with an
//     _id of its own that treats an existing document with that _id as success.
//   - The driver repeats most operations by itself, and more safely, since the server
//     recognizes a repeated write by its session. It does not retry in two cases, which every
//     broken connection can cause: an operation that chose its server just before
//     the failure of another cleared the pool of connections, and a retry that
//     gets no connection. Do retries these as well.
//   - [Database.Run] is for long-running operations, such as change streams. It is ended
//     through its context when the URI changed, and started again on the next client.
//   - A cursor or a session belongs to the client, and so to the run, that it came
//     with. So do *mongo.Database and *mongo.Collection: keep none of them.
//   - The former client ends when it is idle, at the latest after FollowConfig.Drain, or
//     at once if its server does not respond within a second; operations that still run then are run again on
//     the next one.
//   - A new URI may change everything but the name of the database, which must
//     stay the same.
//   - Drop a user only when all programs have logged that they no longer use it:
//     after the TTL of the configuration and Drain.
package mongoclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// ErrClosed is returned for operations that are started after Close.
var ErrClosed = errors.New("the database was closed")

// Database is a database at the current URI. It is safe for concurrent use; close
// it, unless it was made by [Of].
type Database struct {
	name   string
	app    string
	follow *follower // nil for a URI that never changes

	mu     sync.Mutex
	now    *generation
	closed bool
}

// Open connects to the server of uri and checks that it responds within five seconds.
func Open(ctx context.Context, uri string) (*Database, error) {
	a, err := parse(uri)
	if err != nil {
		return nil, err
	}
	g, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &Database{name: a.database, app: *a.options.AppName, now: g}, nil
}

// Of makes a Database from one whose client the caller owns and disconnects.
func Of(db *mongo.Database) *Database {
	g := newGeneration()
	g.db, g.disconnect = db, func(context.Context) error { return nil }
	return &Database{name: db.Name(), now: g}
}

// Name is the name of the database.
func (d *Database) Name() string { return d.name }

// AppName is the application name by which the server knows the connections: that of the
// URI, or else of the program.
func (d *Database) AppName() string { return d.app }

// Close stops following the URI and closes the connections, when those in use are idle or ctx
// ends. Operations that still run then fail.
func (d *Database) Close(ctx context.Context) error {
	d.mu.Lock()
	g, was := d.now, d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	if d.follow != nil {
		d.follow.stopAndWait(ctx)
	}
	defer g.end()
	return g.disconnect(ctx)
}

// acquire returns the current generation; the caller calls busy.Done when it no longer uses it.
func (d *Database) acquire() (*generation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	d.now.busy.Add(1)
	return d.now, nil
}

// swap makes next the current generation, unless the database is closed.
func (d *Database) swap(next *generation) (old *generation, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, false
	}
	old, d.now = d.now, next
	old.replace()
	return old, true
}

// generation is the client of one URI.
type generation struct {
	db         *mongo.Database
	disconnect func(context.Context) error
	busy       sync.WaitGroup // operations that use it
	refused    chan struct{}  // a signal that the server refused the credentials

	over    context.Context // ends when a next generation replaces this one
	replace context.CancelFunc
	ended   context.Context // ends when operations on this generation must end
	end     context.CancelFunc
}

func newGeneration() *generation {
	g := &generation{refused: make(chan struct{}, 1)}
	g.over, g.replace = context.WithCancel(context.Background())
	g.ended, g.end = context.WithCancel(context.Background())
	return g
}

// requestCredentials makes the follower read the URI again at once.
func (g *generation) requestCredentials() {
	select {
	case g.refused <- struct{}{}:
	default:
	}
}

// run runs op with a context that also ends when until ends.
func (g *generation) run(ctx, until context.Context, op func(context.Context, *mongo.Database) error) error {
	defer g.busy.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(until, cancel)()
	return op(ctx, g.db)
}

// disconnectTimeout bounds closing the connections that are no longer in use.
const disconnectTimeout = time.Second

// retire ends a generation when it is idle, or grace ends.
func (g *generation) retire(grace context.Context) {
	idle, cancel := context.WithCancel(grace)
	go func() { defer cancel(); g.busy.Wait() }()
	if !g.isAlive(idle) {
		g.end() // operations that wait for a server or a connection are run again on the next generation
	}
	<-idle.Done()
	g.end()
	out, done := context.WithTimeout(context.Background(), disconnectTimeout)
	defer done()
	_ = g.disconnect(out)
	g.busy.Wait()
}

// isAlive reports whether a server responds and accepts the credentials; also true when
// the generation is no longer used.
func (g *generation) isAlive(wanted context.Context) bool {
	ctx, cancel := context.WithTimeout(wanted, disconnectTimeout)
	defer cancel()
	return g.db.Client().Ping(ctx, nil) == nil || wanted.Err() != nil
}
