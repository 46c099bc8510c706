package preflight_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/preflight"
)

// helloOf is what a member of a deployment says of itself.
func helloOf(more ...bson.E) func(bson.Raw) bson.D {
	return always(append(bson.D{{Key: "helloOk", Value: true}, {Key: "isWritablePrimary", Value: true}, {Key: "maxBsonObjectSize",
		Value: 16 << 20},
		{Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize",
			Value: 100_000}, {Key: "logicalSessionTimeoutMinutes", Value: 30},
		{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}, {Key: "readOnly", Value: false}}, more...))
}

func versionOf(text string, numbers ...int32) func(bson.Raw) bson.D {
	return always(bson.D{{Key: "version", Value: text}, {Key: "versionArray", Value: numbers}})
}

// collectionOf is the source in listCollections, with options that the sandbox refuses.
func collectionOf(kind string, options ...bson.E) func(bson.Raw) bson.D {
	return cursorOf(bson.D{{Key: "name", Value: "users"}, {Key: "type", Value: kind}, {Key: "options", Value: append(bson.D{}, options...)},
		{Key: "info", Value: bson.D{{Key: "uuid", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}}})
}

func indexOf(name string, key bson.D, more ...bson.E) func(bson.Raw) bson.D {
	return cursorOf(bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "name", Value: "_id_"}},
		append(bson.D{{Key: "v", Value: 2}, {Key: "key", Value: key}, {Key: "name", Value: name}}, more...))
}

// oplogFrom answers with an oplog that begins so long ago.
func oplogFrom(ago time.Duration) func(bson.Raw) bson.D {
	return cursorOf(bson.D{{Key: "ts", Value: bson.Timestamp{T: uint32(time.Now().Add(-ago).Unix()), I: 1}}})
}

func privilege(db, collection string, actions ...string) bson.D {
	return bson.D{{Key: "resource", Value: bson.D{{Key: "db", Value: db}, {Key: "collection", Value: collection}}},
		{Key: "actions", Value: actions}}
}

func clusterPrivilege(actions ...string) bson.D {
	return bson.D{{Key: "resource", Value: bson.D{{Key: "cluster", Value: true}}}, {Key: "actions", Value: actions}}
}

func userWith(privileges ...any) func(bson.Raw) bson.D {
	return always(bson.D{{Key: "authInfo", Value: bson.D{
		{Key: "authenticatedUsers", Value: bson.A{bson.D{{Key: "user", Value: "banyan"}, {Key: "db", Value: "admin"}}}},
		{Key: "authenticatedUserPrivileges", Value: bson.A(privileges)}}}})
}

// readWrite are the actions of the built-in role that this package looks at.
var readWrite = []string{"find", "insert", "update", "remove", "listCollections", "listIndexes", "createCollection", "dropCollection",
	"createIndex", "renameCollectionSameDB", "changeStream", "collStats"}

