package reverse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/linktest"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

const planText = `
entity: users
source: {collection: users}
target: {table: users, key: {type: string}}
fields:
  - {from: email, type: string}
  - {from: createdAt, type: date}
  - {from: visits, type: int64}
  - {from: ratio, type: double}
`

// world is both stores over the wire, and an entity whose way back has begun. Its collection
// has a unique index on email, which may be absent.
type world struct {
	t      *testing.T
	ctx    context.Context
	uri    string
	server *dynamodbserver.Server
	url    string
	mongo  *mongo.Client
	db     *mongo.Database
	ddb    *dynamodb.Client
	plan   *plan.Plan
	owners *ownership.Table
	uuid   string
}

func newWorld(t *testing.T, change ...func(*dynamodbserver.Config)) *world {
	t.Helper()
	return newWorldOf(t, planText, change...)
}

// newWorldOf is a world with another plan.
func newWorldOf(t *testing.T, text string, change ...func(*dynamodbserver.Config)) *world {
	t.Helper()
	t.Parallel() // most of the time is waiting
	w := &world{t: t, ctx: t.Context(), uri: mongodbtest.Start(t, nil)}
	var cfg dynamodbserver.Config
	for _, c := range change {
		c(&cfg)
	}
	w.server = dynamodbserver.New(cfg)
	front := httptest.NewServer(w.server)
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	w.url = front.URL
	w.mongo, w.ddb, _ = w.clients(&linktest.Link{})
	w.db = source.Primary(w.mongo, mongodbtest.Database(w.uri))
	var err error
	if w.plan, err = plan.Parse("users.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	w.owners = ownership.NewTable(w.ddb, "")
	w.must(w.owners.Ensure(w.ctx))
	tables := &target.Tables{Plan: w.plan, Client: w.ddb}
	_, err = tables.Ensure(w.ctx)
	w.must(errors.Join(err, tables.EnsureStream(w.ctx)))
	name := names.Names("users").Physical(1)
	w.must(w.db.CreateCollection(w.ctx, name))
	_, err = w.db.Collection(name).Indexes().CreateOne(w.ctx, mongo.IndexModel{Keys: bson.D{{Key: "email", Value: 1}},
		Options: options.Index().SetUnique(true).SetSparse(true)})
	w.must(err)
	l, err := source.Look(w.ctx, w.db, "users")
	w.must(err)
	e, _ := l.At(name)
	w.uuid = e.UUID
	w.must(w.db.CreateView(w.ctx, "users", name, mongo.Pipeline{}))
	w.update(func(r *ownership.Record) {
		r.Phase, r.Generation, r.Move, r.Hold = ownership.Encapsulated, 1, &ownership.Move{From: "users", To: name}, true
	})
	w.update(func(r *ownership.Record) { r.Collection, r.CollectionUUID, r.Move, r.Hold = name, w.uuid, nil, false })
	w.update(func(r *ownership.Record) { r.Phase = ownership.Shadowing })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(change func(*ownership.Record)) {
	w.t.Helper()
	rec, err := w.owners.Load(w.ctx, "users")
	w.must(err)
	_, err = w.owners.Update(w.ctx, rec, change)
	w.must(err)
}

// switchOwner has the way back probed, and makes DynamoDB the owner.
func (w *world) switchOwner() {
	w.t.Helper()
	r := w.reverse()
	w.drainWith(r)
	w.update(func(r *ownership.Record) {
		r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, r.Epoch+1, ownership.Switched
	})
}

// drainWith has a process follow until all is in MongoDB, and again, as a supervisor would,
// where a loaded machine has cost it its lease.
func (w *world) drainWith(r *reverse.Reverse) {
	w.t.Helper()
	err := worker.ErrLeaseLost
	for errors.Is(err, worker.ErrLeaseLost) {
		err = r.WhileFollowing(w.ctx, r.Drain)
	}
	w.must(err)
}

func (w *world) clients(l *linktest.Link) (*mongo.Client, *dynamodb.Client, *dynamodbstreams.Client) {
	w.t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(w.uri).SetDialer(l.Dialer(nil)).SetServerSelectionTimeout(5 * time.Second))
	w.must(err)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = client.Disconnect(ctx)
		transport.CloseIdleConnections()
	})
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &w.url, HTTPClient: &http.Client{Transport: l.RoundTripper(transport)},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	return client, dynamodb.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg)
}

// reverse is a process's own, over its own connections, which may go over a link.
func (w *world) reverse(link ...*linktest.Link) *reverse.Reverse {
	w.t.Helper()
	l := &linktest.Link{}
	if len(link) > 0 {
		l = link[0]
	}
	client, ddb, streams := w.clients(l)
	db := source.Primary(client, w.db.Name())
	c := control.New(ddb, ownership.DefaultTable, "users")
	return &reverse.Reverse{Plan: w.plan, Tables: (&target.Tables{Plan: w.plan, Client: ddb}).Checked(worker.CheckLease), Streams: streams,
		Source:  &source.Collection{DB: db, Names: "users", UUID: w.uuid, Entity: "users", Codec: w.plan.Codec()},
		Control: c, Owners: ownership.NewTable(ddb, ""), Worker: worker.Config{Control: c, Lease: time.Second}, Conditional: true,
		Log: slog.New(slog.DiscardHandler)}
}

