package entitytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	sandboxkinesis "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
	"github.com/banyan-fig/banyan/migrate/verify"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

const (
	patience     = 2 * time.Minute // with a machine that is busy
	controlTable = "banyan-entitytest-control"
	streamName   = "banyan-entitytest"
)

// world is both databases, a stream, and a migration between them.
type world struct {
	cfg      Config
	uri      string
	db       *mongo.Database
	dynamoDB *awsdynamodb.Client
	owners   *ownership.Table
	stream   *awskinesis.Client
	engine   *migrate.Engine
	bytes    bool // MongoDB compares texts by their bytes
	// instances are those of the cases.
	instances []*instance
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	own := *cfg.Plan // the holds are not what is tried here
	own.Budgets.Hold = time.Minute
	own.Acknowledge = append(slices.Clone(own.Acknowledge), "ttl-unique") // which the store sees to
	cfg.Plan = &own
	w := &world{cfg: cfg, uri: cfg.MongoDB, dynamoDB: cfg.DynamoDB}
	if w.uri == "" {
		server, err := mongodb.Start(mongodb.Config{})
		must(t, err)
		t.Cleanup(func() { _ = server.Close() })
		w.uri = server.URI()
	}
	if w.dynamoDB == nil {
		server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
		t.Cleanup(server.Close)
		w.dynamoDB = awsdynamodb.New(awsdynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: httpClient(t, nil),
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	}
	client, err := w.dial(nil)("banyan-migrate test", "", nil)
	must(t, err)
	w.db = client.Database("banyan_entitytest_" + uuid.NewString()[:8])
	w.owners = ownership.NewTable(w.dynamoDB, controlTable)
	w.deleteTables(t)
	t.Cleanup(func() {
		w.deleteTables(t)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		must(t, errors.Join(w.db.Drop(ctx), client.Disconnect(ctx)))
	})
	must(t, w.db.CreateCollection(t.Context(), own.Source.Collection))
	w.createIndexes(t)
	w.startStream(t)
	w.engine, err = migrate.New(migrate.Config{Plan: &own, Mongo: client, Dial: w.dial(nil), Database: w.db.Name(), DynamoDB: w.dynamoDB,
		Streams: w.streams(), ControlTable: controlTable, Lease: time.Minute})
	must(t, err)
	must(t, w.engine.Init(t.Context()))
	_, err = (&target.Tables{Plan: &own, Client: w.dynamoDB}).Ensure(t.Context())
	must(t, err)
	if own.Outbox.Table != "" {
		must(t, outboxtable.Ensure(t.Context(), w.dynamoDB, own.Outbox.Table))
	}
	return w
}

// createIndexes makes the unique indexes of lowered texts, by bytes where the server has no
// collations of indexes: then a service has to lower its texts.
func (w *world) createIndexes(t *testing.T) {
	t.Helper()
	for i := range w.cfg.Plan.Unique {
		u := &w.cfg.Plan.Unique[i]
		if u.Collation != plan.CollationLower {
			continue
		}
		keys, filter := bson.D{}, u.Filter()
		for _, name := range u.Names() {
			keys, filter = append(keys, bson.E{Key: name, Value: 1}), append(filter, bson.E{Key: name, Value: bson.D{{Key: "$exists", Value: true}}})
		}
		create := func(o *options.IndexOptionsBuilder) error {
			_, err := w.db.Collection(w.cfg.Plan.Source.Collection).Indexes().CreateOne(t.Context(),
				mongo.IndexModel{Keys: keys, Options: o.SetUnique(true).SetPartialFilterExpression(filter)})
			return err
		}
		if create(options.Index().SetCollation(&options.Collation{Locale: "en", Strength: 2})) != nil {
			w.bytes = true
			must(t, create(options.Index()))
		}
	}
}

// httpClient has connections that end with the test.
func httpClient(t *testing.T, over func(http.RoundTripper) http.RoundTripper) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	if over == nil {
		return &http.Client{Transport: transport}
	}
	return &http.Client{Transport: over(transport)}
}

// dial connects to MongoDB, by way of a dialer if there is one.
func (w *world) dial(over options.ContextDialer) fence.Dial {
	return func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		o := options.Client().ApplyURI(w.uri).SetAppName(application)
		if host != "" {
			o.SetHosts([]string{host}).SetDirect(true)
		}
		if dialer == nil {
			dialer = over
		}
		if dialer != nil {
			o.SetDialer(dialer)
		}
		return mongo.Connect(o)
	}
}

