package preflight_test

import (
	"context"
	"maps"
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
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/preflight"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const usersPlan = `
entity: users
source: {database: legacy, collection: users}
target: {table: users}
unique: [{field: email, table: users-unique}]
`

// world is both stores over the wire.
type world struct {
	t       *testing.T
	server  *mongodbserver.Server
	db      *mongo.Database // past the scripted answers
	ddb     *dynamodb.Client
	plan    *plan.Plan
	answers answers

	mu   sync.Mutex
	seen map[string]bool // operations that the stores were asked for
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, answers: answers{}, seen: map[string]bool{}}
	var err error
	w.server, err = mongodbserver.Start(mongodbserver.Config{Fault: func(command, _ string) mongodbserver.Fault {
		w.note(command)
		return mongodbserver.Fault{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	handler := dynamodbserver.New(dynamodbserver.Config{})
	aws := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		_, operation, _ := strings.Cut(in.Header.Get("X-Amz-Target"), ".")
		w.note(operation)
		handler.ServeHTTP(out, in)
	}))
	transport := &http.Transport{}
	w.ddb = dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &aws.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	w.db = w.connect(options.Client())
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		aws.Close()
		_ = w.server.Close()
	})
	w.setPlan(usersPlan)
	return w
}

func (w *world) note(operation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[operation] = true
}

func (w *world) setPlan(text string) {
	w.t.Helper()
	p, err := plan.Parse("users.yaml", []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.plan = p
}

func (w *world) connect(opts *options.ClientOptions) *mongo.Database {
	w.t.Helper()
	return w.connectTo(opts, "mongodb://"+w.server.Addr()+"/?directConnection=true")
}

// connectTo disconnects at the end, before the server is closed.
func (w *world) connectTo(opts *options.ClientOptions, uri string) *mongo.Database {
	w.t.Helper()
	client, err := mongo.Connect(opts.ApplyURI(uri))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client.Database("legacy")
}

// config reaches MongoDB by way of the scripted answers.
func (w *world) config() preflight.Config {
	w.t.Helper()
	d := &dialer{t: w.t, answers: maps.Clone(w.answers)} // a command that nobody waits for any more still asks
	w.t.Cleanup(d.wg.Wait)
	return preflight.Config{Plan: w.plan, DB: w.connect(options.Client().SetDialer(d)), DynamoDB: w.ddb}
}

func (w *world) look() findings {
	w.t.Helper()
	found, err := preflight.Look(w.t.Context(), w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return findings{w.t, found}
}

// findings are what a preflight saw.
type findings struct {
	t   *testing.T
	all []preflight.Finding
}

func (f findings) find(name string) *preflight.Finding {
	n := slices.IndexFunc(f.all, func(f preflight.Finding) bool { return f.Name == name })
	if n < 0 {
		return nil
	}
	return &f.all[n]
}

// want checks that a finding is there, as severe as that, and says something.
func (f findings) want(name string, severity preflight.Severity, says string) {
	f.t.Helper()
	got := f.find(name)
	switch {
	case got == nil:
		f.t.Errorf("no finding %q among %v", name, f.names())
	case got.Severity != severity || !strings.Contains(got.What+" "+got.Means+" "+got.Do, says):
		f.t.Errorf("%s: %+v\nwant %s that says %q", name, *got, severity, says)
	}
}

func (f findings) wantNone(prefix string) {
	f.t.Helper()
	for _, got := range f.all {
		if strings.HasPrefix(got.Name, prefix) {
			f.t.Errorf("unexpected: %+v", got)
		}
	}
}

func (f findings) names() (all []string) {
	for _, one := range f.all {
		all = append(all, string(one.Severity)+" "+one.Name)
	}
	return all
}

// insert puts documents into the source, which it creates.
func (w *world) insert(docs ...any) {
	w.t.Helper()
	if _, err := w.db.Collection("users").InsertMany(w.t.Context(), docs); err != nil {
		w.t.Fatal(err)
	}
}

func user(n int, more ...bson.E) bson.D {
	var id bson.ObjectID
	id[11] = byte(n)
	return append(bson.D{{Key: "_id", Value: id}, {Key: "email", Value: string(rune('a'+n)) + "@example.com"}}, more...)
}

// run sends a command to the database, past the scripted answers.
func (w *world) run(command bson.D) {
	w.t.Helper()
	if err := w.db.RunCommand(w.t.Context(), command).Err(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) createIndex(name string, key bson.D, more ...bson.E) {
	w.t.Helper()
	index := append(bson.D{{Key: "key", Value: key}, {Key: "name", Value: name}}, more...)
	w.run(bson.D{{Key: "createIndexes", Value: "users"}, {Key: "indexes", Value: bson.A{index}}})
}

func (w *world) createControl() *ownership.Table {
	w.t.Helper()
	owners := ownership.NewTable(w.ddb, "")
	if err := owners.Ensure(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return owners
}
