package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/migrate/source"
)

// version is that of the MongoDB server. The zero one is unknown, and taken as the newest.
type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// before reports whether a known version is older than major.minor.
func (v version) before(major, minor int) bool {
	return v != version{} && (v.major < major || v.major == major && v.minor < minor)
}

// primary is a database of the primary, whatever its client prefers.
func (w *world) primary(name string) *mongo.Database {
	return w.DB.Client().Database(name, options.Database().SetReadPreference(readpref.Primary()))
}

func (w *world) admin() *mongo.Database { return w.primary("admin") }

func (w *world) askTopology(ctx context.Context) ([]Finding, error) {
	hello, err := mongoserver.AskHello(ctx, w.admin())
	if err != nil {
		return nil, err
	}
	nodes := len(hello.Members())
	switch {
	case hello.Message == "isdbgrid":
		return []Finding{shardedFinding("MONGODB_URI leads to a router (mongos)")}, nil
	case hello.SetName == "":
		return []Finding{stops("topology", "the server is not a member of a replica set", "it has no change streams and no majority",
			"make it a replica set of one (replSetName, rs.initiate()), better of three")}, nil
	case nodes == 1:
		return []Finding{told("topology", fmt.Sprintf("replica set %s of one node", hello.SetName),
			"while it is down nothing can be written, migrated or undone", "")}, nil
	case len(hello.Arbiters) > 0:
		return []Finding{told("topology", fmt.Sprintf("replica set %s of %d nodes and %d arbiters", hello.SetName, nodes, len(hello.Arbiters)),
			"with one data node down, a majority may be out of reach: barriers and fences then wait", "")}, nil
	}
	return []Finding{told("topology", fmt.Sprintf("replica set %s of %d nodes", hello.SetName, nodes), "", "")}, nil
}

func shardedFinding(what string) Finding {
	return stops("sharded", what, "a rename on a sharded cluster outlives its request, and the fence was not proven there",
		"move the entity from a replica set that is not a part of a sharded cluster")
}

// askSharding finds a replica set that is a shard, which looks like any other.
func (w *world) askSharding(ctx context.Context) ([]Finding, error) {
	var state struct{ Enabled bool }
	err := w.admin().RunCommand(ctx, bson.D{{Key: "shardingState", Value: 1}}).Decode(&state)
	if mongoerr.HasCode(err, mongoerr.CommandNotFound) {
		return nil, nil // a server that knows no sharding
	}
	if err == nil && state.Enabled {
		return []Finding{shardedFinding("the replica set is a shard of a cluster")}, nil
	}
	return nil, err
}

func (w *world) askVersion(ctx context.Context) ([]Finding, error) {
	var info struct {
		Version string
		Array   []int `bson:"versionArray"`
	}
	if err := w.admin().RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info); err != nil {
		return nil, err
	}
	if len(info.Array) < 2 {
		return nil, fmt.Errorf("buildInfo reports the version %q without its numbers", info.Version)
	}
	w.version = version{info.Array[0], info.Array[1]}
	if w.version.before(4, 2) {
		return []Finding{stops("version", "MongoDB "+info.Version, "renames and change streams of a database are not reliable before 4.2",
			"upgrade the server")}, nil
	}
	return []Finding{told("version", "MongoDB "+info.Version, "", "")}, nil
}

