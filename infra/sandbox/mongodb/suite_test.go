// The suite says what Banyan expects of a MongoDB: tests
// with the official driver, to be run against the sandbox and, as a check on
// both, against servers that others made.
//
// Caveats: it needs a server it may write to; it works in databases of its own,
// named banyan_test_..., and drops them. What a known peer cannot do is skipped
// by name and with the reason; anything else a server lacks is a failure.

package mongodb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// suite is one connection to the server under test.
type suite struct {
	client *mongo.Client
	peer   string
}

// conforms runs the whole suite against the server at a URI, which is the sandbox or the peer of a name.
func conforms(t *testing.T, uri, peer string) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("banyan-conformance").SetTimeout(time.Minute))
	if err != nil {
		t.Fatalf("connecting to %s: %v", uri, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Disconnect(ctx); err != nil {
			t.Errorf("disconnecting: %v", err)
		}
	})
	s := &suite{client: client, peer: peer}
	for _, c := range cases {
		s.part(t, c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// part runs a case, or what a peer may lack of one, as a test of its own.
func (s *suite) part(t *testing.T, name string, run func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if why := lacking[s.peer][name]; why != "" {
			t.Skipf("%s %s", s.peer, why)
		}
		run(t)
	})
}

type testCase struct {
	name string
	run  func(t *testing.T, s *suite)
}

var cases = []testCase{
	{"handshake", testHandshake},
	{"types", testTypes},
	{"filters", testFilters},
	{"filters beyond the basic", testMoreFilters},
	{"order between types", testOrder},
	{"updates", testUpdates},
	{"update errors", testUpdateErrors},
	{"updates by pipeline", testPipelineUpdates},
	{"upserts", testUpserts},
	{"projections", testProjections},
	{"find and modify", testFindAndModify},
	{"cursors", testCursors},
	{"bulk writes", testBulkWrites},
	{"aggregation", testAggregation},
	{"unique indexes", testUniqueIndexes},
	{"index management", testIndexManagement},
	{"partial and sparse indexes", testPartialIndexes},
	{"indexes change no answer", testIndexesChangeNothing},
	{"catalog", testCatalog},
	{"rename", testRename},
	{"rename under writes", testRenameUnderWrites},
	{"collection UUIDs", testCollectionUUIDs},
	{"collection UUIDs under renames", testUUIDUnderRenames},
	{"rename and transactions", testRenameWaits},
	{"views", testViews},
	{"the fence", testFence},
	{"validators", testValidators},
	{"validation levels", testValidationLevels},
	{"collMod", testCollMod},
	{"snapshot reads", testSnapshots},
	{"retryable writes", testRetryableWrites},
	{"transactions", testTransactions},
	{"change streams", testChangeStreams},
	{"change stream descriptions", testDescriptions},
	{"change stream resume", testResume},
	{"change stream waits", testStreamWaits},
	{"change stream scopes", testScopes},
	{"change stream renames", testRenameEvents},
	{"change stream expanded events", testExpandedEvents},
	{"change stream dropDatabase", testDropDatabaseEvents},
	{"change stream $out", testOutEvents},
	{"change stream large events", testLargeEvents},
	{"cursors of what is gone", testCursorsEnd},
	{"change stream images", testImages},
	{"change stream invalidate", testInvalidate},
	{"current operations", testCurrentOp},
	{"profiler", testProfiler},
	{"errors", testErrors},
	{"refused commands", testRefused},
	{"write concerns", testWriteConcerns},
	{"write conflicts", testWriteConflicts},
	{"collections made in transactions", testTransactionalDDL},
	{"large documents", testLargeDocuments},
	{"simulation", testSimulation},
}

