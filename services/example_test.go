package services_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-lambda-go/lambda"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/eventstream"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/keyedlock"
	"github.com/banyan-fig/banyan/services/lambdahttp"
)

// Order is the entity.
type Order struct {
	ID       string `json:"id" bson:"_id"`
	Customer string `json:"customer" bson:"customer"`
	Total    int    `json:"total" bson:"total"`
}

// OrderPlaced is the event that says that an order was placed or replaced.
type OrderPlaced struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Total      int    `json:"total"`
}

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 1 }
func (o OrderPlaced) Subject() string      { return "order/" + o.OrderID }
func (o OrderPlaced) PartitionKey() string { return o.CustomerID }

// ErrNotFound is returned by a store that has no such order.
var ErrNotFound = errors.New("no such order")

// Store keeps orders in one database.
type Store interface {
	Put(ctx context.Context, epoch int64, o Order) error
	Get(ctx context.Context, id string) (Order, error)
}

// Orders is the service. Its API is made by Handler.
type Orders struct {
	Owner     *ownership.Member
	Stores    map[ownership.Store]Store
	Publisher interface {
		Publish(ctx context.Context, e events.Event) (events.Position, error)
	}
	Tokens *token.Tokens
	locks  *keyedlock.Lock
}

// Handler is the API.
func (s *Orders) Handler() http.Handler {
	s.locks = keyedlock.New()
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: httpjson.Problems{
		httpjson.WithDetail(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
		httpjson.WithDetail(ErrNotFound, "not-found", "No such order", http.StatusNotFound),
		httpjson.WithoutDetail(ownership.ErrHeld, "held", "Writes are held; try again", http.StatusServiceUnavailable),
	}})
	mux.Handle("PUT /v1/orders/{id}", s.place)
	mux.Handle("GET /v1/orders/{id}", s.get)
	return mux
}

func (s *Orders) place(w http.ResponseWriter, r *http.Request) error {
	customer, err := s.Tokens.Subject(r)
	if err != nil {
		return err
	}
	order := Order{ID: r.PathValue("id"), Customer: customer}
	var in struct {
		Total int `json:"total"`
	}
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	order.Total = in.Total
	release, err := s.locks.Acquire(r.Context(), customer)
	if err != nil {
		return err
	}
	defer release()
	err = s.Owner.Write(r.Context(), func(ctx context.Context, g ownership.Grant) error {
		return s.Stores[g.Owner].Put(ctx, g.Epoch, order)
	})
	if err != nil {
		return fmt.Errorf("place order %s: %w", order.ID, err)
	}
	at, err := s.publish(r.Context(), OrderPlaced{OrderID: order.ID, CustomerID: customer, Total: order.Total})
	if err != nil {
		return err
	}
	w.Header().Set(events.HeaderWritten, at.String())
	httpjson.WriteJSON(w, http.StatusOK, order)
	return nil
}

func (s *Orders) publish(ctx context.Context, fact events.Payload) (events.Position, error) {
	e, err := events.New(ctx, "/services/orders", fact)
	if err != nil {
		return events.Position{}, err
	}
	return s.Publisher.Publish(ctx, e)
}

func (s *Orders) get(w http.ResponseWriter, r *http.Request) error {
	var order Order
	err := s.Owner.Read(r.Context(), func(ctx context.Context, g ownership.Grant) (err error) {
		order, err = s.Stores[g.Owner].Get(ctx, r.PathValue("id"))
		return err
	})
	if err != nil {
		return fmt.Errorf("get order %s: %w", r.PathValue("id"), err)
	}
	httpjson.WriteJSON(w, http.StatusOK, order)
	return nil
}

// majority lets acknowledged writes survive a fail-over.
var majority = options.Collection().SetWriteConcern(writeconcern.Majority())

// mongoStore is where the orders are until they are moved.
type mongoStore struct{ orders *mongo.Collection }

func (m mongoStore) Put(ctx context.Context, _ int64, o Order) error {
	_, err := m.orders.ReplaceOne(ctx, bson.D{{Key: "_id", Value: o.ID}}, o, options.Replace().SetUpsert(true))
	if mongoerr.HasCode(err, mongoerr.CommandNotSupportedOnView) {
		return fmt.Errorf("%w: %w", ownership.ErrFenced, err) // run again, by the new owner's store
	}
	return err
}

func (m mongoStore) Get(ctx context.Context, id string) (o Order, err error) {
	err = m.orders.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&o)
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = ErrNotFound
	}
	return o, err
}

