package mongoserver_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, fault func(command, namespace string) mongodb.Fault) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(mongodbtest.Start(t, fault)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// Whether a server takes a UUID is what it answers, not its version.
func TestAcceptsCollectionUUID(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "ignores collectionUUID")
	for code, want := range map[int]bool{0: true, 361: true, 40415: false, 9: false} {
		client := connect(t, func(command, _ string) (f mongodb.Fault) {
			if command == "find" {
				f.Code = code
			}
			return f
		})
		if got, err := mongoserver.AcceptsCollectionUUID(t.Context(), client.Database("legacy"), "users"); err != nil || got != want {
			t.Errorf("code %d: %v %v", code, got, err)
		}
	}
}

func TestHello(t *testing.T) {
	h, err := mongoserver.AskHello(t.Context(), connect(t, nil).Database("admin"))
	if err != nil || h.SetName == "" || len(h.Members()) != 1 || !h.AcceptsComments() {
		t.Errorf("%+v %v", h, err)
	}
	old := mongoserver.Hello{Hosts: []string{"a:1"}, Passives: []string{"b:1"}, Arbiters: []string{"c:1"}, WireVersion: 8}
	if old.AcceptsComments() || !slices.Equal(old.Members(), []string{"a:1", "b:1"}) {
		t.Errorf("%+v", old)
	}
}

// TestMajorityLag: from what MongoDB's hello says, in its fields.
func TestMajorityLag(t *testing.T) {
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for lag, lastWrite := range map[time.Duration]bson.D{
		12 * time.Second: {{Key: "lastWriteDate", Value: at}, {Key: "majorityWriteDate", Value: at.Add(-12 * time.Second)}},
		0:                {{Key: "lastWriteDate", Value: at}},
	} {
		doc, err := bson.Marshal(bson.D{{Key: "lastWrite", Value: lastWrite}})
		if err != nil {
			t.Fatal(err)
		}
		var h mongoserver.Hello
		if err := bson.Unmarshal(doc, &h); err != nil || h.MajorityLag() != lag {
			t.Errorf("%s, %v, want %s", h.MajorityLag(), err, lag)
		}
	}
}

// TestQueue: what waits for a lock is counted, and a refusal is told.
func TestQueue(t *testing.T) {
	if peer, _ := mongodbtest.Peer(); peer != "" {
		t.Skip("what waits there is not this test's alone")
	}
	ctx, client := t.Context(), connect(t, nil)
	coll := client.Database("legacy").Collection("queued")
	queue := func() int {
		n, err := mongoserver.AskQueue(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := queue(); n != 0 {
		t.Errorf("%d wait for nothing", n)
	}
	if err := client.Database("legacy").CreateCollection(ctx, "queued"); err != nil {
		t.Fatal(err)
	}
	err := client.UseSession(ctx, func(ctx context.Context) error {
		s := mongo.SessionFromContext(ctx)
		if err := s.StartTransaction(); err != nil {
			return err
		}
		if _, err := coll.InsertOne(ctx, bson.D{}); err != nil {
			return err
		}
		dropped := make(chan error, 1)
		go func() { dropped <- coll.Drop(t.Context()) }() // it waits for the transaction
		for deadline := time.Now().Add(time.Minute); queue() == 0 && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		if n := queue(); n != 1 {
			t.Errorf("%d wait", n)
		}
		if err := s.AbortTransaction(ctx); err != nil {
			return err
		}
		return <-dropped
	})
	if err != nil {
		t.Fatal(err)
	}
	denied := connect(t, func(command, _ string) (f mongodb.Fault) {
		if command == "serverStatus" {
			f.Code = 13
		}
		return f
	})
	if _, err := mongoserver.AskQueue(ctx, denied); err == nil {
		t.Error("a refusal was taken for an answer")
	}
}
