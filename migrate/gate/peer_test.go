package gate_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/source"
)

// TestPeerWithoutFilters: on a server whose profiler ignores filters, as MongoDB's before
// 4.4.2 may, its settings stay as they are, and weaker evidence is used and said.
func TestPeerWithoutFilters(t *testing.T) {
	uri, _ := mongodbtest.Peer()
	if uri == "" {
		t.Skip("BANYAN_CONFORMANCE_MONGODB names no server")
	}
	uri = mongodbtest.Start(t, nil)
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("banyan-migrate users"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	db := source.Primary(client, mongodbtest.Database(uri))
	if _, err := db.Collection("users").InsertOne(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	level := func() int64 {
		reply, err := db.RunCommand(t.Context(), bson.D{{Key: "profile", Value: -1}}).Raw()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := reply.Lookup("was").AsInt64OK()
		return n
	}
	before := level()
	g := gate.Gate{DB: db, Control: controlStore(t), Entity: "users", Names: "users", Collection: "users", Log: slog.New(slog.DiscardHandler),
		Dial: func(application, host string) (*mongo.Client, error) {
			return mongo.Connect(options.Client().SetHosts([]string{host}).SetDirect(true).SetAppName(application))
		}}
	e, err := g.Watch(t.Context(), 200*time.Millisecond)
	if err != nil || len(e.Servers) != 1 {
		t.Fatalf("%+v %v", e, err)
	}
	s := e.Servers[0]
	if slices.Contains(s.Evidence, "profiler") || len(s.Gaps) > 0 || !strings.Contains(strings.Join(s.Missing, " "), "no filter") || level() != before {
		t.Errorf("%+v, level %d, before %d", s, level(), before)
	}
}