// TestWhatAServerAnswers: one case for each finding about what the sandbox is not.
func TestWhatAServerAnswers(t *testing.T) {
	stats := func(size, most float64) func(bson.Raw) bson.D {
		return cursorOf(bson.D{{Key: "storageStats", Value: bson.D{{Key: "size", Value: size}, {Key: "maxSize", Value: most}}}})
	}
	operations := func(docs ...any) func(bson.Raw) bson.D { return cursorOf(docs...) }
	for name, c := range map[string]struct {
		answers  answers
		finding  string
		severity preflight.Severity
		says     string
	}{
		"router": {answers{"hello": helloOf(bson.E{Key: "msg", Value: "isdbgrid"})}, "sharded", preflight.Stops, "mongos"},
		"shard":  {answers{"shardingState": always(bson.D{{Key: "enabled", Value: true}})}, "sharded", preflight.Stops, "a shard of a cluster"},
		"alone":  {answers{"hello": helloOf()}, "topology", preflight.Stops, "replSetName"},
		"arbiter": {answers{"hello": helloOf(bson.E{Key: "setName", Value: "rs0"}, bson.E{Key: "hosts", Value: bson.A{"a:1", "b:1"}},
			bson.E{Key: "arbiters", Value: bson.A{"c:1"}})}, "topology", preflight.Told, "2 nodes and 1 arbiters"},
		"three": {answers{"hello": helloOf(bson.E{Key: "setName", Value: "rs0"}, bson.E{Key: "hosts", Value: bson.A{"a:1", "b:1", "c:1"}})},
			"topology", preflight.Told, "of 3 nodes"},
		"too old": {answers{"buildInfo": versionOf("4.0.28", 4, 0, 28, 0)}, "version", preflight.Stops, "4.0.28"},
		"old compatibility": {answers{"getParameter": always(bson.D{{Key: "featureCompatibilityVersion",
			Value: bson.D{{Key: "version", Value: "5.0"}}}})},
			"feature-compatibility", preflight.Told, "5.0 on a server of version 7.0"},
		"no majority": {answers{"find users": func(command bson.Raw) bson.D {
			if _, err := command.LookupErr("readConcern", "afterClusterTime"); err != nil {
				return nil
			}
			return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: 50}, {Key: "codeName", Value: "MaxTimeMSExpired"}, {Key: "errmsg",
				Value: "operation exceeded time limit"}}
		}}, "majority", preflight.Stops, "rs.status()"},
		"no collectionUUID": {answers{"find users": func(command bson.Raw) bson.D {
			if _, err := command.LookupErr("collectionUUID"); err != nil {
				return nil
			}
			return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: 40415}, {Key: "errmsg",
				Value: "BSON field 'find.collectionUUID' is an unknown field."}}
		}}, "collection-uuid", preflight.Told, "does not accept"},
		"collectionUUID ignored": {answers{"find users": cursorOf()}, "collection-uuid", preflight.Told, "does not accept"},
		"no change streams": {answers{"aggregate": refusal(40573, "The $changeStream stage is only supported on replica sets")},
			"change-stream", preflight.Stops, "replica sets"},
		"no split events": {answers{"aggregate": func(command bson.Raw) bson.D {
			if !strings.Contains(command.String(), "$changeStreamSplitLargeEvent") {
				return nil
			}
			return refusal(40324, "Unrecognized pipeline stage name")(command)
		}}, "split-events", preflight.Told, "8 MB"},
		"short oplog": {answers{"find oplog.rs": oplogFrom(10 * time.Minute), "aggregate oplog.rs": stats(1e8, 1e8)}, "oplog-window",
			preflight.Acknowledge, "10m"},
		"oplog that may be young": {answers{"find oplog.rs": oplogFrom(10 * time.Minute)}, "oplog-window", preflight.Told, "10m"},
		"long oplog":              {answers{"find oplog.rs": oplogFrom(100 * time.Hour)}, "oplog-window", preflight.Told, "100h"},
		"young oplog": {answers{"find oplog.rs": oplogFrom(time.Hour), "aggregate oplog.rs": stats(1e6, 1e8)}, "oplog-window",
			preflight.Told, "about 100h"},
		"unreadable oplog": {answers{"find oplog.rs": refusal(13, "not authorized on local")}, "unanswered:oplog-window",
			preflight.Told, "not authorized on local"},
		"transaction": {answers{"aggregate": func(command bson.Raw) bson.D {
			if !strings.Contains(command.String(), "$currentOp") {
				return nil
			}
			return operations(bson.D{{Key: "type", Value: "idleSession"}, {Key: "transaction", Value: bson.D{
				{Key: "parameters", Value: bson.D{{Key: "autocommit", Value: false}}}, {Key: "timeOpenMicros", Value: int64(12e6)}}}})(command)
		}}, "transactions", preflight.Told, "oldest for 12s"},
		"index build": {answers{"aggregate": func(command bson.Raw) bson.D {
			if !strings.Contains(command.String(), "$currentOp") {
				return nil
			}
			return operations(bson.D{{Key: "ns", Value: "legacy.users"}, {Key: "msg", Value: "Index Build: scanning collection"}})(command)
		}}, "index-build", preflight.Stops, "a rename fails"},

		"time-series": {answers{"listCollections": collectionOf("timeseries")}, "kind", preflight.Stops, "time-series"},
		"capped": {answers{"listCollections": collectionOf("collection", bson.E{Key: "capped", Value: true})}, "kind",
			preflight.Stops, "capped"},
		"encrypted": {answers{"listCollections": collectionOf("collection", bson.E{Key: "encryptedFields",
			Value: bson.D{{Key: "fields", Value: bson.A{}}}})}, "kind", preflight.Stops, "queryable encryption"},
		"clustered": {answers{"listCollections": collectionOf("collection", bson.E{Key: "clusteredIndex", Value: true})},
			"clustered", preflight.Told, "nothing is lost"},
		"clustered TTL": {answers{"listCollections": collectionOf("collection", bson.E{Key: "clusteredIndex", Value: true},
			bson.E{Key: "expireAfterSeconds", Value: int64(60)})}, "ttl", preflight.Stops, "cannot suspend it"},
		"collation": {answers{"listCollections": collectionOf("collection", bson.E{Key: "collation", Value: bson.D{{Key: "locale",
			Value: "fr"}}})}, "collation", preflight.Acknowledge, `"fr"`},
		"no UUID": {answers{"listCollections": cursorOf(bson.D{{Key: "name", Value: "users"}, {Key: "type",
			Value: "collection"}})}, "kind", preflight.Stops, "UUID"},
		"text index": {answers{"listIndexes": indexOf("bio_text", bson.D{{Key: "_fts", Value: "text"}, {Key: "_ftsx", Value: 1}})},
			"index:bio_text", preflight.Acknowledge, "(text index"},
		"geo index": {answers{"listIndexes": indexOf("at_geo", bson.D{{Key: "at", Value: "2dsphere"}})}, "index:at_geo",
			preflight.Acknowledge, "(geo index"},
		"hashed index": {answers{"listIndexes": indexOf("h", bson.D{{Key: "email", Value: "hashed"}})}, "index:h",
			preflight.Acknowledge, "(hashed index"},
		"wildcard": {answers{"listIndexes": indexOf("w", bson.D{{Key: "$**", Value: 1}})}, "index:w", preflight.Acknowledge,
			"(wildcard index"},
		"another kind": {answers{"listIndexes": indexOf("v", bson.D{{Key: "x", Value: "vector"}})}, "index:v", preflight.Acknowledge,
			"(vector index"},
		"unique by a collation": {answers{"listIndexes": indexOf("email_1", bson.D{{Key: "email", Value: 1}}, bson.E{Key: "unique", Value: true},
			bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength",
				Value: 2}}})}, "index:email_1", preflight.Acknowledge, "unique collated index"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.insert(user(1))
			w.answers = c.answers
			w.look().want(c.finding, c.severity, c.says)
		})
	}
}