func (w *world) streams() *dynamodbstreams.Client {
	o := w.dynamoDB.Options()
	return dynamodbstreams.New(dynamodbstreams.Options{Region: o.Region, BaseEndpoint: o.BaseEndpoint, HTTPClient: o.HTTPClient,
		Credentials: o.Credentials})
}

func (w *world) startStream(t *testing.T) {
	t.Helper()
	server, err := sandboxkinesis.New(sandboxkinesis.Config{Transition: time.Millisecond})
	must(t, err)
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	w.stream = streamtest.NewClient(front.URL, transport)
	must(t, streamtest.Create(t.Context(), w.stream, streamName, 1))
}

// publisher is one that ends with the test.
func (w *world) publisher(t *testing.T) *kinesis.Publisher {
	t.Helper()
	p, err := kinesis.New(t.Context(), kinesis.Config{Client: w.stream, Stream: streamName})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		must(t, p.Close(ctx))
	})
	return p
}

func (w *world) deleteTables(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	names := []string{controlTable, w.cfg.Plan.Outbox.Table}
	for _, in := range w.cfg.Plan.TableInputs() {
		names = append(names, *in.TableName)
	}
	for _, name := range slices.DeleteFunc(names, func(name string) bool { return name == "" }) {
		_, err := w.dynamoDB.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &name})
		if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
			continue
		}
		must(t, err)
		must(t, awsdynamodb.NewTableNotExistsWaiter(w.dynamoDB).Wait(ctx, &awsdynamodb.DescribeTableInput{TableName: &name}, patience))
	}
}

// setOwner makes a database the owner of an entity that has no documents.
func (w *world) setOwner(t *testing.T, owner ownership.Store) {
	t.Helper()
	w.change(t, func(r *ownership.Record) {
		if r.Owner != owner {
			r.Owner, r.Phase = owner, ownership.Switched
			r.Epoch++
		}
	})
}

// change changes the ownership record.
func (w *world) change(t *testing.T, change func(*ownership.Record)) ownership.Record {
	t.Helper()
	for {
		r, err := w.owners.Load(t.Context(), w.cfg.Plan.Entity)
		must(t, err)
		r, err = w.owners.Update(t.Context(), r, change)
		if !errors.Is(err, ownership.ErrConflict) {
			must(t, err)
			return r
		}
	}
}

// beginMigration copies what there is, and follows until the test ends.
func (w *world) beginMigration(t *testing.T) {
	t.Helper()
	insist(t, "encapsulate", func(ctx context.Context) error {
		_, err := w.engine.Encapsulate(ctx, migrate.EncapsulateOptions{Watch: time.Millisecond, NoMembers: true, AcceptUnseen: true, AcceptGap: true})
		return err
	})
	must(t, w.engine.Run(t.Context(), migrate.RunOptions{UntilShadowing: true}))
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		if err := w.engine.Run(ctx, migrate.RunOptions{}); err != nil && ctx.Err() == nil {
			t.Error("run:", err)
		}
	})
	t.Cleanup(func() { cancel(); following.Wait() })
}

// changeOwner makes the other database the owner.
func (w *world) changeOwner(t *testing.T) {
	t.Helper()
	r, err := w.owners.Load(t.Context(), w.cfg.Plan.Entity)
	must(t, err)
	change := w.engine.Cutover
	if r.Owner == ownership.DynamoDB {
		change = w.engine.Rollback
	}
	insist(t, "change the owner", func(ctx context.Context) error {
		if err := w.compare(ctx, t); err != nil {
			return err
		}
		_, err := change(ctx, cutover.Options{})
		return err
	})
}

// compare compares both databases, as the migration does.
func (w *world) compare(ctx context.Context, t *testing.T) error {
	found, err := w.engine.Verify(ctx, verify.Options{Report: func(m side.Mismatch) { t.Logf("mismatch: %+v", m) }})
	if err == nil && found.Mismatches > 0 {
		err = fmt.Errorf("%d mismatches", found.Mismatches)
	}
	return err
}

// insist does what can fail for a moment, as an operator who does not give up.
func insist(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := do(ctx)
		if err == nil {
			return
		}
		if waitErr := (backoff.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}).Wait(ctx, attempt); waitErr != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// insert puts a document into MongoDB that is from before the service.
func (w *world) insert(t *testing.T, doc bson.Raw) {
	t.Helper()
	_, err := w.db.Collection(w.cfg.Plan.Source.Collection).InsertOne(t.Context(), doc)
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what takes its time.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: still not so after %v", what, patience)
		}
	}
}
