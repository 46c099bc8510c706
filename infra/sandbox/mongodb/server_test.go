package mongodb_test

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg mongodb.Config) *mongodb.Server {
	t.Helper()
	s, err := mongodb.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func TestSandboxConforms(t *testing.T) {
	conforms(t, start(t, mongodb.Config{}).URI(), "")
}

// TestPeerConforms runs the same suite against somebody else's server; see
// infra/sandbox/conformance.
func TestPeerConforms(t *testing.T) {
	uri, peer := mongodbtest.Peer()
	if uri == "" {
		t.Skip("BANYAN_CONFORMANCE_MONGODB names no server")
	}
	conforms(t, uri, peer)
}

// TestNotImplementedIsSaid: what the sandbox leaves out is refused by its name, and
// never ignored.
func TestNotImplementedIsSaid(t *testing.T) {
	client, err := mongo.Connect(options.Client().ApplyURI(start(t, mongodb.Config{}).URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(t.Context()) })
	db := client.Database("d")
	if _, err := db.Collection("c").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: bson.NewDecimal128(0, 1)}}); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]string{
		"distinct":  `{"distinct": "c", "key": "a"}`,
		"killOp":    `{"killOp": 1, "op": 1}`,
		"$lookup":   `{"aggregate": "c", "pipeline": [{"$lookup": {"from": "c"}}], "cursor": {}}`,
		"$unwind":   `{"aggregate": "c", "pipeline": [{"$unwind": "$a"}], "cursor": {}}`,
		"$merge":    `{"aggregate": "c", "pipeline": [{"$merge": "d"}], "cursor": {}}`,
		"$avg":      `{"aggregate": "c", "pipeline": [{"$group": {"_id": 1, "a": {"$avg": "$n"}}}], "cursor": {}}`,
		"$group by": `{"aggregate": "c", "pipeline": [{"$group": {"_id": "$n", "a": {"$sum": 1}}}], "cursor": {}}`,
		"an array":  `{"update": "c", "updates": [{"q": {}, "u": [{"$set": {"a": [1]}}]}]}`,
		"$concat":   `{"update": "c", "updates": [{"q": {}, "u": [{"$set": {"a": {"$concat": ["a"]}}}]}]}`,
		"computed":  `{"find": "c", "projection": {"b": "$a"}}`,
		"$all":      `{"find": "c", "filter": {"a": {"$all": [1]}}}`,
		"$expr":     `{"find": "c", "filter": {"$expr": true}}`,
		"collation": `{"find": "c", "collation": {"locale": "fr"}}`,
		"$addToSet": `{"update": "c", "updates": [{"q": {}, "u": {"$addToSet": {"a": 1}}}]}`,
		"$slice":    `{"update": "c", "updates": [{"q": {}, "u": {"$push": {"a": {"$each": [1], "$slice": 1}}}}]}`,
		"Decimal":   `{"update": "c", "updates": [{"q": {}, "u": {"$inc": {"n": 1}}}]}`,
	} {
		var d bson.D
		if err := bson.UnmarshalExtJSON([]byte(command), false, &d); err != nil {
			t.Fatal(err)
		}
		raw, err := db.RunCommand(t.Context(), d).Raw()
		said := string(raw)
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, "not implemented by the sandbox") || !strings.Contains(said, name) {
			t.Errorf("%s: %q", command, said)
		}
	}
}
