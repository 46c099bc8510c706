package monolith_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/social/internal/servicetest"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/users/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret of at least thirty-two bytes"

// world is a database, a stream, and so many instances of everything.
type world struct {
	t         *testing.T
	db        *mongo.Database
	tables    *awsdynamodb.Client
	stream    *userstest.Stream
	instances []*userstest.Instance
	urls      []string // of the monoliths
	http      *http.Client
}

func newWorld(t *testing.T, instances int) *world {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{
		t: t, db: userstest.Mongo(t), tables: userstest.Dynamo(t), stream: userstest.NewStream(t),
		http: &http.Client{Transport: transport, Timeout: 2 * time.Minute},
	}
	for range instances {
		w.addInstance()
	}
	return w
}

func (w *world) addInstance() {
	w.t.Helper()
	i := userstest.NewInstance(w.t, w.db, w.tables, w.stream.Publisher)
	people, err := client.New(client.Config{BaseURL: i.URL, Timeout: time.Minute, AttemptTimeout: 30 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(people.Close)
	tokens, err := token.New(token.Config{Secret: []byte(secret)})
	if err != nil {
		w.t.Fatal(err)
	}
	others := servicetest.World{Mongo: w.db, Tables: w.tables, Publisher: w.stream.Publisher}
	app, err := monolith.New(monolith.Config{Users: people, Relationships: others.Relationships(w.t), Posts: others.Posts(w.t), Tokens: tokens})
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewServer(monolith.NewHandler(app, slog.New(slog.NewTextHandler(io.Discard, nil))))
	w.t.Cleanup(server.Close)
	w.instances, w.urls = append(w.instances, i), append(w.urls, server.URL)
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) data(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(r.body, &struct {
		Data any `json:"data"`
	}{into}); err != nil {
		t.Errorf("%v in %s", err, r.body)
	}
}

// ask sends a request to the n-th monolith.
func (w *world) ask(n int, method, path, token, body string) reply {
	w.t.Helper()
	req, err := http.NewRequest(method, w.urls[n%len(w.urls)]+path, bytes.NewBufferString(body))
	if err != nil {
		w.t.Error(err)
		return reply{}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Error(err)
		return reply{}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Error(err)
	}
	return reply{res.StatusCode, res.Header, text}
}

// account is a registered user.
type account struct {
	User struct {
		ID   string `json:"user_id"`
		Name string `json:"display_name"`
	} `json:"user"`
	Token string `json:"token"`
}

func (w *world) register(n int, name, mail string) account {
	w.t.Helper()
	r := w.ask(n, "POST", "/api/v1/users", "", `{"display_name":"`+name+`","mail":"`+mail+`","password":"pw"}`)
	if r.status != http.StatusCreated {
		w.t.Errorf("register %s: %d %s", mail, r.status, r.body)
	}
	var a account
	r.data(w.t, &a)
	return a
}
