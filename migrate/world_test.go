package migrate_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/social/plans"
)

// slower is how many times as long what writes all the time rests between two writes, and atOnce
// how many tests run at once: the race detector needs the processors.
var slower, atOnce = map[bool]time.Duration{false: 1, true: 5}[matrix.Race], map[bool]string{false: "10", true: "5"}[matrix.Race]

// TestMain lets more tests run at once than there are processors: most of a
// migration's time is waiting. A peer is one server for all of them.
func TestMain(m *testing.M) {
	flag.Parse()
	if peer, _ := mongodbtest.Peer(); peer == "" {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	// The client of a process that was killed ends late: it waits for answers that its test
	// keeps from it.
	const topology = "go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(topology+"(*Server).update"), goleak.IgnoreAnyFunction(topology+"(*Topology).pollSRVRecords"),
		goleak.IgnoreAnyFunction(topology+"(*pool).createConnections"), goleak.IgnoreAnyFunction(topology+"(*pool).maintain"),
		goleak.IgnoreAnyFunction(topology+"(*rttMonitor).start"), goleak.IgnoreAnyFunction(topology+"(*contextDoneListener).Listen"))
}

// world is both stores over the wire, and a migration of users between them.
type world struct {
	t      testing.TB
	ctx    context.Context
	mongo  *mongo.Client
	db     *mongo.Database
	users  *mongo.Collection // under the name that the service uses
	ddb    *dynamodb.Client
	plan   *plan.Plan
	owners *ownership.Table
	faults *faults
	uri    string
	aws    string
}

func newWorld(t *testing.T, change ...func(*mongodbserver.Config)) *world {
	t.Helper()
	t.Parallel() // most of a migration's time is waiting
	w := &world{t: t, ctx: t.Context(), faults: &faults{}}
	w.uri = mongodbtest.Start(t, w.faults.mongodb, change...)
	server := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{Fault: w.faults.dynamodb}))
	w.aws = server.URL
	var err error
	// What it writes counts as the service's: a gate takes it for the migration's own.
	if w.mongo, err = mongo.Connect(options.Client().ApplyURI(w.uri).SetAppName("banyan-migrate test")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.faults.set(0, 0)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.mongo.Disconnect(ctx)
		server.CloseClientConnections()
		server.Close()
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	w.ddb = dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Retryer:     retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 200 * time.Millisecond }),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	w.db = w.mongo.Database(mongodbtest.Database(w.uri))
	w.users = w.db.Collection("users")
	if w.plan, err = plan.Parse("users.yaml", plans.Users); err != nil {
		t.Fatal(err)
	}
	w.plan.Budgets.Hold, w.plan.Budgets.Lag = longHold, time.Minute
	w.owners = ownership.NewTable(w.ddb, "")
	return w
}

// longHold is enough for a cut-over on any machine. So is a minute for the lag with which one
// may begin, which whoever follows has only as long as nobody else needs the processors.
const longHold = 30 * time.Second

// seed inserts n users with a unique index on email.
func (w *world) seed(n int) {
	w.t.Helper()
	if _, err := w.users.Indexes().CreateOne(w.ctx, mongo.IndexModel{Keys: bson.D{{Key: "email", Value: 1}},
		Options: options.Index().SetUnique(true)}); err != nil {
		w.t.Fatal(err)
	}
	for from := 0; from < n; from += 1000 {
		var docs []any
		for i := from; i < min(n, from+1000); i++ {
			docs = append(docs, user(i))
		}
		if _, err := w.users.InsertMany(w.ctx, docs); err != nil {
			w.t.Fatal(err)
		}
	}
}

func userID(i int) bson.ObjectID {
	var id bson.ObjectID
	copy(id[:], fmt.Sprintf("%012d", i))
	return id
}

func user(i int) bson.D {
	d := bson.D{{Key: "_id", Value: userID(i)}, {Key: "name", Value: fmt.Sprintf("User %d", i)}, {Key: "email", Value: fmt.Sprintf("u%d@example.com", i)},
		{Key: "password", Value: "$2a$04$not.a.real.hash.but.as.long.as.one.is.in.practice.000"}}
	if i%3 > 0 { // documents from before the service have neither
		d = append(d, bson.E{Key: "version", Value: int64(1)}, bson.E{Key: "createdAt", Value: time.UnixMilli(1600000000000 + int64(i)).UTC()})
	}
	return d
}

// streamsOf reads streams where a client reads tables.
func streamsOf(ddb *dynamodb.Client) *dynamodbstreams.Client {
	o := ddb.Options()
	return dynamodbstreams.New(dynamodbstreams.Options{Region: o.Region, BaseEndpoint: o.BaseEndpoint, HTTPClient: o.HTTPClient,
		Retryer: o.Retryer, Credentials: o.Credentials})
}

