package acceptance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/services/acceptance"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	social "github.com/banyan-fig/banyan/services/social/acceptance"
	"github.com/banyan-fig/banyan/services/social/internal/servicetest"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/timeline"
	"github.com/banyan-fig/banyan/services/social/users/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

var all = []acceptance.API{social.UsersAPI, social.RelationshipsAPI, social.PostsAPI, social.MobileAPI, social.TimelineAPI}

func TestSomethingIsDeployed(t *testing.T) {
	acceptance.RequireDeployed(t, all...)
}

func TestUsers(t *testing.T) {
	api := social.UsersAPI.Deployed(t)
	if api == nil {
		api = newWorld(t).users
	}
	social.Users(t, api)
}

func TestRelationships(t *testing.T) {
	api := social.RelationshipsAPI.Deployed(t)
	if api == nil {
		w, _ := servicetest.New(t)
		api = acceptance.URL(t, w.ServeRelationships(t))
	}
	social.Relationships(t, api)
}

func TestPosts(t *testing.T) {
	api := social.PostsAPI.Deployed(t)
	if api == nil {
		w, _ := servicetest.New(t)
		api = acceptance.URL(t, w.ServePosts(t))
	}
	social.Posts(t, api)
}

func TestMobile(t *testing.T) {
	api := social.MobileAPI.Deployed(t)
	if api == nil {
		api = newWorld(t).mobile
	}
	social.Mobile(t, api)
}

func TestTimeline(t *testing.T) {
	api := social.TimelineAPI.Deployed(t)
	if api == nil {
		w := newWorld(t)
		social.Timeline(t, w.timeline, w.mobile)
		return
	}
	if os.Getenv(social.MobileAPI.Variable) == "" {
		t.Fatalf("%s needs %s too: posts come by the mobile API", social.TimelineAPI.Variable, social.MobileAPI.Variable)
	}
	social.Timeline(t, api, social.MobileAPI.Deployed(t))
}

// world is all of it in this process, on sandboxes.
type world struct {
	users, mobile, timeline acceptance.Target
	tables                  *dynamodb.Client
}

const (
	timelines = "timelines" // the table
	secret    = "a secret of at least thirty-two bytes"
)

func newWorld(t *testing.T) world {
	t.Helper()
	db, tables := userstest.Mongo(t), userstest.Dynamo(t)
	if _, err := tables.CreateTable(t.Context(), readmodel.TableInput(timelines)); err != nil {
		t.Fatal(err)
	}
	model, err := readmodel.New(readmodel.Config{Client: tables, Table: timelines})
	if err != nil {
		t.Fatal(err)
	}
	publisher := consumed{userstest.NewStream(t).Publisher, model}
	instance := userstest.NewInstance(t, db, tables, publisher)
	people, err := client.New(client.Config{BaseURL: instance.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(people.Close)
	tokens, err := token.New(token.Config{Secret: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	others := servicetest.World{Mongo: db, Tables: tables, Publisher: publisher}
	app, err := monolith.New(monolith.Config{Users: people, Relationships: others.Relationships(t), Posts: others.Posts(t), Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	reader, err := timeline.NewHandler(timeline.Config{Reader: readmodel.NewReader(tables, timelines), Tokens: tokens, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return world{
		users: acceptance.Handler(instance.Handler), mobile: acceptance.Handler(monolith.NewHandler(app, log)),
		timeline: acceptance.Handler(reader), tables: tables,
	}
}

// consumed hands each event to the read model once it is on the stream, as the
// consumer does a moment later.
type consumed struct {
	backbone.Publisher
	model *readmodel.Model
}

func (c consumed) Publish(ctx context.Context, e events.Event) (events.Position, error) {
	at, err := c.Publisher.Publish(ctx, e)
	if err == nil {
		err = c.consume(ctx, e, at)
	}
	return at, err
}

func (c consumed) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	receipt, err := c.Publisher.EnqueueEncoded(ctx, key, data)
	if err != nil {
		return nil, err
	}
	at, err := receipt.Wait(ctx)
	if err != nil {
		return receipt, nil
	}
	e, err := events.Decode(data)
	if err == nil {
		err = c.consume(ctx, e, at)
	}
	return receipt, err
}

func (c consumed) consume(ctx context.Context, e events.Event, at events.Position) error {
	err := c.model.Handle(ctx, consumers.Message{Event: e, Position: at})
	if errors.Is(err, consumers.ErrStale) {
		err = nil // published again, for a request that was repeated
	}
	return err
}

// TestBothWaysAreTheSame: the cases over HTTP, against servers of the same handlers.
func TestBothWaysAreTheSame(t *testing.T) {
	acceptance.SkipIfDeployed(t, all...)
	w := newWorld(t)
	overHTTP := func(api acceptance.Target) acceptance.Target {
		server := httptest.NewServer(acceptance.Unreliable(api))
		t.Cleanup(server.Close)
		return acceptance.URL(t, server.URL)
	}
	mobile := overHTTP(w.mobile)
	social.Users(t, overHTTP(w.users))
	others, _ := servicetest.New(t)
	social.Relationships(t, overHTTP(acceptance.URL(t, others.ServeRelationships(t))))
	social.Posts(t, overHTTP(acceptance.URL(t, others.ServePosts(t))))
	social.Mobile(t, mobile)
	social.Timeline(t, overHTTP(w.timeline), mobile)
}
