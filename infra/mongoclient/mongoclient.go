// Package mongoclient gives programs the database that the monolith and the services
// share, by a URI that is fixed ([Open]), or that changes while the program runs
// ([Follow]).
//
// Caveats first:
//
//   - There is no *mongo.Database for all of the program's life, but one for each
//     operation: [Database.Do] runs it on the client of the newest URI that was seen
//     to work, and runs it again when a broken connection, a fail-over or refused
//     credentials kept it from its end. An operation must bear being run twice,
//     also when nobody knows what became of it the first time: an insert with an
//     _id of its own, say, for which its own document counts as success.
//   - The driver repeats most operations by itself, and more safely, since the server
//     knows a repeated write by its session. It leaves out two cases, which every
//     broken connection can make: an operation that chose its server just before
//     another one's failure cleared the pool of connections, and a repetition for
//     which no connection is to be had. Do repeats these as well.
//   - [Database.Run] is for what goes on for long, such as change streams. It is ended
//     by its context when the URI changed, and begun anew on the next client.
//   - A cursor or a session belongs to the client, and so to the run, that it came
//     with. So do *mongo.Database and *mongo.Collection: keep none of them.
//   - The former client ends when it is idle, at the latest after FollowConfig.Drain, or
//     at once if it does not answer within a second; what still runs then is run again on
//     the next one.
//   - Everything comes from the new URI, but the name of the database, which must
//     stay the same.
//   - A user should be dropped only when all programs have gone on to the next one:
//     after the TTL of the configuration and Drain.
package mongoclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// ErrClosed is returned for what is begun after Close.
var ErrClosed = errors.New("the database was closed")

// Database is the database by the URI in force. It is safe for concurrent use; end
// it with Close, unless it is made by [Of].
type Database struct {
	name   string
	follow *follower // nil for a URI that never changes

	mu     sync.Mutex
	now    *generation
	closed bool
}

// Open connects to the server of uri and checks within five seconds that it answers.
func Open(ctx context.Context, uri string) (*Database, error) {
	a, err := parse(uri)
	if err != nil {
		return nil, err
	}
	g, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &Database{name: a.database, now: g}, nil
}

// Of is a database whose client the caller has, and ends.
func Of(db *mongo.Database) *Database {
	g := newGeneration()
	g.db, g.disconnect = db, func(context.Context) error { return nil }
	return &Database{name: db.Name(), now: g}
}

// Name is the name of the database.
func (d *Database) Name() string { return d.name }

// Close ends the following and the connections, when those in use are idle or ctx
// ends. What runs and cannot go on then fails.
func (d *Database) Close(ctx context.Context) error {
	d.mu.Lock()
	g, was := d.now, d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	if d.follow != nil {
		d.follow.end(ctx)
	}
	defer g.end()
	return g.disconnect(ctx)
}

// acquire returns the generation in force, in use until its busy is done.
func (d *Database) acquire() (*generation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	d.now.busy.Add(1)
	return d.now, nil
}

// swap brings next into force, unless it came too late.
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
	refused    chan struct{}  // the server refused the credentials

	over    context.Context // ends when there is a next one
	replace context.CancelFunc
	ended   context.Context // ends when what runs here must end
	end     context.CancelFunc
}

func newGeneration() *generation {
	g := &generation{refused: make(chan struct{}, 1)}
	g.over, g.replace = context.WithCancel(context.Background())
	g.ended, g.end = context.WithCancel(context.Background())
	return g
}

// requestCredentials has the URI read again, at once.
func (g *generation) requestCredentials() {
	select {
	case g.refused <- struct{}{}:
	default:
	}
}

// run runs op until it ends, or has to because until did.
func (g *generation) run(ctx, until context.Context, op func(context.Context, *mongo.Database) error) error {
	defer g.busy.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(until, cancel)()
	return op(ctx, g.db)
}

// disconnectTimeout bounds the end of connections that are no longer in use.
const disconnectTimeout = time.Second

// retire ends a generation when it is idle, or grace ends.
func (g *generation) retire(grace context.Context) {
	idle, cancel := context.WithCancel(grace)
	go func() { defer cancel(); g.busy.Wait() }()
	if !g.isAlive(idle) {
		g.end() // what waits for a server or a connection here is run on the next generation
	}
	<-idle.Done()
	g.end()
	out, done := context.WithTimeout(context.Background(), disconnectTimeout)
	defer done()
	_ = g.disconnect(out)
	g.busy.Wait()
}

// isAlive reports whether a server answers and accepts the credentials; also true where
// the generation is no longer used.
func (g *generation) isAlive(wanted context.Context) bool {
	ctx, cancel := context.WithTimeout(wanted, disconnectTimeout)
	defer cancel()
	return g.db.Client().Ping(ctx, nil) == nil || wanted.Err() != nil
}