// lacking are the cases that a peer cannot pass, and why.
var lacking = map[string]map[string]string{
	"mongo-java-server": {
		`filters {"a": {"$gt": 5, "$lt": 2}}`:     "wants one element to fulfil both conditions, which MongoDB's manual does not",
		`filters {"a": {"$in": [1, "1"]}}`:        "takes arrays within arrays apart for $in, though not for equality",
		`filters {"a": {"$nin": [1, "1", null]}}`: "takes arrays within arrays apart for $in, though not for equality",
		`filters {"a": [1, 2]}`:                   "finds no array that is an element of an array",
		`filters {"a.b": null}`:                   "lets an element that is no document count as one that lacks the field",
		`filters {"a": {"$gte": null}}`:           "compares null with nothing",
		"deprecated types":                        "ends the connection",
		"updates by pipeline":                     "has no updates by pipeline",
		"partial and sparse indexes":              "has no partial indexes",
		"views":                                   "has no views",
		"collection UUIDs":                        "has none",
		"collection UUIDs under renames":          "has none",
		"rename and transactions":                 "has no transactions",
		"the fence":                               "has no views",
		"validators":                              "has no validators",
		"snapshot reads":                          "has no read concern snapshot",
		"retryable writes":                        "remembers no numbered writes, being no replica set",
		"transactions":                            "has no sessions, and so no transactions",
		"change streams":                          "sends events without ns.coll and with the update where the documentKey should be",
		"change stream descriptions":              "sends no updateDescription",
		"change stream resume":                    "accepts a startAtOperationTime from before its oplog",
		"change stream waits":                     "has no postBatchResumeToken",
		"change stream scopes":                    "streams single collections only",
		"change stream renames":                   "sends events without ns.coll",
		"change stream expanded events":           "sends events without ns.coll",
		"change stream dropDatabase":              "sends events without ns.coll",
		"change stream $out":                      "sends events without ns.coll",
		"change stream large events":              "sends events without ns.coll",
		"cursors of what is gone":                 "lets a cursor go on after a rename",
		"change stream images":                    "has no pre- and post-images",
		"change stream invalidate":                "sends no invalidate events",
		"validation levels":                       "has no validators",
		"collMod":                                 "has no collMod",
		"refused commands":                        "takes most of them",
		"write concerns":                          "is no replica set",
		"write conflicts":                         "has no transactions",
		"collections made in transactions":        "has no transactions",
		"current operations":                      "has no $currentOp stage",
		"profiler":                                "has none",
	},
	// Where 0.7.0b3 does otherwise than MongoDB's manual says in the words quoted, or than mongod's tests.
	"SecantusDB": {
		"profiler":                       "accepts a filter and ignores it, and shows no appName",
		"deprecated types":               "stores undefined, symbol and dbPointer as what replaced them",
		"stages that are no update":      "refuses $match in an update with a code of its own",
		"indexes change no answer":       "finds less by an index on arrays: \"MongoDB cannot intersect the multikey index bounds\"",
		"collection UUIDs":               "ignores collectionUUID",
		"collection UUIDs under renames": "ignores collectionUUID",
		"change stream renames":          "shows the drop of a collection that another was renamed onto, and not the rename, to who watches it",
		"change stream $out":             "drops the target, with its indexes, and inserts: \"atomically replaces the existing collection\"",
		"cursors of what is gone":        "ends them with another code: \"will invalidate open cursors\"",
		"rename and transactions":        "renames at once: \"obtains an exclusive lock on the source and target collections\"",
		"writes to views":                "accepts them: \"Views are read-only; write operations on views will error\"",
		"writes to the fence":            "accepts them: \"Views are read-only; write operations on views will error\"",
		"an array as _id":                "accepts it: \"may contain values of any BSON data type, other than an array\"",
		"reads of the past":              "reads the present, whatever atClusterTime says",
		"snapshot sessions":              "takes a new snapshot for each read of a session",
		"numbers that were overtaken":    "runs a write whose number is lower than the session's last",
		"times before the oplog":         "starts at its oldest entry: \"must be in the time range of the oplog\"",
		"tokens of a quiet stream":       "moves them by its heartbeats alone, which also end a wait early",
		"views are no events":            "shows the drop of a view without showExpandedEvents",
		"what a write creates":           "shows collections that create made, not those that a write did",
		"change stream images":           "looks up the document when asked: \"the post-image of the modified document\"",
		"resuming behind a drop":         "waits there, where mongod sends invalidate",
		"change stream large events":     "looks up the document when asked: \"the post-image of the modified document\"",
		"current operations":             "shows the $currentOp itself alone",
		"refused commands":               "has codes of its own, and takes singleBatch and $natural on views",
		"collMod":                        "leaves a view as it is",
		"write conflicts":                "lets a write outside of transactions wait past its maxTimeMS",
	},
}

// database is an empty database, gone after the test.
func (s *suite) database(t *testing.T) *mongo.Database {
	t.Helper()
	db := s.client.Database("banyan_test_" + bson.NewObjectID().Hex())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := db.Drop(ctx); err != nil {
			t.Errorf("dropping %s: %v", db.Name(), err)
		}
	})
	return db
}

// collection is an empty collection with documents in extended JSON.
func (s *suite) collection(t *testing.T, documents ...string) *mongo.Collection {
	t.Helper()
	coll := s.database(t).Collection("things")
	for _, d := range documents {
		if _, err := coll.InsertOne(t.Context(), parse(t, d)); err != nil {
			t.Fatalf("inserting %s: %v", d, err)
		}
	}
	return coll
}

// parse reads extended JSON.
func parse(t *testing.T, s string) bson.D {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(s), false, &d); err != nil {
		t.Fatalf("the test's own JSON %s: %v", s, err)
	}
	return d
}

// show writes a document as canonical extended JSON without blanks that differ.
func show(t *testing.T, v any) string {
	t.Helper()
	b, err := bson.MarshalExtJSON(v, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// code fails the test unless the error is a server's with the code.
func code(t *testing.T, err error, want int) {
	t.Helper()
	var se mongo.ServerError
	if !errorAs(err, &se) || !se.HasErrorCode(want) {
		t.Errorf("error is %v (%T), want the server's with code %d", err, err, want)
	}
}

// ids are the _ids that a query finds, as text.
func ids(t *testing.T, coll *mongo.Collection, filter bson.D, opts ...options.Lister[options.FindOptions]) string {
	t.Helper()
	cur, err := coll.Find(t.Context(), filter, opts...)
	if err != nil {
		t.Fatalf("finding %s: %v", show(t, filter), err)
	}
	var found []struct {
		ID any `bson:"_id"`
	}
	if err := cur.All(t.Context(), &found); err != nil {
		t.Fatalf("finding %s: %v", show(t, filter), err)
	}
	out := ""
	for i, f := range found {
		if i > 0 {
			out += " "
		}
		out += fmt.Sprint(f.ID)
	}
	return out
}