// follow runs processes beside the test until stop is called.
func (w *world) follow(all ...*reverse.Reverse) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var running sync.WaitGroup
	for _, r := range all {
		running.Go(func() {
			for ctx.Err() == nil { // as a supervisor would
				_ = r.WhileFollowing(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
			}
		})
	}
	return func() { cancel(); running.Wait() }
}

type item = dynamo.Item

func text(s string) types.AttributeValue { return dynamo.String(s) }

// user is an item that a service writes in an epoch.
func user(id, email string, epoch int64, more ...item) item {
	it := item{"id": text(id), stamp.Attribute: stamp.OfEpoch(epoch)}
	if email != "" {
		it["email"] = text(email)
	}
	for _, m := range more {
		for k, v := range m {
			it[k] = v
		}
	}
	return it
}

// tombstone is what a service writes in the place of a deleted item.
func tombstone(id string, epoch int64) item {
	return item{"id": text(id), stamp.Attribute: &types.AttributeValueMemberM{Value: item{stamp.Epoch: dynamo.Int(epoch),
		stamp.Tombstone: dynamo.Bool(true)}}}
}

// put writes items, several in one transaction.
func (w *world) put(items ...item) {
	w.t.Helper()
	var all []types.TransactWriteItem
	for _, it := range items {
		all = append(all, types.TransactWriteItem{Put: &types.Put{TableName: aws.String("users"), Item: it}})
	}
	_, err := w.ddb.TransactWriteItems(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: all})
	w.must(err)
}

func (w *world) remove(id string) {
	w.t.Helper()
	_, err := w.ddb.DeleteItem(w.ctx, &dynamodb.DeleteItemInput{TableName: aws.String("users"), Key: item{"id": text(id)}})
	w.must(err)
}

// collection is the entity's, under the name that the record says.
func (w *world) collection() *mongo.Collection {
	w.t.Helper()
	rec, err := w.owners.Load(w.ctx, "users")
	w.must(err)
	return w.db.Collection(rec.Collection)
}

// documents are those of the collection, by _id.
func (w *world) documents() map[string]bson.Raw {
	w.t.Helper()
	cursor, err := w.collection().Find(w.ctx, bson.D{})
	w.must(err)
	var all []bson.Raw
	w.must(cursor.All(w.ctx, &all))
	found := map[string]bson.Raw{}
	for _, d := range all {
		found[d.Lookup("_id").StringValue()] = d
	}
	return found
}

// items are those of the table that are no tombstones, as documents.
func (w *world) items() map[string]bson.Raw {
	w.t.Helper()
	found := map[string]bson.Raw{}
	for _, it := range w.scan() {
		if stamp.Of(it).Tombstone {
			continue
		}
		d, err := w.plan.Codec().Read(it)
		w.must(err)
		found[d.Lookup("_id").StringValue()] = d
	}
	return found
}

func (w *world) scan() (all []item) {
	w.t.Helper()
	pages := dynamodb.NewScanPaginator(w.ddb, &dynamodb.ScanInput{TableName: aws.String("users"), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		w.must(err)
		all = append(all, page.Items...)
	}
	return all
}

// mustBeEqual checks that MongoDB has exactly what the table has.
func (w *world) mustBeEqual() {
	w.t.Helper()
	if diff := differences(w.items(), w.documents()); diff != "" {
		w.t.Fatal(diff)
	}
}

func differences(items, documents map[string]bson.Raw) string {
	var out bytes.Buffer
	for id, want := range items {
		if got := documents[id]; !bytes.Equal(got, want) {
			fmt.Fprintf(&out, "%s is %s in MongoDB, and %s in the table\n", id, got, want)
		}
	}
	for id, got := range documents {
		if items[id] == nil {
			fmt.Fprintf(&out, "%s is %s in MongoDB, and not in the table\n", id, got)
		}
	}
	return out.String()
}

// drain waits until what was written is in MongoDB.
func (w *world) drain() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	w.must(w.reverse().Drain(ctx))
}

func (w *world) health() reverse.Health {
	w.t.Helper()
	h, err := w.reverse().Health(w.ctx)
	w.must(err)
	return h
}

// eventually waits until something holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// commandIs reports whether a command is of a name and mentions a text.
func commandIs(c linktest.Command, name, mentions string) bool {
	if c.Name != name {
		return false
	}
	if c.Store == "mongodb" {
		text, err := bson.MarshalExtJSON(bson.Raw(c.Body), false, false)
		return err == nil && bytes.Contains(text, []byte(mentions))
	}
	return json.Valid(c.Body) && bytes.Contains(c.Body, []byte(mentions))
}
