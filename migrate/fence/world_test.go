package fence_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// documents is how many the collection has.
const documents = 5

// longHold is enough for every step on any machine.
const longHold = time.Minute

// sent is one command that changes names, as it was sent.
type sent struct {
	database string
	command  bson.Raw
}

// world is a collection "users" in MongoDB, and a control table, over the wire.
type world struct {
	t           testing.TB
	ctx         context.Context
	uri         string
	db          *mongo.Database // of the primary
	owners      *ownership.Table
	uuid        string
	conditional bool

	mu   sync.Mutex
	sent []sent       // by all sessions
	hook func(string) // called with each command's name before it is sent; may be nil
}

// inBoth runs a test where the server makes commands conditional on a UUID, and where not.
func inBoth(t *testing.T, test func(t *testing.T, w *world)) {
	for what, conditional := range map[string]bool{"by UUID": true, "by name": false} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.conditional = conditional
			test(t, w)
			if all := w.all("collectionUUID"); !conditional && len(all) > 0 {
				t.Errorf("sent to a server that takes no UUID: %s", all[0].command)
			}
		})
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel() // most of it is waiting
	w := &world{t: t, ctx: t.Context(), uri: mongodbtest.Start(t, nil), conditional: true}
	w.db = source.Primary(w.connect(w.uri), mongodbtest.Database(w.uri))
	server := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{}))
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	w.owners = ownership.NewTable(dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL,
		HTTPClient: &http.Client{Transport: transport}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}), "")
	w.must(w.owners.Ensure(w.ctx))
	w.fill("users", "user")
	w.uuid = w.at("users").UUID
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connect(uri string, change ...func(*options.ClientOptions)) *mongo.Client {
	w.t.Helper()
	o := options.Client().ApplyURI(uri)
	for _, c := range change {
		c(o)
	}
	client, err := mongo.Connect(o)
	w.must(err)
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// fill inserts documents into a collection.
func (w *world) fill(collection, kind string) {
	w.t.Helper()
	for i := range documents {
		_, err := w.db.Collection(collection).InsertOne(w.ctx, bson.D{{Key: "_id", Value: i}, {Key: "kind", Value: kind}})
		w.must(err)
	}
}

// dial connects to a URI, and notes what is sent.
func (w *world) dial(uri string) fence.Dial {
	return func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		o := options.Client().ApplyURI(uri).SetAppName(application).SetServerSelectionTimeout(30 * time.Second)
		if host != "" {
			o.SetHosts([]string{host}).SetDirect(true)
		}
		if dialer != nil {
			o.SetDialer(dialer)
		}
		return mongo.Connect(o.SetMonitor(&event.CommandMonitor{Started: w.note}))
	}
}

func (w *world) note(_ context.Context, e *event.CommandStartedEvent) {
	if !slices.Contains([]string{"renameCollection", "create", "collMod", "drop"}, e.CommandName) {
		return
	}
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		hook(e.CommandName)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, sent{e.DatabaseName, slices.Clone(e.Command)})
}

// before has something happen before each command of a name is sent.
func (w *world) before(name string, what func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = func(command string) {
		if command == name {
			what()
		}
	}
}

// all are the commands that have a field, such as their name.
func (w *world) all(field string) (found []sent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sent {
		if !s.command.Lookup(field).IsZero() {
			found = append(found, s)
		}
	}
	return found
}

// fence is a process of its own.
func (w *world) fence(change ...func(*fence.Fence)) *fence.Fence {
	f := &fence.Fence{Owners: w.owners, Entity: "users", Names: "users", DB: w.db, UUID: w.uuid, Conditional: w.conditional, Budget: longHold,
		DDL: w.session(w.uri), Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(f)
	}
	return f
}

func (w *world) session(uri string) *fence.Session {
	s := fence.NewSession(w.dial(uri), w.db.Name(), "users")
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) record() ownership.Record {
	w.t.Helper()
	rec, err := w.owners.Load(w.ctx, "users")
	w.must(err)
	return rec
}

func (w *world) encapsulate(f *fence.Fence) {
	w.t.Helper()
	_, err := f.Encapsulate(w.ctx)
	w.must(err)
}

// announceAndHold brings the entity to where its collection is about to move, with writes held.
func (w *world) announceAndHold(f *fence.Fence) ownership.Record {
	w.t.Helper()
	rec, err := f.Announce(w.ctx, w.record(), ownership.Switching)
	w.must(err)
	rec, err = f.Hold(w.ctx, rec)
	w.must(err)
	return rec
}

// moveAndUndo begins a cut-over, and undoes it.
func (w *world) moveAndUndo(f *fence.Fence) {
	w.t.Helper()
	rec, err := f.Raise(w.ctx, w.announceAndHold(f))
	w.must(err)
	_, err = f.Undo(w.ctx, rec.Revision)
	w.must(err)
}

// at is what stands under a name.
func (w *world) at(name string) source.Entry {
	w.t.Helper()
	l, err := source.Look(w.ctx, w.db, "users")
	w.must(err)
	e, _ := l.At(name)
	return e
}

// raw sends a command past the fence.
func (w *world) raw(database string, command any) error {
	return w.db.Client().Database(database).RunCommand(w.ctx, command).Err()
}

func (w *world) rename(from, to string, dropTarget bool) {
	w.t.Helper()
	w.must(w.raw("admin", bson.D{{Key: "renameCollection", Value: w.db.Name() + "." + from}, {Key: "to", Value: w.db.Name() + "." + to},
		{Key: "dropTarget", Value: dropTarget}}))
}

// mustRead checks that readers by a name see all documents of the collection.
func (w *world) mustRead(name, kind string) {
	w.t.Helper()
	n, err := w.db.Collection(name).CountDocuments(w.ctx, bson.D{{Key: "kind", Value: kind}})
	if err != nil || n != documents {
		w.t.Errorf("%d documents by the name %s: %v", n, name, err)
	}
}

// mustStand checks that the collection is called name, and that everything else leads to it.
func (w *world) mustStand(f *fence.Fence, name string) {
	w.t.Helper()
	if err := f.Confirm(w.ctx, name, w.record().Generation); err != nil {
		w.t.Error(err)
	}
	w.mustRead("users", "user")
	w.mustRead(name, "user")
}

// mustBeHome checks that the collection has its public name, and that nobody waits.
func (w *world) mustBeHome(phase ownership.Phase, kind string) {
	w.t.Helper()
	if r := w.record(); r.Phase != phase || r.Hold || r.Move != nil || r.Collection != "" || r.CollectionUUID != "" {
		w.t.Errorf("%+v", r)
	}
	if w.at("users").View {
		w.t.Error("the public name is a view")
	}
	w.mustRead("users", kind)
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
