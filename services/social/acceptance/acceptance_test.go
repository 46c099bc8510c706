package acceptance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/social/acceptance"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/timeline"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// The variables that choose, see the package comment.
const (
	mode        = "BANYAN_ACCEPTANCE"
	usersURL    = acceptance.UsersVariable
	mobileURL   = acceptance.MobileVariable
	timelineURL = acceptance.TimelineVariable
)

// deployed is the API at the variable's URL, nil if it is to run in this process.
func deployed(t *testing.T, variable string) acceptance.Target {
	t.Helper()
	if url := os.Getenv(variable); url != "" {
		return acceptance.URL(t, url)
	}
	switch os.Getenv(mode) {
	case "http":
		t.Skipf("%s is not set", variable)
	case "", "direct":
	default:
		t.Fatalf("%s must be http or direct, not %q", mode, os.Getenv(mode))
	}
	return nil
}

func TestSomethingIsDeployed(t *testing.T) {
	if os.Getenv(mode) == "http" && os.Getenv(usersURL)+os.Getenv(mobileURL)+os.Getenv(timelineURL) == "" {
		t.Errorf("%s=http, but none of %s, %s and %s is set", mode, usersURL, mobileURL, timelineURL)
	}
}

func TestUsers(t *testing.T) {
	api := deployed(t, usersURL)
	if api == nil {
		api = newWorld(t).users
	}
	acceptance.Users(t, api)
}

func TestMobile(t *testing.T) {
	api := deployed(t, mobileURL)
	if api == nil {
		api = newWorld(t).mobile
	}
	acceptance.Mobile(t, api)
}

func TestTimeline(t *testing.T) {
	api := deployed(t, timelineURL)
	if api == nil {
		w := newWorld(t)
		acceptance.Timeline(t, w.timeline, w.mobile)
		return
	}
	if os.Getenv(mobileURL) == "" {
		t.Fatalf("%s needs %s too: posts come by the mobile API", timelineURL, mobileURL)
	}
	acceptance.Timeline(t, api, deployed(t, mobileURL))
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
	return world{acceptance.Handler(instance.Handler), acceptance.Handler(monolith.NewHandler(app, log)), acceptance.Handler(reader), tables}
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
		err = nil // told again, for a request that was repeated
	}
	return at, err
}

// directOnly skips where it is deployed APIs that are to be tested.
func directOnly(t *testing.T) {
	t.Helper()
	for _, variable := range []string{mode, usersURL, mobileURL, timelineURL} {
		if os.Getenv(variable) != "" {
			t.Skip("a deployed API is tested")
		}
	}
}

// TestBothWaysAreTheSame: the cases over HTTP, against servers of the same handlers.
func TestBothWaysAreTheSame(t *testing.T) {
	directOnly(t)
	w := newWorld(t)
	over := func(target acceptance.Target) acceptance.Target {
		return acceptance.URL(t, serve(t, target))
	}
	mobile := over(w.mobile)
	acceptance.Users(t, over(w.users))
	acceptance.Mobile(t, mobile)
	acceptance.Timeline(t, over(w.timeline), mobile)
}

// gateway puts a target behind HTTP, and refuses every third request as a gateway
// of a stage does now and then.
type gateway struct {
	target acceptance.Target
	count  chan int
}

func (g gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := <-g.count
	g.count <- n + 1
	if n%3 == 0 && r.Method == http.MethodGet {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	res, err := g.target.Do(r)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	defer func() { _ = res.Body.Close() }()
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}
