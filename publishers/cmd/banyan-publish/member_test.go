package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/verify"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

const usersPlan = `
entity: users
source: {collection: users}
target: {table: users, key: {type: string}}
versionField: n
outbox: {field: _outbox}
gate: {reads: refuse, window: 1s}
budgets: {hold: 20s, lag: 1m}
`

// engine migrates the users of the sandbox.
func (w *world) engine(db *mongo.Database) *migrate.Engine {
	w.t.Helper()
	p, err := plan.Parse("users.yaml", []byte(usersPlan))
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	base := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(w.variable("AWS_ENDPOINT_URL")), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
	dial := func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		o := options.Client().ApplyURI(w.variable("MONGODB_URI")).SetAppName(application)
		if host != "" {
			o.SetHosts([]string{host}).SetDirect(true)
		}
		return mongo.Connect(o)
	}
	client, err := dial("banyan-migrate users", "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = closeIn(client.Disconnect) })
	e, err := migrate.New(migrate.Config{Plan: p, Mongo: client, Dial: dial, Database: db.Name(),
		DynamoDB: dynamodb.NewFromConfig(base), Streams: dynamodbstreams.NewFromConfig(base)})
	if err == nil {
		err = e.Init(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// write changes the user, as a service that owns it would, with an event.
func (w *world) write(db *mongo.Database, collection string, n int) {
	w.t.Helper()
	joined, err := events.New(w.t.Context(), "/legacy", social.UserJoined{UserID: "ada", Name: fmt.Sprint(n), JoinedAt: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	update, err := outbox.Push(bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: n}}}}, joined)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = db.Collection(collection).UpdateOne(w.t.Context(), bson.D{{Key: "_id", Value: "ada"}}, update, options.UpdateOne().SetUpsert(n == 0))
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRelayOfAnEntityThatMoves: the relay is no stranger to the migration. It follows the
// collection from name to name, and what waits when writes are held, and what comes in right
// before the fence, is published and removed before the owner changes.
func TestRelayOfAnEntityThatMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.database()
	w.write(db, "users", 0)
	e := w.engine(db)
	willing := migrate.EncapsulateOptions{Watch: time.Second, AcceptGap: true, NoMembers: true}
	stranger := w.follow("relay", "--documents=users", "--sweep-every=50ms")
	if _, err := e.Encapsulate(t.Context(), willing); err == nil || !strings.Contains(err.Error(), "banyan-publish") {
		t.Errorf("while a relay runs that is no member: %v", err)
	}
	stranger.end(syscall.SIGTERM)
	relay := w.follow("relay", "--documents=users", "--entities=users", "--sweep-every=50ms")
	alone := willing
	alone.NoMembers = false
	if _, err := e.Encapsulate(t.Context(), alone); err == nil || !strings.Contains(err.Error(), "no instance of the owning service") {
		t.Errorf("with a relay alone: %v", err)
	}
	w.eventually("encapsulated", func() bool { // once it is long enough that the stranger wrote
		_, err := e.Encapsulate(t.Context(), willing)
		return err == nil
	})
	rec := w.record(e)
	w.write(db, rec.Collection, 1)
	if err := e.Run(t.Context(), migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	if v, err := e.Verify(t.Context(), verify.Options{}); err != nil || v.Mismatches > 0 {
		t.Fatal(v, err)
	}
	_, err := e.Cutover(t.Context(), cutover.Options{NoMembers: true, Before: func(_ context.Context, step string) error {
		if step == cutover.StepFence {
			for n := 2; n < 5; n++ {
				w.write(db, rec.Collection, n)
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if rec = w.record(e); rec.Owner != ownership.DynamoDB {
		t.Fatalf("%+v", rec)
	}
	if doc, err := db.Collection(rec.Collection).FindOne(t.Context(), bson.D{}).Raw(); err != nil || !doc.Lookup("_outbox").IsZero() {
		t.Errorf("left behind in %s: %v, %v", rec.Collection, doc, err)
	}
	var names []string
	for _, e := range w.read() {
		names = append(names, string(e.Data))
	}
	if len(distinct(w.read())) != 5 {
		t.Errorf("on the stream: %v", names)
	}
	if code := relay.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, relay.log())
	}
}

func (w *world) record(e *migrate.Engine) ownership.Record {
	w.t.Helper()
	s, err := e.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return ownership.Record{Owner: s.Owner, Collection: s.Collection}
}
