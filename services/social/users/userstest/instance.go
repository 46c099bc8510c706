package userstest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/dynamodb"
	"github.com/banyan-fig/banyan/services/social/users/mongodb"
)

// Instance is a running users service with both stores.
type Instance struct {
	URL     string
	Handler http.Handler // what serves there
	Member  *ownership.Member
	Control *ownership.Table
}

// NewInstance starts one that ends with the test. The control table is made.
func NewInstance(t *testing.T, db *mongo.Database, tables *awsdynamodb.Client, publisher users.Publisher) *Instance {
	t.Helper()
	control := ownership.NewTable(tables, "")
	if err := control.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	member, err := ownership.Join(t.Context(), ownership.MemberConfig{Table: control, Entity: "users"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := member.Leave(ctx); err != nil {
			t.Error(err)
		}
	})
	old := mongodb.New(mongoclient.Of(db))
	if err := old.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	service, err := users.New(users.Config{
		Ownership: member, Publisher: publisher, BcryptCost: bcrypt.MinCost,
		Stores: map[ownership.Store]users.Store{ownership.MongoDB: old, ownership.DynamoDB: newStore(t, tables)},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler := users.NewHandler(service, users.HandlerConfig{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Instance{URL: server.URL, Handler: handler, Member: member, Control: control}
}

// newStore keeps events as the service does. The outbox is made.
func newStore(t *testing.T, tables *awsdynamodb.Client) *dynamodb.Store {
	t.Helper()
	if err := outboxtable.Ensure(t.Context(), tables, dynamodb.DefaultOutboxTable); err != nil {
		t.Fatal(err)
	}
	cleaner := outboxtable.NewCleaner(tables, dynamodb.DefaultOutboxTable)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := cleaner.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return dynamodb.New(tables, "", "").WithOutbox(dynamodb.Outbox{Table: dynamodb.DefaultOutboxTable, Forget: cleaner.Forget})
}
