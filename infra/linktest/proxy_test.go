package linktest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// once lets the first command of a name have a fate.
func once(name string, fate linktest.Fate) func(linktest.Command) linktest.Fate {
	var met atomic.Bool
	return func(c linktest.Command) linktest.Fate {
		if c.Name == name && met.CompareAndSwap(false, true) {
			return fate
		}
		return linktest.Deliver
	}
}

// A client that knows only the proxy's address: what becomes of its command, and what
// the server shows of it meanwhile.
func TestProxy(t *testing.T) {
	for _, tc := range []struct {
		what      string
		fate      linktest.Fate
		broken    bool // the client sees a broken connection
		documents int64
	}{
		{"delivered", linktest.Deliver, false, 1},
		{"lost", linktest.Lose, true, 0},
		{"late", linktest.Late, true, 1},
		{"repeated", linktest.Repeat, false, 2},
		{"unanswered", linktest.Unanswered, true, 1},
	} {
		t.Run(tc.what, func(t *testing.T) {
			server, err := mongodb.Start(mongodb.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			l := &linktest.Link{Choose: once("insert", tc.fate), DelayOf: func(linktest.Command) time.Duration { return 300 * time.Millisecond }}
			p, err := l.StartProxy(server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			direct, held := connect(t, server.Addr(), "looks"), connect(t, p.Addr(), "held back")
			err = held.Database("x").RunCommand(t.Context(), bson.D{{Key: "insert", Value: "c"},
				{Key: "documents", Value: bson.A{bson.D{{Key: "a", Value: 1}}}}}).Err() // the server makes the _id
			if (err != nil) != tc.broken {
				t.Errorf("the client got %v", err)
			}
			disconnect(held)
			for tc.fate == linktest.Late {
				shown := connections(t, direct, "held back")
				if count(t, direct) > 0 {
					break
				}
				if shown == 0 {
					t.Error("no connection is shown while a command is held back")
				}
				time.Sleep(time.Millisecond)
			}
			l.AwaitLate()
			if n := count(t, direct); n != tc.documents {
				t.Errorf("%d documents", n)
			}
			for connections(t, direct, "held back") > 0 { // what was delivered is closed
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func connect(t *testing.T, address, application string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + address + "/?directConnection=true").SetAppName(application))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disconnect(client) })
	return client
}

func disconnect(client *mongo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = client.Disconnect(ctx)
}

func count(t *testing.T, client *mongo.Client) int64 {
	t.Helper()
	n, err := client.Database("x").Collection("c").CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// connections is the number of those that the server shows of an application.
func connections(t *testing.T, client *mongo.Client, application string) int {
	t.Helper()
	cursor, err := client.Database("admin").Aggregate(t.Context(), mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleConnections", Value: true}}}},
		{{Key: "$match", Value: bson.D{{Key: "appName", Value: application}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var all []bson.Raw
	if err := cursor.All(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return len(all)
}