// TestRights: what is missing is named by what it is needed for, on the names ahead too.
func TestRights(t *testing.T) {
	all := append(slices.Clone(readWrite), "collMod")
	for name, c := range map[string]struct {
		user func(bson.Raw) bson.D
		want map[string]preflight.Severity
	}{
		"nobody": {nil, map[string]preflight.Severity{"rights": preflight.Told}},
		"everything": {userWith(bson.D{{Key: "resource", Value: bson.D{{Key: "anyResource", Value: true}}}, {Key: "actions",
			Value: bson.A{"anyAction"}}}), map[string]preflight.Severity{"rights": preflight.Told}},
		"enough": {userWith(privilege("legacy", "", append(all, "enableProfiler")...), privilege("legacy", "system.profile", "find"),
			clusterPrivilege("inprog"), clusterPrivilege("top")), map[string]preflight.Severity{"rights": preflight.Told}},
		"readWrite": {userWith(privilege("legacy", "", readWrite...), clusterPrivilege("inprog")),
			map[string]preflight.Severity{"rights:legacy.users": preflight.Stops, "rights:legacy.users__banyan_g1": preflight.Stops,
				"rights:legacy.users__banyan_g2": preflight.Stops, "rights:legacy.users__banyan_g3": preflight.Stops}},
		"not the operations of others": {userWith(privilege("legacy", "", all...)),
			map[string]preflight.Severity{"rights": preflight.Told, "rights:inprog": preflight.Acknowledge}},
		"another database": {userWith(privilege("legacy2", "", all...), privilege("legacy", "users", all...),
			clusterPrivilege("inprog")), map[string]preflight.Severity{
			"rights:legacy.banyan_reverse": preflight.Stops, "rights:legacy.banyan_reverse_misfits": preflight.Stops,
			"rights:legacy.banyan_late_writes": preflight.Stops,
			"rights:legacy":                    preflight.Stops, "rights:legacy.banyan_barriers": preflight.Stops, "rights:legacy.banyan_claims": preflight.Stops,
			"rights:legacy.users__banyan_g1": preflight.Stops, "rights:legacy.users__banyan_g2": preflight.Stops, "rights:legacy.users__banyan_g3": preflight.Stops,
			"rights:legacy.users__banyan_stray_g1": preflight.Stops, "rights:rename": preflight.Stops}},
		"rename by copy and drop": {userWith(privilege("legacy", "", slices.DeleteFunc(slices.Clone(all),
			func(a string) bool { return a == "renameCollectionSameDB" })...),
			clusterPrivilege("inprog")), map[string]preflight.Severity{"rights": preflight.Told}},
		"no rename": {userWith(privilege("legacy", "", slices.DeleteFunc(slices.Clone(all),
			func(a string) bool { return a == "renameCollectionSameDB" || a == "createIndex" })...),
			clusterPrivilege("inprog")), map[string]preflight.Severity{"rights:rename": preflight.Stops}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.insert(user(1))
			if c.user != nil {
				w.answers["connectionStatus"] = c.user
			}
			if !slices.Contains([]string{"nobody", "everything", "enough"}, name) {
				c.want["rights:evidence"] = preflight.Told
			}
			got := w.look()
			for finding, severity := range c.want {
				got.want(finding, severity, "")
			}
			for _, f := range got.all {
				if _, wanted := c.want[f.Name]; strings.HasPrefix(f.Name, "rights") && !wanted {
					t.Errorf("unexpected: %+v", f)
				}
			}
		})
	}
}

