// Package mongoserver asks a MongoDB server what it can do, and which servers hold the
// same data. What it finds out is so until the server is upgraded or another takes over:
// ask once for each client.
package mongoserver

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// Comment is what the commands of this package carry that read a collection.
const Comment = "banyan-probe"

// AcceptsCollectionUUID reports whether the server makes commands conditional on a
// collectionUUID, as MongoDB does from 6.0 on: whether it refuses to read by one that no
// collection has. The user needs the right to find in the collection, which need not exist.
func AcceptsCollectionUUID(ctx context.Context, db *mongo.Database, collection string) (bool, error) {
	none := uuid.New()
	err := db.RunCommand(ctx, bson.D{
		{Key: "find", Value: collection}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true},
		{Key: "projection", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "comment", Value: Comment},
		{Key: "collectionUUID", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: none[:]}},
	}).Err()
	// The rest are the answers of servers before 6.0, of 6.0 while its feature version is
	// lower, and of servers that ignore the field.
	if err == nil || mongoerr.HasCode(err, mongoerr.IDLUnknownField, mongoerr.FailedToParse, mongoerr.InvalidOptions, mongoerr.BadValue) {
		return false, nil
	}
	if mongoerr.HasCode(err, mongoerr.CollectionUUIDMismatch) {
		return true, nil
	}
	return false, fmt.Errorf("find out whether the server takes a collectionUUID: %w", err)
}

// Hello is what a server says of itself and its replica set.
type Hello struct {
	// SetName is the replica set's, "" for a server outside of one; Message is "isdbgrid"
	// for a router of a sharded cluster.
	SetName string `bson:"setName"`
	Message string `bson:"msg"`
	// Hosts and Passives are the addresses of the members with data, but hidden ones;
	// Arbiters those of members without.
	Hosts, Passives, Arbiters []string
	WireVersion               int `bson:"maxWireVersion"`
	// LastWrite is what the primary wrote last, and what a majority has of it.
	LastWrite struct {
		Date         time.Time `bson:"lastWriteDate"`
		MajorityDate time.Time `bson:"majorityWriteDate"`
	} `bson:"lastWrite"`
}

// MajorityLag is by how much a majority of the set is behind this server, to a second; 0
// where the server does not say.
func (h Hello) MajorityLag() time.Duration {
	if h.LastWrite.MajorityDate.IsZero() {
		return 0
	}
	return max(0, h.LastWrite.Date.Sub(h.LastWrite.MajorityDate))
}

// AskQueue asks the primary how many operations wait for a ticket of the storage engine or for
// a lock (serverStatus, globalLock.currentQueue.total, in all versions from 4.2 to 8.0). The user
// needs the right to serverStatus.
func AskQueue(ctx context.Context, client *mongo.Client) (int, error) {
	var status struct {
		GlobalLock struct {
			CurrentQueue struct{ Total int } `bson:"currentQueue"`
		} `bson:"globalLock"`
	}
	err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}, {Key: "metrics", Value: 0}, {Key: "locks", Value: 0},
		{Key: "wiredTiger", Value: 0}, {Key: "repl", Value: 0}, {Key: "tcmalloc", Value: 0}}).Decode(&status) // large, and not needed
	if err != nil {
		return 0, fmt.Errorf("ask how many operations wait (serverStatus): %w", err)
	}
	return status.GlobalLock.CurrentQueue.Total, nil
}

// Members are the addresses of all members with data that the set shows.
func (h Hello) Members() []string { return append(append([]string(nil), h.Hosts...), h.Passives...) }

// wireVersion44 is the maxWireVersion of MongoDB 4.4.
const wireVersion44 = 9

// AcceptsComments reports whether the server takes the field "comment" on every command,
// and shows it where it shows the command: MongoDB does from 4.4 on.
func (h Hello) AcceptsComments() bool { return h.WireVersion >= wireVersion44 }

// AskHello asks the server that the database's read preference selects.
func AskHello(ctx context.Context, db *mongo.Database) (h Hello, err error) {
	if err := db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&h); err != nil {
		return h, fmt.Errorf("ask a server for its replica set: %w", err)
	}
	return h, nil
}
