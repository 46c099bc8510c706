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
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/acceptance"
	social "github.com/banyan-fig/banyan/services/social/acceptance"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/timeline"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

func TestSomethingIsDeployed(t *testing.T) {
	acceptance.RequireDeployed(t, social.UsersAPI, social.MobileAPI, social.TimelineAPI)
}

func TestUsers(t *testing.T) {
	api := social.UsersAPI.Deployed(t)
	if api == nil {
		api = newWorld(t).users
	}
	social.Users(t, api)
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
	if err := monolith.EnsureIndexes(t.Context(), mongoclient.Of(db)); err != nil {
		t.Fatal(err)
	}
	app, err := monolith.New(monolith.Config{Database: mongoclient.Of(db), Users: people, Publisher: publisher, Tokens: tokens})
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
	users.Publisher
	model *readmodel.Model
}

func (c consumed) Publish(ctx context.Context, e events.Event) (events.Position, error) {
	at, err := c.Publisher.Publish(ctx, e)
	if err == nil {
		err = c.model.Handle(ctx, consumers.Message{Event: e, Position: at})
	}
	if errors.Is(err, consumers.ErrStale) {
		err = nil // published again, for a request that was repeated
	}
	return at, err
}

// TestBothWaysAreTheSame: the cases over HTTP, against servers of the same handlers.
func TestBothWaysAreTheSame(t *testing.T) {
	acceptance.SkipIfDeployed(t, social.UsersAPI, social.MobileAPI, social.TimelineAPI)
	w := newWorld(t)
	overHTTP := func(api acceptance.Target) acceptance.Target {
		server := httptest.NewServer(acceptance.Unreliable(api))
		t.Cleanup(server.Close)
		return acceptance.URL(t, server.URL)
	}
	mobile := overHTTP(w.mobile)
	social.Users(t, overHTTP(w.users))
	social.Mobile(t, mobile)
	social.Timeline(t, overHTTP(w.timeline), mobile)
}
