// Package legacydb opens the database that the monolith and the services share, by
// a URI that is fixed ([Open]), or that changes while the program runs ([Follow]).
//
// Caveats of a URI that changes first:
//
//   - The database is one *mongo.Database for all of the program's life. Its
//     operations go to the connections of the newest URI that was seen to work.
//     Those of the one before stay usable for FollowConfig.Drain, then no new
//     operation begins on them, those that run get as long again to end, and they
//     are closed.
//   - A cursor belongs to the connections and the user that opened it. One that
//     lives longer than Drain breaks. The driver resumes change streams by itself,
//     without a gap; other long readers, such as those of banyan-migrate, start
//     again, or are restarted by their operator, which goes on where they were.
//   - Sessions belong to a user. A transaction that meets the change of a user name
//     is aborted with the label TransientTransactionError, so WithTransaction runs
//     it again. A write whose connection breaks at the very moment of such a change
//     is repeated under the new user, for whom the server does not know that it was
//     done: writes must bear being repeated, as Banyan's do. With a new password
//     for the same user none of this happens.
//   - Hosts, credentials and TLS are taken from the new URI; what concerns the
//     client, such as the write concern, the read preference or retryWrites, stays
//     as it was in the first one. The database must stay the same.
//   - A user should be dropped only when all programs have gone on to the next one:
//     after the TTL of the configuration and Drain.
//   - The exchange below one client uses the driver's package x/mongo/driver, whose
//     API is not promised to be stable. Who gives a fixed URI does not get near it.
package legacydb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"
)

// DefaultName is the database where the URI names none.
const DefaultName = "legacy"

// answerTimeout bounds the wait for a server at the start.
const answerTimeout = 5 * time.Second

// ErrURI is returned for a URI that cannot be used.
var ErrURI = errors.New("MONGODB_URI cannot be understood")

// Open connects to the server of uri and checks within five seconds that it
// answers. Disconnect the database's Client at the end.
func Open(ctx context.Context, uri string) (*mongo.Database, error) {
	parsed, err := parse(uri)
	if err != nil {
		return nil, err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := client.Ping(ping, readpref.Primary()); err != nil {
		_ = client.Disconnect(context.WithoutCancel(ctx))
		return nil, noAnswer(parsed, err)
	}
	return client.Database(databaseOf(parsed)), nil
}

// parse reads a URI. What is wrong with one that has a password is not said, for
// the driver quotes from it.
func parse(uri string) (*connstring.ConnString, error) {
	if uri == "" {
		return nil, errors.New("no MongoDB: set MONGODB_URI, for instance to mongodb://127.0.0.1:27017/legacy")
	}
	parsed, err := connstring.ParseAndValidate(uri)
	switch {
	case err == nil:
		return parsed, nil
	case strings.Contains(uri, "@"):
		return nil, fmt.Errorf("%w, and is not shown because of its password; in that and the user name, the characters : / ? # [ ] @ %% are written as %%3A and so on", ErrURI)
	}
	return nil, fmt.Errorf("%w: %w", ErrURI, err)
}

func databaseOf(parsed *connstring.ConnString) string {
	if parsed.Database == "" {
		return DefaultName
	}
	return parsed.Database
}

func noAnswer(parsed *connstring.ConnString, err error) error {
	return fmt.Errorf("MongoDB at %s does not answer: %w; check MONGODB_URI", strings.Join(parsed.Hosts, ","), cause(err))
}

// cause is why no server was found, without the driver's picture of the topology.
func cause(err error) error {
	var selection topology.ServerSelectionError
	if !errors.As(err, &selection) {
		return err
	}
	for _, server := range selection.Desc.Servers {
		if server.LastError != nil {
			return server.LastError
		}
	}
	return selection.Wrapped
}
