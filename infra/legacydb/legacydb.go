// Package legacydb opens the database that the monolith and the services share.
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

// Open connects to the server of uri and checks within five seconds that it
// answers. Disconnect the database's Client at the end.
func Open(ctx context.Context, uri string) (*mongo.Database, error) {
	if uri == "" {
		return nil, errors.New("no MongoDB: set MONGODB_URI, for instance to mongodb://127.0.0.1:27017/legacy")
	}
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, fmt.Errorf("MONGODB_URI cannot be understood: %w", err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := client.Ping(ping, readpref.Primary()); err != nil {
		_ = client.Disconnect(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("MongoDB at %s does not answer: %w; check MONGODB_URI", strings.Join(parsed.Hosts, ","), cause(err))
	}
	name := parsed.Database
	if name == "" {
		name = DefaultName
	}
	return client.Database(name), nil
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
