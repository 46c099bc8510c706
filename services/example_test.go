package services_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-lambda-go/lambda"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/lambdahttp"
)

// ordersPlan is the entity plan.
const ordersPlan = `
entity: orders
source: {collection: orders}
target: {table: orders, key: {type: string}}
versionField: version
outbox: {field: _outbox, table: orders-outbox}
`

// Order is the entity.
type Order struct {
	ID       string `json:"id" bson:"_id"`
	Customer string `json:"customer" bson:"customer"`
	Total    int    `json:"total" bson:"total"`
}

// OrderPlaced is the event that says that an order was placed.
type OrderPlaced struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Total      int    `json:"total"`
}

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 1 }
func (o OrderPlaced) Subject() string      { return "order/" + o.OrderID }
func (o OrderPlaced) PartitionKey() string { return o.OrderID }

// Orders is the service.
type Orders struct {
	store  entity.Typed[Order]
	tokens *token.Tokens
}

// Handler is the API.
func (s *Orders) Handler() http.Handler {
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: append(httpjson.Problems{
		httpjson.WithDetail(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	}, entityhttp.Problems...)})
	mux.Handle("PUT /v1/orders/{id}", s.place)
	mux.Handle("GET /v1/orders/{id}", s.get)
	return mux
}

func (s *Orders) place(w http.ResponseWriter, r *http.Request) error {
	customer, err := s.tokens.Subject(r)
	if err != nil {
		return err
	}
	var in struct {
		Total int `json:"total"`
	}
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	order := Order{ID: r.PathValue("id"), Customer: customer, Total: in.Total}
	done, err := s.store.Create(r.Context(), order, s.store.Telling(placed))
	if err != nil {
		return err
	}
	entityhttp.WriteWritten(w, http.StatusOK, done.Version, done.Position, done.Value)
	return nil
}

// placed makes the event of a write.
func placed(ctx context.Context, _, after *entity.Versioned[Order]) ([]events.Event, error) {
	o := after.Value
	e, err := events.New(ctx, "/services/orders", OrderPlaced{OrderID: o.ID, CustomerID: o.Customer, Total: o.Total})
	return []events.Event{e}, err
}

func (s *Orders) get(w http.ResponseWriter, r *http.Request) error {
	order, err := s.store.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	entityhttp.WriteRead(w, r, order.Version, order.Value)
	return nil
}

// newHandler makes the service.
func newHandler(store *entity.Store, secret string) (http.Handler, error) {
	tokens, err := token.New(token.Config{Secret: []byte(secret)})
	if err != nil {
		return nil, err
	}
	return (&Orders{entity.Of[Order](store), tokens}).Handler(), nil
}

// mainServer is the main function of the service as a server.
func mainServer() {
	var flags struct {
		backbone.Flags
		JwtSecret string `env:"BANYAN_JWT_SECRET" required:""`
	}
	serving.Command{
		Name: "orders", Description: "Serves orders.", Grammar: &flags,
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error {
			return flags.Serve(ctx, log, "orders", []byte(ordersPlan), func(b *backbone.Backbone) (http.Handler, error) {
				return newHandler(b.Store, flags.JwtSecret)
			})
		},
	}.Main()
}

// mainFunction is the main function of a service as a Lambda function.
func mainFunction(handler http.Handler) {
	function, err := lambdahttp.New(handler, lambdahttp.Config{
		Service: os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), Metrics: emf.New(os.Stdout, lambdahttp.Namespace),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
	lambda.Start(function)
}

var _, _ = mainServer, mainFunction

// An extracted service from nothing: an API, problems, tokens, and an entity store that has an
// event told with each write. It runs here on the sandbox.
func Example() {
	ctx := context.Background()
	box, err := sandbox.Start(ctx, sandbox.Config{Environ: []string{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = box.Close() }()
	store, err := openOnSandbox(ctx, box)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close(ctx) }()
	const secret = "an example secret of 32 or more bytes"
	handler, err := newHandler(store.Store, secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, _ := token.New(token.Config{Secret: []byte(secret)})
	signed, _ := tokens.Issue("ada")
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
	send("PUT", "/v1/orders/7", `{"total":43}`, signed)
	send("GET", "/v1/orders/8", "", "")
	send("PUT", "/v1/orders/8", `{"total":42}`, "")
	send("PUT", "/v1/orders/8", `{"sum":42}`, signed)
	// Output:
	// 200 {"id":"7","customer":"ada","total":42} published: true
	// 200 {"id":"7","customer":"ada","total":42} published: false
	// 409 {"type":"/problems/id-taken","title":"Id taken","status":409,"detail":"create orders \"7\": a document with this id exists"} published: false
	// 404 {"type":"/problems/not-found","title":"Not found","status":404,"detail":"get orders \"8\": not found"} published: false
	// 401 {"type":"/problems/unauthorized","title":"Unauthorized","status":401,"detail":"a valid bearer token is required"} published: false
	// 400 {"type":"/problems/invalid","title":"Invalid input","status":400,"detail":"invalid request: request body: unknown field \"sum\""} published: false
}

// openOnSandbox makes the stream and the control table, and opens the store.
func openOnSandbox(ctx context.Context, box *sandbox.Sandbox) (*backbone.Backbone, error) {
	flags := backbone.Flags{EventsStream: "banyan-events"}
	for _, kv := range box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		if name == "MONGODB_URI" {
			flags.MongodbURI = value
		}
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
	return flags.Open(ctx, slog.New(slog.DiscardHandler), "orders", []byte(ordersPlan))
}
