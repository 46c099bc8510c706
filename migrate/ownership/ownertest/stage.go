package ownertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

// stage is two databases with a service and a migration.
type stage struct {
	ctx    context.Context
	t      testing.TB
	cfg    Config
	db     *mongo.Database
	tables *target.Tables
	owner  Owner
	// beforeWrite runs once, before the next write of the service to DynamoDB.
	beforeWrite func()
}

func newStage(ctx context.Context, t testing.TB, cfg Config) *stage {
	t.Helper()
	s := &stage{ctx: ctx, t: t, cfg: cfg}
	if cfg.MongoDB == "" {
		server, err := mongodb.Start(mongodb.Config{})
		s.do(err)
		t.Cleanup(func() { _ = server.Close() })
		s.cfg.MongoDB = server.URI()
	}
	if cfg.DynamoDB == nil {
		s.cfg.DynamoDB = startDynamoDB(t)
	}
	s.db = s.connect(s.cfg.MongoDB)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ruleTimeout)
		defer cancel()
		if err := s.db.Drop(ctx); err != nil {
			t.Error(err)
		}
	})
	s.do(s.db.CreateCollection(ctx, cfg.Plan.Source.Collection))
	s.tables = &target.Tables{Plan: cfg.Plan, Client: s.cfg.DynamoDB}
	s.deleteTables(ctx)
	_, err := s.tables.Ensure(ctx)
	s.do(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ruleTimeout)
		defer cancel()
		s.deleteTables(ctx)
	})
	s.owner = s.open(s.db)
	return s
}

// open makes the service's stores, whose writes to DynamoDB can be intercepted.
func (s *stage) open(db *mongo.Database) Owner {
	writes := []string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
	intercept := middleware.InitializeMiddlewareFunc("BeforeWrite", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		if before := s.beforeWrite; before != nil && slices.Contains(writes, middleware.GetOperationName(ctx)) {
			s.beforeWrite = nil
			before()
		}
		return next.HandleInitialize(ctx, in)
	})
	client := awsdynamodb.New(s.cfg.DynamoDB.Options(), func(o *awsdynamodb.Options) {
		o.APIOptions = append(slices.Clip(o.APIOptions), func(stack *middleware.Stack) error {
			return stack.Initialize.Add(intercept, middleware.After)
		})
	})
	return s.cfg.Open(s.t, db, client)
}

func startDynamoDB(t testing.TB) *awsdynamodb.Client {
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	transport := &http.Transport{}
	t.Cleanup(server.Close)
	t.Cleanup(transport.CloseIdleConnections)
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

// connect opens a client of its own on a database of the kit's.
func (s *stage) connect(uri string) *mongo.Database {
	s.t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	s.do(err)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	if s.db != nil {
		return client.Database(s.db.Name())
	}
	return client.Database("banyan_ownertest_" + uuid.NewString()[:8])
}

func (s *stage) deleteTables(ctx context.Context) {
	s.t.Helper()
	for _, in := range s.cfg.Plan.TableInputs() {
		s.do(s.deleteTable(ctx, *in.TableName))
	}
}

// do ends the test where the databases themselves fail, or what is not the service's.
func (s *stage) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// The names that the collection has one after the other.
func (s *stage) public() string        { return s.cfg.Plan.Source.Collection }
func (s *stage) physical(n int) string { return fmt.Sprintf("%s__banyan_g%d", s.public(), n) }

// encapsulate gives the collection its first physical name, and returns the grant of it.
func (s *stage) encapsulate() ownership.Grant {
	s.t.Helper()
	s.rename(s.public(), s.physical(1))
	s.view(s.public(), s.physical(1))
	specs, err := s.db.ListCollectionSpecifications(s.ctx, bson.D{{Key: "name", Value: s.physical(1)}})
	s.do(err)
	if len(specs) != 1 || specs[0].UUID == nil {
		s.t.Fatalf("%s is listed as %v, without a UUID", s.physical(1), specs)
	}
	return ownership.Grant{
		Owner: ownership.MongoDB, Epoch: 1, Collection: s.physical(1), CollectionUUID: fmt.Sprintf("%x", specs[0].UUID.Data),
	}
}

func (s *stage) rename(from, to string) {
	s.t.Helper()
	s.do(s.db.Client().Database("admin").RunCommand(s.ctx, bson.D{
		{Key: "renameCollection", Value: s.db.Name() + "." + from}, {Key: "to", Value: s.db.Name() + "." + to},
	}).Err())
}

func (s *stage) view(name, on string) {
	s.t.Helper()
	s.do(s.db.CreateView(s.ctx, name, on, mongo.Pipeline{}))
}

// stray makes a collection under a name as somebody's late write does.
func (s *stage) stray(name string) {
	s.t.Helper()
	_, err := s.db.Collection(name).InsertOne(s.ctx, bson.D{{Key: "_id", Value: "a stray"}})
	s.do(err)
}

// documents are those of a collection.
func (s *stage) documents(name string) []bson.Raw {
	s.t.Helper()
	cursor, err := s.db.Collection(name).Find(s.ctx, bson.D{})
	s.do(err)
	var docs []bson.Raw
	s.do(cursor.All(s.ctx, &docs))
	return docs
}

// content is all that collections, but not views, hold, by name.
func (s *stage) content() map[string][]bson.Raw {
	s.t.Helper()
	names, err := s.db.ListCollectionNames(s.ctx, bson.D{{Key: "type", Value: "collection"}})
	s.do(err)
	all := map[string][]bson.Raw{}
	for _, name := range names {
		if name != "system.views" {
			all[name] = s.documents(name)
		}
	}
	return all
}

func sameContent(a, b map[string][]bson.Raw) bool {
	return maps.EqualFunc(a, b, func(x, y []bson.Raw) bool {
		return slices.EqualFunc(x, y, func(v, w bson.Raw) bool { return string(v) == string(w) })
	})
}

// expectFenced returns an error unless an operation was fenced.
func expectFenced(what string, err error) error {
	if errors.Is(err, ownership.ErrFenced) {
		return nil
	}
	return fmt.Errorf("%s = %v, want an error that wraps ownership.ErrFenced", what, err)
}

// itemOf reads the item of a key.
func (s *stage) itemOf(e target.Entry) codec.Item {
	s.t.Helper()
	items, _, err := s.tables.Get(s.ctx, keysOf(e), make([][]string, len(s.cfg.Plan.Unique)))
	s.do(err)
	for _, item := range items {
		return item
	}
	return nil
}
