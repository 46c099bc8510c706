// Package userstest has what the users service is tested on: databases, a stream, and instances.
package userstest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/users"
)

// Instance is a running users service.
type Instance struct {
	URL     string
	Handler http.Handler // what serves there
	Member  *ownership.Member
	Control *ownership.Table
}

// NewInstance starts one that ends with the test. The control table and the outbox are made.
func NewInstance(t *testing.T, db *mongo.Database, tables *awsdynamodb.Client, publisher backbone.Publisher) *Instance {
	t.Helper()
	control := ownership.NewTable(tables, "")
	if err := control.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := backbone.New(t.Context(), backbone.Parts{Plan: Plan(t), MongoDB: mongoclient.Of(db), DynamoDB: tables, Publisher: publisher})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	service, err := users.New(b.Store, bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	handler := users.NewHandler(service, slog.New(slog.DiscardHandler))
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Instance{URL: server.URL, Handler: handler, Member: b.Member, Control: control}
}

// Plan is the users' plan.
func Plan(t testing.TB) *plan.Plan {
	t.Helper()
	p, err := plan.Parse("users.yaml", plans.Users)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Store is the users of both databases, without an outbox. Each operation is under the grant of its context,
// see Under, and returns what the database says to that.
func Store(t testing.TB, db *mongo.Database, tables *awsdynamodb.Client) entity.Typed[users.User] {
	t.Helper()
	p := Plan(t)
	store, err := entity.New(entity.Config{
		Plan: p, Member: fromContext{}, MongoDB: mongodb.New(mongoclient.Of(db), p, fromContext{}), DynamoDB: dynamodb.New(tables, p),
	})
	if err != nil {
		t.Fatal(err)
	}
	return entity.Of[users.User](store)
}

type grantKey struct{}

// Under has operations of a Store be under a grant.
func Under(ctx context.Context, g ownership.Grant) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// fromContext is an entity.Member that admits everything.
type fromContext struct{}

func (fromContext) Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return fn(ctx, ctx.Value(grantKey{}).(ownership.Grant))
}

func (m fromContext) Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return m.Read(ctx, fn)
}

func (fromContext) Record() ownership.Record { return ownership.Record{} }

// User is a valid user made from a number.
func User(n int) users.User {
	return users.User{
		ID: fmt.Sprintf("59b99db4cfa9a34d%08x", n), Name: fmt.Sprint("Name ", n), Email: fmt.Sprintf("user%d@example.org", n),
		PasswordHash: "hash", Version: 1, CreatedAt: time.Date(2020, 1, 2, 3, 4, 5, 6e6, time.UTC),
	}
}

// ID is a user's as the store has it.
func ID(hex string) bson.ObjectID {
	id, _ := bson.ObjectIDFromHex(hex) // what is none is nobody's
	return id
}