// engine is that of a process that no test kills, and no busy machine either.
func (w *world) engine(change ...func(*migrate.Config)) *migrate.Engine {
	w.t.Helper()
	cfg := migrate.Config{Plan: w.plan, Mongo: w.mongo, Dial: w.dial(nil), Database: w.db.Name(), DynamoDB: w.ddb, Streams: streamsOf(w.ddb),
		Lease: 15 * time.Second}
	for _, c := range change {
		c(&cfg)
	}
	e, err := migrate.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := e.Init(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// dial connects to MongoDB, over a link if there is one.
func (w *world) dial(l *linktest.Link) fence.Dial {
	return func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		o := options.Client().ApplyURI(w.uri).SetAppName(application)
		if host != "" {
			o.SetHosts([]string{host}).SetDirect(true)
		}
		if l != nil { // which may be killed, and is then not waited for
			dialer = l.Dialer(dialer)
			o.SetServerSelectionTimeout(5 * time.Second)
		}
		if dialer != nil {
			o.SetDialer(dialer)
		}
		return mongo.Connect(o)
	}
}

// process is an engine with its own connections, which go over a link.
func (w *world) process(l *linktest.Link, change ...func(*migrate.Config)) *migrate.Engine {
	w.t.Helper()
	dial := w.dial(l)
	client, err := dial("banyan-migrate users", "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	w.t.Cleanup(func() {
		l.Kill()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
		transport.CloseIdleConnections()
	})
	ddb := dynamodb.New(w.ddb.Options(), func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: l.RoundTripper(transport)} })
	return w.engine(append([]func(*migrate.Config){func(c *migrate.Config) {
		c.Mongo, c.Dial, c.DynamoDB, c.Streams, c.Lease = client, dial, ddb, streamsOf(ddb), 0
	}}, change...)...)
}

// willing accepts everything that an encapsulation asks an operator about.
var willing = migrate.EncapsulateOptions{Watch: time.Millisecond, NoMembers: true, AcceptUnseen: true, AcceptGap: true}

// encapsulate gives the collection a physical name, which users then is. It tries with
// more and more time while that was too short, as an operator would on a slow machine.
func (w *world) encapsulate() {
	w.t.Helper()
	for hold := w.plan.Budgets.Hold; ; hold *= 2 {
		_, err := w.engine(func(c *migrate.Config) {
			own := *w.plan
			own.Budgets.Hold = hold
			c.Plan = &own
		}).Encapsulate(w.ctx, willing)
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || hold >= longHold {
			w.t.Fatal(err)
		}
	}
	w.follow()
}

// follow makes users the collection under the name that it has now, as a member would.
func (w *world) follow() {
	w.users = w.db.Collection(cmp.Or(w.phase().Collection, w.plan.Source.Collection))
}

// scan reads a whole table.
func (w *world) scan(table string) []codec.Item {
	w.t.Helper()
	var all []codec.Item
	pages := dynamodb.NewScanPaginator(w.ddb, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page.Items...)
	}
	return all
}

func isTombstone(item codec.Item) bool {
	m, ok := item[codec.Reserved].(*types.AttributeValueMemberM)
	if !ok {
		return false
	}
	d, ok := m.Value["d"].(*types.AttributeValueMemberBOOL)
	return ok && d.Value
}

// mustBeEqual checks that the target holds exactly the documents of the given
// collections, later ones winning, and the unique table exactly their e-mails.
func (w *world) mustBeEqual(collections ...string) {
	w.t.Helper()
	want := map[string]bson.Raw{}
	for _, name := range collections {
		cur, err := w.db.Collection(name).Find(w.ctx, bson.D{})
		if err != nil {
			w.t.Fatal(err)
		}
		for cur.Next(w.ctx) {
			want[cur.Current.Lookup("_id").ObjectID().Hex()] = append(bson.Raw{}, cur.Current...)
		}
		if err := cur.Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	live, emails := 0, map[string]string{}
	for _, item := range w.scan("users") {
		id := item["id"].(*types.AttributeValueMemberS).Value
		if isTombstone(item) {
			if want[id] != nil {
				w.t.Errorf("user %s is a tombstone but lives in MongoDB", id)
			}
			continue
		}
		live++
		doc, err := w.plan.Codec().Decode(item)
		if err != nil {
			w.t.Errorf("user %s: %v", id, err)
			continue
		}
		if !bytes.Equal(doc, want[id]) {
			w.t.Errorf("user %s differs:\n%v\n%v", id, doc, want[id])
		}
		if email, ok := doc.Lookup("email").StringValueOK(); ok {
			emails["email#"+email] = id
		}
	}
	if live != len(want) {
		w.t.Errorf("%d items for %d documents", live, len(want))
	}
	entries := w.scan("users-unique")
	for _, entry := range entries {
		value := entry["value"].(*types.AttributeValueMemberS).Value
		if owner := entry["owner"].(*types.AttributeValueMemberS).Value; emails[value] != owner {
			w.t.Errorf("unique %q belongs to %q, want %q", value, owner, emails[value])
		}
	}
	if len(entries) != len(emails) {
		w.t.Errorf("%d unique entries for %d e-mails", len(entries), len(emails))
	}
}

func (w *world) phase() ownership.Record {
	w.t.Helper()
	r, err := w.owners.Load(w.ctx, w.plan.Entity)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// background runs fn until the returned function is called, which returns its
// error.
func background(ctx context.Context, fn func(context.Context) error) func() error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}