// open makes the service of its environment; close ends what was opened.
func open(ctx context.Context, getenv func(string) string) (s *Orders, close func() error, err error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	tokens, err := token.New(token.Config{Secret: []byte(getenv("BANYAN_JWT_SECRET"))})
	if err != nil {
		return nil, nil, err
	}
	db, err := mongo.Connect(options.Client().ApplyURI(getenv("MONGODB_URI")))
	if err != nil {
		return nil, nil, err
	}
	publisher, err := eventstream.Open(ctx, sdk, cmp.Or(getenv("EVENTS_STREAM"), "banyan-events"))
	if err != nil {
		return nil, nil, errors.Join(err, db.Disconnect(ctx))
	}
	control := ownership.NewTable(awsdynamodb.NewFromConfig(sdk), getenv("BANYAN_CONTROL_TABLE"))
	owner, err := ownership.Join(ctx, ownership.MemberConfig{Table: control, Entity: "orders"})
	if err != nil {
		return nil, nil, errors.Join(err, eventstream.Close(ctx, publisher), db.Disconnect(ctx))
	}
	s = &Orders{Owner: owner, Publisher: publisher, Tokens: tokens, Stores: map[ownership.Store]Store{
		ownership.MongoDB: mongoStore{db.Database("legacy").Collection("orders", majority)},
	}}
	return s, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return errors.Join(owner.Leave(ctx), eventstream.Close(ctx, publisher), db.Disconnect(ctx))
	}, nil
}

// mainServer is the main function of the service as a server.
func mainServer() {
	var flags struct {
		Listen string `help:"Address of the API." default:"127.0.0.1:8080" env:"ORDERS_LISTEN"`
	}
	serving.Command{
		Name: "orders", Description: "Serves orders.", Grammar: &flags,
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) (err error) {
			service, closeService, err := open(ctx, os.Getenv)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeService()) }()
			server, err := serving.Listen("--listen", flags.Listen, service.Handler())
			if err != nil {
				return err
			}
			log.InfoContext(ctx, "serving", "address", server.Addr().String())
			return serving.Run(ctx, server)
		},
	}.Main()
}

// mainFunction is the main function of the service as a Lambda function.
func mainFunction() {
	service, _, err := open(context.Background(), os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
	function, err := lambdahttp.New(service.Handler(), lambdahttp.Config{
		Service: os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), Metrics: emf.New(os.Stdout, lambdahttp.Namespace),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
	lambda.Start(function)
}

var _, _ = mainServer, mainFunction

// An extracted service from nothing: an API, problems, tokens, an ownership grant for
// each operation, and an event after each write. It runs here on the sandbox.
func Example() {
	ctx := context.Background()
	box, err := sandbox.Start(ctx, sandbox.Config{Environ: []string{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = box.Close() }()
	service, err := openOnSandbox(ctx, box)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = service.close() }()
	handler := service.Handler()
	signed, _ := service.Tokens.Issue("ada")
	send := func(method, path, body, token string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()), "published:", w.Header().Get(events.HeaderWritten) != "")
	}
	send("PUT", "/v1/orders/7", `{"total":42}`, signed)
	send("GET", "/v1/orders/7", "", "")
	send("GET", "/v1/orders/8", "", "")
	send("PUT", "/v1/orders/8", `{"total":42}`, "")
	send("PUT", "/v1/orders/8", `{"sum":42}`, signed)
	// Output:
	// 200 {"id":"7","customer":"ada","total":42} published: true
	// 200 {"id":"7","customer":"ada","total":42} published: false
	// 404 {"type":"/problems/not-found","title":"No such order","status":404,"detail":"get order 8: no such order"} published: false
	// 401 {"type":"/problems/unauthorized","title":"Unauthorized","status":401,"detail":"a valid bearer token is required"} published: false
	// 400 {"type":"/problems/invalid","title":"Invalid input","status":400,"detail":"invalid request: request body: unknown field \"sum\""} published: false
}

type opened struct {
	*Orders
	close func() error
}

// openOnSandbox makes the stream and the control table, and opens the service.
func openOnSandbox(ctx context.Context, box *sandbox.Sandbox) (*opened, error) {
	env := map[string]string{"BANYAN_JWT_SECRET": "an example secret of 32 or more bytes"}
	for _, kv := range box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
		if err := os.Setenv(name, value); err != nil { // for the AWS SDK
			return nil, err
		}
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	if err := ownership.NewTable(awsdynamodb.NewFromConfig(sdk), "").Ensure(ctx); err != nil {
		return nil, err
	}
	if err := box.CreateStream(ctx, "banyan-events", 1); err != nil {
		return nil, err
	}
	service, closeService, err := open(ctx, func(name string) string { return env[name] })
	return &opened{service, closeService}, err
}