// TestRefusedQuestions: each question that a server refuses is told, and no other is lost.
func TestRefusedQuestions(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	const denied = "not authorized to execute the command"
	for _, command := range []string{"buildInfo", "getParameter", "shardingState", "connectionStatus", "listIndexes", "ping", "find"} {
		w.answers[command] = refusal(13, denied)
	}
	w.answers["aggregate"] = func(command bson.Raw) bson.D {
		if strings.Contains(command.String(), "$changeStream") {
			return nil
		}
		return refusal(13, denied)(command)
	}
	got := w.look()
	for _, question := range []string{"version", "feature-compatibility", "sharding", "rights", "indexes", "majority",
		"collection-uuid", "oplog-window",
		"operations", "claim"} {
		got.want("unanswered:"+question, preflight.Told, denied)
	}
	got.want("topology", preflight.Told, "one node")
	got.want("table:users", preflight.Told, "does not exist")
}

// TestNoAnswerIsBounded: a server that hangs ends with the caller's patience.
func TestNoAnswerIsBounded(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	ctx, cancel := context.WithCancelCause(t.Context())
	w.answers["buildInfo"] = func(bson.Raw) bson.D {
		cancel(errors.New("enough"))
		return refusal(91, "the server is shutting down")(nil)
	}
	if _, err := preflight.Look(ctx, w.config()); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "version") {
		t.Errorf("%v, want it to name the question that had no answer", err)
	}
}
