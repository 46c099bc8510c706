package demo

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// A client with the network's URI meets its troubles, until it is calm.
func TestNetworkLosesDelaysAndRepeatsCommands(t *testing.T) {
	server, err := mongodb.Start(mongodb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	n, err := newNetwork(server.URI(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.proxy.Close()
	client, err := mongo.Connect(options.Client().ApplyURI(n.uri).SetRetryWrites(false))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(context.WithoutCancel(t.Context()))
	modify := func() error {
		return client.Database("x").RunCommand(t.Context(), bson.D{{Key: "create", Value: "c"}}).Err()
	}
	var broken int64
	for range 25 {
		if err := modify(); mongo.IsNetworkError(err) {
			broken++
		}
	}
	n.mu.Lock()
	n.calm = true
	n.mu.Unlock()
	if c := n.counted(); c.lost == 0 || c.late == 0 || c.repeated == 0 || c.lost+c.late != broken || c.longest <= 0 || c.longest > longestLate {
		t.Errorf("%+v, and %d broken connections", c, broken)
	}
	if err := modify(); mongo.IsNetworkError(err) {
		t.Error("it is not calm: ", err)
	}
}

func TestNetworkNeedsOneServerWithoutTLS(t *testing.T) {
	for uri, want := range map[string]bool{
		"mongodb://127.0.0.1:27017/legacy?replicaSet=rs0": true, "mongodb://localhost": true, "mongodb://u:p@db/legacy": true,
		"mongodb://a,b/legacy": false, "mongodb+srv://a/legacy": false, "mongodb://a/?tls=true": false, "mongodb://a/?ssl=true": false,
	} {
		n, err := newNetwork(uri, 1)
		if err != nil || (n != nil) != want {
			t.Errorf("%s: %v, %v", uri, n != nil, err)
		}
		if n == nil {
			continue
		}
		if !strings.Contains(n.uri, n.proxy.Addr()) || !strings.Contains(n.uri, "directConnection=true") ||
			strings.Contains(n.uri, "u:p") != strings.Contains(uri, "u:p") {
			t.Errorf("%s becomes %s", uri, n.uri)
		}
		_ = n.proxy.Close()
	}
}

// Nothing is repeated that enters or leaves the public name.
func TestRepeatable(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		want        bool
	}{
		{"renameCollection", "legacy.users", false}, {"renameCollection", "legacy.users__banyan_g1", true},
		{"drop", "users", false}, {"create", "users", true}, {"insert", "banyan_barriers", true},
	} {
		body, err := bson.Marshal(bson.D{{Key: tc.name, Value: tc.value}})
		if err != nil {
			t.Fatal(err)
		}
		if got := repeatable(linktest.Command{Name: tc.name, Body: body}); got != tc.want {
			t.Errorf("%s %s: %t", tc.name, tc.value, got)
		}
	}
}
