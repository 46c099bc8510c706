package mongodb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// shownOperation is an entry of $currentOp.
type shownOperation struct {
	Type, Op, NS string
	AppName      string `bson:"appName"`
	Client       string
	Active       bool
	ID           int32 `bson:"opid"`
	Seconds      int64 `bson:"secs_running"`
	Waiting      bool  `bson:"waitingForLock"`
	Command      bson.Raw
	Session      struct{ ID bson.Binary } `bson:"lsid"`
	Transaction  struct {
		Parameters struct {
			Number int64 `bson:"txnNumber"`
		}
	}
}

const allOperations = `{"$currentOp": {"allUsers": true, "idleConnections": true, "idleSessions": true, "localOps": true}}`

// operations are the entries of $currentOp that match.
func operations(t *testing.T, client *mongo.Client, match string) []shownOperation {
	t.Helper()
	cur, err := client.Database("admin").Aggregate(t.Context(), bson.A{parse(t, allOperations), parse(t, `{"$match": `+match+`}`)})
	do(t, err)
	var ops []shownOperation
	do(t, cur.All(t.Context(), &ops))
	return ops
}

// until waits for one operation that matches.
func until(t *testing.T, client *mongo.Client, match string) shownOperation {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ops := operations(t, client, match); len(ops) > 0 {
			return ops[0]
		}
	}
	t.Fatalf("no operation %s", match)
	return shownOperation{}
}

func testCurrentOp(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": 1}`).Database()
	ctx := t.Context()
	own := operations(t, s.client, `{"appName": "banyan-conformance", "active": true, "command.aggregate": 1}`)
	if len(own) != 1 || own[0].NS != "admin.$cmd.aggregate" || own[0].Op != "command" || own[0].ID == 0 || own[0].Client == "" || own[0].Type != "op" {
		t.Errorf("this very command is shown as %+v", own)
	}
	_, err := db.Aggregate(ctx, bson.A{parse(t, allOperations)})
	code(t, err, 73)

	long := bson.A{parse(t, allOperations), bson.D{{Key: "$match", Value: bson.D{{Key: "command.comment", Value: "ours"},
		{Key: "not", Value: bson.D{{Key: "$ne", Value: strings.Repeat("x", 2000)}}}}}}}
	cur, err := s.client.Database("admin").Aggregate(ctx, long, options.Aggregate().SetComment("ours"))
	do(t, err)
	var shown []shownOperation
	do(t, cur.All(ctx, &shown))
	if len(shown) != 1 || shown[0].Command.Lookup("$truncated").Type != bson.TypeString {
		t.Errorf("a command of over 1,000 bytes is shown as %+v", shown)
	}

	session, err := s.client.StartSession()
	do(t, err)
	defer session.EndSession(context.Background())
	do(t, session.StartTransaction())
	_, err = db.Collection("things").UpdateOne(mongo.NewSessionContext(ctx, session), bson.D{}, parse(t, `{"$set": {"a": 1}}`))
	do(t, err)
	idle := operations(t, s.client, `{"type": "idleSession", "appName": "banyan-conformance"}`)
	if len(idle) != 1 || idle[0].Active || idle[0].Transaction.Parameters.Number == 0 || show(t, idle[0].Session) != show(t, session.ID()) {
		t.Errorf("an open transaction is shown as %+v", idle)
	}
	do(t, session.AbortTransaction(ctx))
	if left := operations(t, s.client, `{"type": "idleSession", "appName": "banyan-conformance"}`); len(left) > 0 {
		t.Errorf("after the abort: %+v", left)
	}
}

// testProfiler: with a filter, what matches is recorded and nothing else, with the client
// and the comment of each command; top counts everything.
func testProfiler(t *testing.T, s *suite) {
	things := s.collection(t, `{"_id": 1}`)
	db, ns := things.Database(), things.Database().Name()+".things"
	do(t, db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 1}, {Key: "filter", Value: parse(t, `{"ns": "`+ns+`", "command.comment": {"$ne": "ours"}}`)}}).Err())
	for _, comment := range []string{"ours", "theirs"} {
		do(t, db.RunCommand(t.Context(), bson.D{{Key: "update", Value: "things"}, {Key: "comment", Value: comment},
			{Key: "updates", Value: bson.A{parse(t, `{"q": {"_id": 1}, "u": {"$set": {"a": 1}}}`)}}}).Err())
	}
	var was struct {
		Was    int
		Filter bson.Raw
	}
	do(t, db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 0}, {Key: "filter", Value: "unset"}}).Decode(&was))
	if was.Was != 1 || was.Filter == nil {
		t.Errorf("the profiler was %+v", was)
	}
	do(t, db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: -1}}).Decode(&was))
	cur, err := db.Collection("system.profile").Aggregate(t.Context(), bson.A{parse(t, `{"$match": {"op": "update"}}`)})
	do(t, err)
	var seen []struct {
		NS, AppName, Client string
		TS                  time.Time
		Command             struct{ Comment string }
	}
	do(t, cur.All(t.Context(), &seen))
	if was.Was != 0 || len(seen) != 1 || seen[0].Command.Comment != "theirs" || seen[0].NS != ns || seen[0].Client == "" || seen[0].TS.IsZero() {
		t.Errorf("profiled: %+v, level %d", seen, was.Was)
	}
	reply, err := s.client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "top", Value: 1}}).Raw()
	do(t, err)
	if n, _ := reply.Lookup("totals", ns, "update", "count").AsInt64OK(); n < 2 {
		t.Errorf("top counts %d updates", n)
	}
}