// askFeatureCompatibility lowers the version to the one whose features are in force.
func (w *world) askFeatureCompatibility(ctx context.Context) ([]Finding, error) {
	var reply struct {
		FCV struct{ Version string } `bson:"featureCompatibilityVersion"`
	}
	err := w.admin().RunCommand(ctx, bson.D{{Key: "getParameter", Value: 1}, {Key: "featureCompatibilityVersion", Value: 1}}).Decode(&reply)
	if mongoerr.HasCode(err, mongoerr.CommandNotFound) {
		return nil, nil // a server that has none
	}
	if err != nil {
		return nil, err
	}
	var fcv version
	if _, err := fmt.Sscanf(reply.FCV.Version, "%d.%d", &fcv.major, &fcv.minor); err != nil {
		return nil, fmt.Errorf("getParameter reports the featureCompatibilityVersion %q", reply.FCV.Version)
	}
	if !fcv.before(w.version.major, w.version.minor) {
		return nil, nil
	}
	what := fmt.Sprintf("the featureCompatibilityVersion is %s on a server of version %s", fcv, w.version)
	w.version = fcv
	return []Finding{told("feature-compatibility", what, "what newer versions can do is off",
		"finish the upgrade: setFeatureCompatibilityVersion")}, nil
}

// now is a cluster time that everything acknowledged so far is not newer than.
func (w *world) now(ctx context.Context) (bson.Timestamp, error) {
	reply, err := w.db.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		return bson.Timestamp{}, err
	}
	t, i, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		return bson.Timestamp{}, errors.New("the server's replies have no operationTime")
	}
	return bson.Timestamp{T: t, I: i}, nil
}

// majorityTimeout is the longest that a majority may take to confirm what was written.
const majorityTimeout = 5 * time.Second

// askMajority reads with read concern "majority" behind the last write, which waits until
// a majority has it, and writes nothing.
func (w *world) askMajority(ctx context.Context) ([]Finding, error) {
	at, err := w.now(ctx)
	if err != nil {
		return nil, err
	}
	err = w.db.RunCommand(ctx, bson.D{{Key: "find", Value: w.source.Name}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true},
		{Key: "projection", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "maxTimeMS", Value: majorityTimeout.Milliseconds()},
		{Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}, {Key: "afterClusterTime", Value: at}}}}).Err()
	if mongoerr.HasCode(err, mongoerr.MaxTimeMSExpired, mongoerr.WriteConcernTimeout) {
		return []Finding{stops("majority", fmt.Sprintf("no majority of the replica set has confirmed the last write within %s", majorityTimeout),
			"barriers and the fence are written with w: majority", "bring the secondaries up (rs.status()), and run plan again")}, nil
	}
	return nil, err
}

func (w *world) askCollectionUUID(ctx context.Context) ([]Finding, error) {
	accepts, err := mongoserver.AcceptsCollectionUUID(ctx, w.db, w.source.Name)
	switch {
	case err != nil:
		return nil, err
	case accepts:
		return []Finding{told("collection-uuid", "the server accepts collectionUUID",
			"a late command meets only the collection that it was meant for", "")}, nil
	}
	return []Finding{told("collection-uuid", "the server does not accept collectionUUID (MongoDB does since 6.0)",
		"vacated names are protected by views alone: a late insert into one can create a collection, which is kept and shown as a stray", "")}, nil
}

// askChangeStream opens a change stream of the database, as the migration does, and closes it.
func (w *world) askChangeStream(ctx context.Context) ([]Finding, error) {
	if err := w.openStream(ctx, mongo.Pipeline{}); err != nil {
		if mongoerr.HasCode(err, mongoerr.Unauthorized) {
			return []Finding{stops("change-stream", fmt.Sprintf("no change stream of the database can be opened: %v", err),
				"changes cannot be followed",
				"grant find and changeStream on the database "+w.DB.Name())}, nil
		}
		if mongoerr.IsPermanent(err) {
			return []Finding{stops("change-stream", fmt.Sprintf("no change stream of the database can be opened: %v", err),
				"changes cannot be followed",
				"use a replica set of MongoDB 4.2 or later")}, nil
		}
		return nil, err
	}
	err := w.openStream(ctx, mongo.Pipeline{{{Key: "$changeStreamSplitLargeEvent", Value: bson.D{}}}})
	if mongoerr.IsTransient(err) {
		return nil, err
	}
	if err != nil {
		return []Finding{told("split-events", "the server does not split change events (MongoDB does since 6.0.9 and 7.0)",
			"an update that makes an event of more than 16 MB ends the stream", "keep documents below 8 MB, or upgrade")}, nil
	}
	return nil, nil
}

