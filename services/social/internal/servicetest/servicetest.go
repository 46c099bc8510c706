// Package servicetest runs the services of the example in tests, on the sandbox.
package servicetest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/jsonclient"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/posts"
	postsclient "github.com/banyan-fig/banyan/services/social/posts/client"
	"github.com/banyan-fig/banyan/services/social/relationships"
	relationshipsclient "github.com/banyan-fig/banyan/services/social/relationships/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// World is what services run on.
type World struct {
	Mongo     *mongo.Database
	Tables    *awsdynamodb.Client
	Publisher backbone.Publisher
}

// New makes a World that ends with the test, and its stream.
func New(t *testing.T) (World, *userstest.Stream) {
	t.Helper()
	stream := userstest.NewStream(t)
	return World{Mongo: userstest.Mongo(t), Tables: userstest.Dynamo(t), Publisher: stream.Publisher}, stream
}

// ServeRelationships starts an instance of the relationships service.
func (w World) ServeRelationships(t *testing.T) (url string) {
	t.Helper()
	return w.serve(t, plans.Relationships, func(b *backbone.Backbone) http.Handler {
		return relationships.NewHandler(relationships.New(relationships.Config{Store: b.Store, Publisher: w.Publisher}), discard)
	})
}

// ServePosts starts an instance of the posts service.
func (w World) ServePosts(t *testing.T) (url string) {
	t.Helper()
	return w.serve(t, plans.Posts, func(b *backbone.Backbone) http.Handler { return posts.NewHandler(posts.New(b.Store, nil), discard) })
}

// Relationships starts an instance of the relationships service, and returns a client of it.
func (w World) Relationships(t *testing.T) *relationshipsclient.Client {
	t.Helper()
	c, err := relationshipsclient.New(jsonclient.Config{BaseURL: w.ServeRelationships(t)})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// Posts starts an instance of the posts service, and returns a client of it.
func (w World) Posts(t *testing.T) *postsclient.Client {
	t.Helper()
	c, err := postsclient.New(jsonclient.Config{BaseURL: w.ServePosts(t)})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

var discard = slog.New(slog.DiscardHandler)

// Own makes a database the owner of an entity that has no service yet, with its tables.
func (w World) Own(t *testing.T, text []byte, owner ownership.Store) {
	t.Helper()
	p, control := parse(t, text), ownership.NewTable(w.Tables, "")
	must(t, control.Ensure(t.Context()))
	for _, table := range p.TableInputs() {
		_, err := w.Tables.CreateTable(t.Context(), table)
		must(t, err)
	}
	r, err := control.Load(t.Context(), p.Entity)
	must(t, err)
	_, err = control.Update(t.Context(), r, func(r *ownership.Record) {
		if r.Owner != owner {
			r.Owner, r.Phase = owner, ownership.Switched
			r.Epoch++
		}
	})
	must(t, err)
}

// serve starts the service of an entity, which ends with the test.
func (w World) serve(t *testing.T, text []byte, api func(*backbone.Backbone) http.Handler) (url string) {
	t.Helper()
	must(t, ownership.NewTable(w.Tables, "").Ensure(t.Context()))
	b, err := backbone.New(t.Context(), backbone.Parts{
		Plan: parse(t, text), MongoDB: mongoclient.Of(w.Mongo), DynamoDB: w.Tables, Publisher: w.Publisher,
	})
	must(t, err)
	t.Cleanup(func() { must(t, b.Close(context.Background())) })
	server := httptest.NewServer(api(b))
	t.Cleanup(server.Close)
	return server.URL
}

func parse(t *testing.T, text []byte) *plan.Plan {
	t.Helper()
	p, err := plan.Parse("plan.yaml", text)
	must(t, err)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
