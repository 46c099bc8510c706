package follow_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/proxy/follow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is the network before the control table.
type wire struct {
	http.RoundTripper
	cut atomic.Bool
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		return nil, errors.New("the network is away")
	}
	return w.RoundTripper.RoundTrip(req)
}

// world is a control table in which writes of users are held, and records that are read from
// it over a network that can go away.
type world struct {
	table   *ownership.Table
	client  *awsdynamodb.Client
	network *wire
	records *follow.Records
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := func(rt http.RoundTripper) *awsdynamodb.Client {
		return awsdynamodb.New(awsdynamodb.Options{
			Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: rt},
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		})
	}
	w := &world{client: client(transport), network: &wire{RoundTripper: transport}}
	w.table = ownership.NewTable(w.client, "")
	if err := w.table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec, err := w.table.Load(t.Context(), "users")
	if err == nil {
		_, err = w.table.Update(t.Context(), rec, func(r *ownership.Record) {
			r.Phase, r.Hold, r.HoldUntil = ownership.Switching, true, time.Now().Add(time.Hour)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.records = follow.New(follow.Config{
		Every: 2 * time.Millisecond, MaxStale: 300 * time.Millisecond,
		Open: func(context.Context) (*ownership.Table, error) { return ownership.NewTable(client(w.network), ""), nil },
	})
	t.Cleanup(w.records.Close)
	if err := w.records.Use(t.Context(), []string{"posts", "users"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// wait has a write wait, and returns what becomes of it.
func (w *world) wait(t *testing.T) <-chan error {
	t.Helper()
	out := make(chan error, 1)
	begin := func() { go func() { out <- w.records.Wait(context.Background(), "users", time.Hour, 1) }() }
	begin()
	eventually.True(t, "a wait", func() bool {
		select {
		case <-out: // the last reading was too long ago, on a machine that is busy
			begin()
		default:
		}
		return w.state().Waiting == 1
	})
	return out
}

func (w *world) state() follow.State { s, _ := w.records.State("users"); return s }

// A control table that is away moves no route, and holds no write for longer than MaxStale;
// one that was replaced is told, and not believed.
func TestControlTableGoesAway(t *testing.T) {
	w := newWorld(t)
	waited := w.wait(t)
	w.network.cut.Store(true)
	if err := <-waited; err != nil {
		t.Errorf("a write that waited when the table went away: %v", err)
	}
	eventually.True(t, "a complaint", func() bool { return w.state().Error != "" })
	if s := w.state(); s.Phase != ownership.Switching || s.Held {
		t.Errorf("while the table is away: %+v", s)
	}
	w.network.cut.Store(false)
	eventually.True(t, "the hold again", func() bool { return w.state().Error == "" && w.state().Held })

	name := w.table.Name()
	if _, err := w.client.DeleteItem(t.Context(), &awsdynamodb.DeleteItemInput{TableName: &name, Key: dynamo.Key("entity#users", "owner")}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a complaint", func() bool { return w.state().Error != "" })
	if s := w.state(); s.Phase != ownership.Switching {
		t.Errorf("a table that was replaced is believed: %+v", s)
	}
}

// Who waits for an entity that no route follows any more waits no longer.
func TestAnEntityIsGivenUp(t *testing.T) {
	w := newWorld(t)
	waited := w.wait(t)
	if err := w.records.Use(t.Context(), []string{"posts"}); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("given up: %v", err)
	}
	if all := w.records.States(); len(all) != 1 || all[0].Entity != "posts" {
		t.Errorf("%+v", all)
	}
}
