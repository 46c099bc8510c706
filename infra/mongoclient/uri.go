package mongoclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// DefaultName is the database where the URI names none.
const DefaultName = "legacy"

// connectTimeout bounds the wait for a server at the start.
const connectTimeout = 5 * time.Second

// maxAppName is the most bytes of an application name that a server takes.
const maxAppName = 128

// ErrURI is returned for a URI that cannot be used.
var ErrURI = errors.New("invalid MONGODB_URI")

// address is a parsed URI.
type address struct {
	options  *options.ClientOptions
	database string
}

// parse reads a URI. Its errors omit the driver's reason for a URI with a password, since
// the driver quotes from the URI, unless the reason is about a name or a file.
func parse(uri string) (*address, error) {
	if uri == "" {
		return nil, fmt.Errorf("%w: there is none: set MONGODB_URI, for instance to mongodb://127.0.0.1:27017/legacy", ErrURI)
	}
	o := options.Client().ApplyURI(uri)
	err := o.Validate()
	var name *net.DNSError
	var file *fs.PathError
	switch {
	case err == nil:
		if o.AppName == nil {
			program := filepath.Base(os.Args[0])
			o.SetAppName(program[:min(len(program), maxAppName)])
		}
		return &address{o, databaseOf(uri)}, nil
	case errors.As(err, &name):
		return nil, fmt.Errorf("look up the hosts of MONGODB_URI: %w", name)
	case errors.As(err, &file):
		return nil, fmt.Errorf("read a file that MONGODB_URI names: %w", file)
	case strings.Contains(uri, "@"):
		return nil, fmt.Errorf("%w: it is not shown because of its password; in that and the user name, write the characters : / ? # [ ] @ "+
			"%% as %%3A and so on", ErrURI)
	}
	return nil, fmt.Errorf("%w: %w", ErrURI, err)
}

// databaseOf returns the path of a URI that the driver has parsed.
func databaseOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	if _, hosts, ok := strings.Cut(rest, "@"); ok {
		rest = hosts
	}
	_, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "?")
	if name, err := url.QueryUnescape(path); err == nil && name != "" {
		return name
	}
	return DefaultName
}

// dial connects, and returns when the primary has accepted the credentials.
func (a *address) dial(ctx context.Context) (*generation, error) {
	var last atomic.Pointer[error]
	a.options.SetServerMonitor(&event.ServerMonitor{
		ServerHeartbeatFailed: func(e *event.ServerHeartbeatFailedEvent) { last.Store(&e.Failure) },
	})
	g := newGeneration()
	a.options.SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
		if logInRefused(e.Error) {
			g.requestCredentials()
		}
	}})
	client, err := mongo.Connect(a.options)
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	g.db, g.disconnect = client.Database(a.database), client.Disconnect
	ping, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err = (&Database{now: g}).Do(ping, func(ctx context.Context, _ *mongo.Database) error { return client.Ping(ctx, readpref.Primary()) })
	if err == nil {
		return g, nil
	}
	if why := last.Load(); why != nil && mongo.IsTimeout(err) {
		err = *why // without the driver's dump of the topology
	}
	out, done := context.WithTimeout(context.WithoutCancel(ctx), disconnectTimeout)
	defer done()
	_ = client.Disconnect(out)
	g.end()
	g.replace()
	what := "does not answer"
	if isUnauthorized(err) {
		what = "refuses the credentials"
	}
	return nil, fmt.Errorf("MongoDB at %s %s: %w; check MONGODB_URI", strings.Join(a.options.Hosts, ","), what, err)
}
