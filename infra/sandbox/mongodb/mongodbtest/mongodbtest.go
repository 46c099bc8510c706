// Package mongodbtest gives a test a MongoDB: the sandbox's, or a peer, so that
// what uses MongoDB meets both.
//
//	uri := mongodbtest.Start(t, faults)
//	db := client.Database(mongodbtest.Database(uri))
//
// The peer is the server at BANYAN_CONFORMANCE_MONGODB, and BANYAN_CONFORMANCE_PEER
// is what a person calls it; infra/sandbox/conformance sets both. There a test has a
// database of its own and meets no faults.
package mongodbtest

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// Peer returns the URI of the peer and its name. Without a peer both are empty; the
// name is also empty for a server that somebody brought themselves.
func Peer() (uri, name string) {
	return os.Getenv("BANYAN_CONFORMANCE_MONGODB"), os.Getenv("BANYAN_CONFORMANCE_PEER")
}

// Lacks skips a test on the peer of that name, which does otherwise than MongoDB.
func Lacks(t testing.TB, peer, why string) {
	t.Helper()
	if _, name := Peer(); name == peer {
		t.Skipf("%s %s", peer, why)
	}
}

// Start returns the URI of a MongoDB with a database for this test alone in its path.
// The sandbox's ends with the test; on a peer, every database whose name begins with
// that one's is dropped. A test that changes the sandbox's configuration is skipped on
// a peer.
func Start(t testing.TB, faults func(command, namespace string) mongodb.Fault, change ...func(*mongodb.Config)) string {
	t.Helper()
	if uri, _ := Peer(); uri != "" {
		if len(change) > 0 {
			t.Skip("only the sandbox can be told what to forget and which commands to fail")
		}
		return peersDatabase(t, uri)
	}
	cfg := mongodb.Config{Fault: faults}
	for _, c := range change {
		c(&cfg)
	}
	server, err := mongodb.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return with(t, server.URI(), "legacy")
}

// Database returns the database in the path of a URI.
func Database(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}

func with(t testing.TB, uri, database string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + database
	return u.String()
}

func peersDatabase(t testing.TB, uri string) string {
	t.Helper()
	name := "banyan_test_" + bson.NewObjectID().Hex()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		client, err := mongo.Connect(options.Client().ApplyURI(uri))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = client.Disconnect(ctx) }()
		names, err := client.ListDatabaseNames(ctx, bson.D{})
		if err != nil {
			t.Errorf("listing the databases of the test: %v", err)
		}
		for _, n := range names {
			if strings.HasPrefix(n, name) {
				if err := client.Database(n).Drop(ctx); err != nil {
					t.Errorf("dropping %s: %v", n, err)
				}
			}
		}
	})
	return with(t, uri, name)
}