func (w *world) openStream(ctx context.Context, pipeline mongo.Pipeline) error {
	stream, err := w.db.Watch(ctx, pipeline, options.ChangeStream().SetMaxAwaitTime(time.Millisecond))
	if err != nil {
		return err
	}
	return stream.Close(ctx)
}

// shortOplog and goodOplog divide oplog windows: run must never be down for longer.
const (
	shortOplog = time.Hour
	goodOplog  = 24 * time.Hour
)

// askOplog compares the oplog's first entry with now. A young oplog is not full yet: its
// window is predicted from its size.
func (w *world) askOplog(ctx context.Context) ([]Finding, error) {
	from, err := source.OplogStart(ctx, w.DB)
	if err != nil {
		return nil, err
	}
	to, err := w.now(ctx)
	if err != nil {
		return nil, err
	}
	window := time.Duration(int64(to.T)-from.Unix()) * time.Second
	what := fmt.Sprintf("the oplog reaches back %s", window)
	full := source.OplogFill(ctx, w.DB)
	if full > 0 && full < 0.9 {
		window = time.Duration(float64(window) / full)
		what += fmt.Sprintf("; %.0f%% of it is used, so that it will be about %s", 100*full, window.Round(time.Minute))
	}
	means, do := "the processes of run must not all be down for longer", "make it longer: replSetResizeOplog with minRetentionHours"
	switch {
	case window < shortOplog && full > 0: // else it may be a young one
		return []Finding{acknowledge("oplog-window", what, means, do)}, nil
	case window < goodOplog:
		return []Finding{told("oplog-window", what, means, do)}, nil
	}
	return []Finding{told("oplog-window", what, means, "")}, nil
}

// askOperations looks for what a rename would wait for, or fail at.
func (w *world) askOperations(ctx context.Context) ([]Finding, error) {
	cur, err := w.admin().Aggregate(ctx, mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleSessions", Value: true}}}},
		{{Key: "$match", Value: bson.D{{Key: "$or", Value: bson.A{
			bson.D{{Key: "transaction.parameters.autocommit", Value: false}},
			bson.D{{Key: "command.createIndexes", Value: bson.D{{Key: "$exists", Value: true}}}},
			bson.D{{Key: "msg", Value: bson.Regex{Pattern: "^Index Build"}}}}}}}},
		{{Key: "$limit", Value: 1000}},
	})
	if err != nil {
		return nil, err
	}
	var all []struct {
		NS, Msg     string
		Command     bson.Raw
		Transaction struct {
			Parameters struct{ Autocommit *bool }
			Open       int64 `bson:"timeOpenMicros"`
		}
	}
	if err := cur.All(ctx, &all); err != nil {
		return nil, err
	}
	var found []Finding
	open, oldest, building := 0, time.Duration(0), false
	for _, op := range all {
		if op.Transaction.Parameters.Autocommit != nil {
			open++
			oldest = max(oldest, time.Duration(op.Transaction.Open)*time.Microsecond)
			continue
		}
		on, _ := op.Command.Lookup("createIndexes").StringValueOK()
		building = building || op.NS == w.namespace(w.source.Name) || strings.HasPrefix(op.NS, w.DB.Name()+".") && on == w.source.Name
	}
	if open > 0 {
		found = append(found, told("transactions", fmt.Sprintf("%d transactions are open, the oldest for %s", open,
			oldest.Round(time.Millisecond)),
			"a rename waits for those that used the collection, and everything waits behind it", "let them end before encapsulate and cutover"))
	}
	if building {
		found = append(found, stops("index-build", "an index of "+w.namespace(w.source.Name)+" is being built", "a rename fails meanwhile",
			"wait until it is built, and run plan again"))
	}
	return found, nil
}
