package gateway_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/verify"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/streamtest"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/entity/gateway"
)

const orders = `
entity: orders
source: {collection: orders}
target: {table: orders, key: {type: string}}
versionField: version
unique:
  - {field: number, table: orders-numbers}
  - {fields: [shop, receipt], table: orders-receipts}
indexes:
  - {name: by-customer, key: [customer, placed]}
fields:
  - {from: customer, type: string}
  - {from: number, type: int64}
  - {from: placed, type: date}
  - {from: total, type: decimal128}
  - {from: shop, type: objectId}
outbox: {field: _outbox, table: orders-outbox}
budgets: {hold: 30s}
`

const stream = "banyan-events"

// world is a gateway before both databases.
type world struct {
	testing.TB
	plan    *plan.Plan
	store   *entity.Store
	handler http.Handler
	url     string
	uri     string // of MongoDB
	mongo   *mongo.Client
	db      *mongo.Database
	dynamo  *awsdynamodb.Client
	kinesis *awskinesis.Client
	control *ownership.Table
}

func newWorld(t testing.TB, text string, owner ownership.Store) *world {
	t.Helper()
	p, err := plan.Parse("plan.yaml", []byte(text))
	must(t, err)
	w := &world{TB: t, plan: p}
	w.startDatabases()
	must(t, w.control.Ensure(t.Context()))
	if owner == ownership.DynamoDB {
		r, err := w.control.Load(t.Context(), p.Entity)
		must(t, err)
		_, err = w.control.Update(t.Context(), r, func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = owner, 2, ownership.Switched })
		must(t, err)
	}
	publisher, err := kinesis.New(t.Context(), kinesis.Config{Client: w.kinesis, Stream: stream})
	must(t, err)
	b, err := backbone.New(t.Context(), backbone.Parts{Plan: p, MongoDB: mongoclient.Of(w.db), DynamoDB: w.dynamo, Publisher: publisher,
		Settings: backbone.Settings{SweepEvery: 50 * time.Millisecond, SweepAge: time.Second}})
	must(t, err)
	w.store = b.Store
	w.handler, err = gateway.New(gateway.Config{Store: b.Store, Timeout: time.Minute})
	must(t, err)
	server := httptest.NewServer(w.handler)
	w.url = server.URL
	t.Cleanup(func() {
		server.Close()
		must(t, b.Close(context.Background()))
		must(t, publisher.Close(context.Background()))
	})
	return w
}

func (w *world) startDatabases() {
	box, err := sandbox.Start(w.Context(), sandbox.Config{Environ: []string{}})
	must(w, err)
	env := map[string]string{}
	for _, kv := range box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	w.uri = env["MONGODB_URI"]
	w.mongo, err = mongo.Connect(options.Client().ApplyURI(w.uri))
	must(w, err)
	w.Cleanup(func() {
		_ = w.mongo.Disconnect(context.Background())
		transport.CloseIdleConnections()
		must(w, box.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	w.db = w.mongo.Database("legacy")
	base := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: transport}, BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
	w.dynamo, w.kinesis = awsdynamodb.NewFromConfig(base), awskinesis.NewFromConfig(base)
	w.control = ownership.NewTable(w.dynamo, "")
	must(w, box.CreateStream(w.Context(), stream, 1))
	for _, in := range w.plan.TableInputs() {
		_, err := w.dynamo.CreateTable(w.Context(), in)
		must(w, err)
	}
	must(w, w.db.CreateCollection(w.Context(), w.plan.Source.Collection))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachOwner runs a test with each database for the owner.
func eachOwner(t *testing.T, test func(*world)) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) { test(newWorld(t, orders, owner)) })
	}
}

// answer is that of a request.
type answer struct {
	*http.Response
	body string
}

// send makes a request; headers are "Name: value".
func (w *world) send(method, path, body string, headers ...string) answer {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	must(w, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	must(w, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(w, err)
	return answer{res, strings.TrimSuffix(string(text), "\n")}
}

// expect makes a request and checks its answer; etag and body may be "" for any.
func (w *world) expect(method, path, body string, status int, etag, contains string, headers ...string) answer {
	w.Helper()
	a := w.send(method, path, body, headers...)
	if a.StatusCode != status || etag != "" && a.Header.Get("ETag") != etag || !strings.Contains(a.body, contains) {
		w.Errorf("%s %s %.300s %v: %d %s %.600s; want %d %s %s", method, path, body, headers, a.StatusCode, a.Header.Get("ETag"), a.body, status, etag, contains)
	}
	return a
}

func TestResources(t *testing.T) { eachOwner(t, resources) }

func resources(w *world) {
	const one = "/v1/orders/a%2Fb"
	doc := `{"_id":"a/b","customer":"ada","number":7,"placed":"2026-11-30T08:00:00.000Z","total":"1.50","shop":"5f0000000000000000000001","receipt":1,` +
		`"n":{"$numberLong":"5"},"deep":{"x":[1,{"$numberDouble":"2.0"},null]},"none":null}`
	w.expect("GET", one, "", 404, "", `"/problems/not-found"`)
	w.expect("PATCH", one, `{"x":1}`, 404, "", "")
	w.expect("DELETE", one, "", 404, "", "")
	w.expect("PUT", one, doc, 404, "", "", `If-Match: "1"`)
	a := w.expect("PUT", one, doc, 201, `"1"`, doc, "If-None-Match: *")
	if got := a.Header.Get("Location"); got != one {
		w.Errorf("Location is %q", got)
	}
	w.expect("PUT", one, doc, 200, `"1"`, doc, "If-None-Match: *") // as repeated
	w.expect("PUT", one, `{}`, 412, `"1"`, `"/problems/version"`, "If-None-Match: *")
	w.expect("GET", one, "", 200, `"1"`, doc)
	w.expect("GET", one, "", 304, `"1"`, "", `If-None-Match: "1"`)
	w.expect("GET", one, "", 200, `"1"`, `"number":{"$numberLong":"7"},"placed":{"$date":{"$numberLong":"1796025600000"}},"total":{"$numberDecimal":"1.50"}`,
		"Accept: application/json;types=canonical")
	w.expect("PUT", one, doc, 200, `"1"`, doc) // says nothing new
	w.expect("POST", "/v1/orders", doc, 200, `"1"`, doc)
	w.expect("PATCH", one, `{"customer":"bob","deep":{"y":{"z":null,"q":1}},"none":null}`, 200, `"2"`,
		`{"_id":"a/b","customer":"bob","number":7,"placed":"2026-11-30T08:00:00.000Z","total":"1.50","shop":"5f0000000000000000000001","receipt":1,`+
			`"n":{"$numberLong":"5"},"deep":{"x":[1,{"$numberDouble":"2.0"},null],"y":{"q":1}}}`, "Content-Type: application/merge-patch+json")
	w.expect("PATCH", one, `{"customer":"eve"}`, 412, `"2"`, `it is 2 by now`, `If-Match: "1"`)
	w.expect("PUT", one, doc, 412, `"2"`, "", `If-Match: "1"`)
	w.expect("DELETE", one, "", 412, `"2"`, "", `If-Match: "1"`)
	w.expect("PUT", one, `{"customer":"ada"}`, 200, `"3"`, `{"_id":"a/b","customer":"ada"}`, `If-Match: "2"`)
	w.expect("POST", "/v1/orders", doc, 409, "", `"/problems/id-taken"`)
	w.expect("DELETE", one, "", 204, "", "", `If-Match: "3"`)
	w.expect("GET", one, "", 404, "", "")
	a = w.expect("POST", "/v1/orders", `{"customer":"ada"}`, 201, `"1"`, `"customer":"ada"`)
	w.expect("GET", a.Header.Get("Location"), "", 200, `"1"`, a.body)
}

func TestReads(t *testing.T) { eachOwner(t, reads) }

func reads(w *world) {
	for i := range 5 {
		w.expect("PUT", fmt.Sprintf("/v1/orders/o%d", i), fmt.Sprintf(`{"customer":"ada","placed":"2026-11-30T08:00:0%d.000Z","number":%d,`+
			`"shop":"5f000000000000000000000%d","receipt":"r"}`, i, i, i), 201, `"1"`, "")
	}
	w.expect("GET", "/v1/orders/by/number?number=3", "", 200, `"1"`, `"_id":"o3"`)
	w.expect("GET", "/v1/orders/by/shop+receipt?shop=5f0000000000000000000004&receipt=r", "", 200, `"1"`, `"_id":"o4"`)
	w.expect("GET", "/v1/orders/by/number?number=33", "", 404, "", "")
	w.expect("PUT", "/v1/orders/o9", `{"number":3}`, 409, "", `"field":"number"`)
	w.expect("PATCH", "/v1/orders/o1", `{"shop":"5f0000000000000000000002"}`, 409, "", `"field":"shop+receipt"`)
	w.expect("GET", "/v1/orders?ids=o3,nobody,o1,o3&id=o0", "", 200, "", `{"items":[{"id":"o0","etag":"\"1\"","document":{"_id":"o0"`)
	var names []string
	for path := "/v1/orders/index/by-customer?equal=ada&from=2026-11-30T08:00:01Z&below=2026-11-30T08:00:04Z&descending=true&limit=2"; ; {
		var page struct {
			Items []struct{ ID string }
			Next  string `json:"nextCursor"`
		}
		if err := json.Unmarshal([]byte(w.expect("GET", path, "", 200, "", "").body), &page); err != nil {
			w.Fatal(err)
		}
		for _, i := range page.Items {
			names = append(names, i.ID)
		}
		if page.Next == "" {
			break
		}
		path = strings.Split(path, "&cursor")[0] + "&cursor=" + url.QueryEscape(page.Next)
	}
	if got := strings.Join(names, " "); got != "o3 o2 o1" {
		w.Errorf("by customer: %s", got)
	}
	if n := strings.Count(w.expect("GET", "/v1/orders?limit=100", "", 200, "", "").body, `"etag"`); n != 5 {
		w.Errorf("%d documents are listed", n)
	}
}

// TestRefusedRequests: what is no request of the gateway is refused with what to do, and writes nothing.
func TestRefusedRequests(t *testing.T) {
	w := newWorld(t, orders, ownership.DynamoDB)
	const one = "/v1/orders/x"
	const write = "Content-Type: application/vnd.banyan.write+json"
	for _, c := range []struct {
		method, path, body string
		status             int
		says, header       string
	}{
		{"PUT", one, `{"a":1,"a":2}`, 400, "twice", ""},
		{"PUT", one, strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101), 400, "deeper", ""},
		{"PUT", one, `{"number":1e999}`, 400, "no int64", ""},
		{"PUT", one, "{\"a\":\"\xff\"}", 400, "UTF-8", ""},
		{"PUT", one, `{"a":{"$gt":1}}`, 400, "Extended JSON", ""},
		{"PUT", one, `{"version":3}`, 400, "not the clients'", ""},
		{"PUT", one, `{"_outbox":[]}`, 400, "not the clients'", ""},
		{"PUT", one, `{"_requests":[]}`, 400, "not the clients'", ""},
		{"PUT", one, `{"_id":"y"}`, 400, "another one than the path's", ""},
		{"PUT", one, `{}`, 415, "application/json", "Content-Type: text/plain"},
		{"PUT", one, `{"a":"` + strings.Repeat("x", gateway.DefaultMaxBody) + `"}`, 413, "at most", ""},
		{"PUT", one, `{"a":"` + strings.Repeat("x", 500<<10) + `"}`, 422, "/problems/unfit", ""},
		{"PUT", one, `{}`, 400, "one version", `If-Match: W/"1"`},
		{"PUT", one, `{}`, 400, "only", `If-None-Match: "1"`},
		{"PUT", one, `{}`, 400, "255", "Idempotency-Key: " + strings.Repeat("x", 256)},
		{"POST", "/v1/orders", `{"_id":1}`, 400, "declared as string", ""},
		{"POST", "/v1/orders", `{"_id":""}`, 400, "id of orders", ""},
		{"PATCH", one, `[]`, 400, "object", ""},
		{"GET", "/v1/orders/by/nothing?a=1", "", 400, "no unique constraint", ""},
		{"GET", "/v1/orders/by/number", "", 400, "must have a value", ""},
		{"GET", "/v1/orders/by/number?number=x", "", 400, "number", ""},
		{"GET", "/v1/orders?limt=1", "", 400, "unknown parameter", ""},
		{"GET", "/v1/orders?limit=0", "", 400, "limit", ""},
		{"GET", "/v1/orders?cursor=x", "", 400, "/problems/cursor", ""},
		{"GET", "/v1/orders/index/by-customer", "", 400, "value of its first field", ""},
		{"GET", "/v1/orders/index/other?equal=x", "", 400, "no index", ""},
		{"PUT", one, `{"events":[]}`, 400, `\"document\"`, write},
		{"DELETE", one, `{"document":{}}`, 400, "no other", write},
		{"PUT", one, `{"document":{},"events":[{"typ":"x"}]}`, 400, "typ", write},
		{"PUT", one, `{"document":{},"events":[{"data":{}}]}`, 400, "malformed event", write},
		{"PUT", one, `{"document":{},"document":{}}`, 400, "twice", write},
		{"POST", one, `{}`, 405, "", ""},
		{"GET", "/v2/orders", "", 404, "", ""},
	} {
		w.expect(c.method, c.path, c.body, c.status, "", c.says, cmp.Or(c.header, "X: y"))
	}
	w.expect("GET", "/v1/orders", "", 200, "", `{"items":[]}`)
}

// TestIDs: a document is found under the path of its _id, whatever the type of that is.
func TestIDs(t *testing.T) {
	for key, c := range map[string]struct{ id, path string }{
		"{}": {`"5f0000000000000000000001"`, "5f0000000000000000000001"}, "{type: int64}": {`7`, "7"}, "{type: number}": {`{"$numberLong":"7"}`, "7"},
		"{type: uuid}":  {`"30313233-3435-3637-3839-616263646566"`, "30313233-3435-3637-3839-616263646566"},
		"{type: date}":  {`"2026-11-30T08:00:00.000Z"`, "2026-11-30T08:00:00.000Z"},
		"{type: mixed}": {`{"$binary":{"base64":"AQ==","subType":"00"}}`, "binary::01"}, "{type: document}": {`{"a":1,"b":"x"}`, `%7B%22a%22:1%2C%22b%22:%22x%22%7D`},
		"{type: document, parts: [{field: t, type: string}, {field: n, type: int32}]}": {`{"t":"a#b","n":5}`, "a%2523b%235"},
		`{type: int32, template: "ORDER#{_id}"}`:                                       {`7`, "7"},
	} {
		w := newWorld(t, strings.Replace(orders, "{type: string}", key, 1), ownership.DynamoDB)
		a := w.expect("POST", "/v1/orders", `{"_id":`+c.id+`,"customer":"ada"}`, 201, `"1"`, `{"_id":`+c.id+`,`)
		if path := "/v1/orders/" + c.path; a.StatusCode == 201 {
			w.expect("GET", a.Header.Get("Location"), "", 200, `"1"`, `{"_id":`+c.id+`,`)
			w.expect("PUT", path, `{"customer":"bob"}`, 200, `"2"`, `{"_id":`+c.id+`,"customer":"bob"}`)
			w.expect("GET", "/v1/orders?id="+c.path, "", 200, "", `"customer":"bob"`)
			w.expect("DELETE", path, "", 204, "", "")
		}
		if key == "{}" {
			w.expect("POST", "/v1/orders", `{}`, 201, `"1"`, `{"_id":"`)
		}
	}
}

// TestEvents: the events of a write are on the stream at the position that is told, with the
// correlation of the request; those of a write that failed are not.
func TestEvents(t *testing.T) {
	eachOwner(t, func(w *world) {
		const write = "Content-Type: application/vnd.banyan.write+json"
		body := func(part, doc, kind string) string {
			return fmt.Sprintf(`{%s"events":[{"type":"order.first","data":{"$ref":1}},{"type":%q,"subject":"order/1","dataversion":2}]}`, part+doc, kind)
		}
		var last []answer
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/v1/orders", body(`"document":`, `{"_id":"o1","n":1},`, "order.placed")},
			{"PATCH", "/v1/orders/o1", body(`"patch":`, `{"n":2},`, "order.changed")},
			{"PUT", "/v1/orders/o1", body(`"document":`, `{"n":3},`, "order.replaced")},
			{"DELETE", "/v1/orders/o1", body("", "", "order.cancelled")},
		} {
			a := w.send(c.method, c.path, c.body, write, correlation.HeaderCorrelation+": corr-1")
			if a.StatusCode >= 300 || a.Header.Get(events.HeaderWritten) == "" {
				w.Fatalf("%s: %d %v %s", c.method, a.StatusCode, a.Header, a.body)
			}
			last = append(last, a)
		}
		w.expect("PATCH", "/v1/orders/o1", body(`"patch":`, `{"n":4},`, "order.never"), 404, "", "", write)
		var kinds []string
		w.eachEvent(func(e events.Event, at events.Position) {
			if e.CorrelationID != "corr-1" || e.PartitionKey != "o1" || e.Source != "/services/orders" {
				w.Errorf("%+v", e)
			}
			if kinds = append(kinds, e.Type); len(kinds)%2 == 0 {
				if told := last[len(kinds)/2-1].Header.Get(events.HeaderWritten); told != at.String() || e.Version != 2 || e.Subject != "order/1" {
					w.Errorf("%s is at %s, told was %s", e.Type, at, told)
				}
			}
		})
		if got := strings.Join(kinds, " "); got != "order.first order.placed order.first order.changed order.first order.replaced order.first order.cancelled" {
			w.Errorf("on the stream: %s", got)
		}
	})
}

func (w *world) eachEvent(visit func(events.Event, events.Position)) {
	w.Helper()
	records, err := streamtest.Records(w.Context(), w.kinesis, stream)
	must(w, err)
	for _, r := range records {
		e, err := events.Decode(r.Data)
		must(w, err)
		visit(e, r.Position)
	}
}

// TestHiddenFieldsStay: what clients do not see is kept by a write of all that they see.
func TestHiddenFieldsStay(t *testing.T) {
	w := newWorld(t, orders, ownership.MongoDB)
	w.expect("PUT", "/v1/orders/x", `{"a":1}`, 201, `"1"`, "", "Idempotency-Key: k")
	w.expect("PUT", "/v1/orders/x", `{"a":2}`, 200, `"2"`, `{"_id":"x","a":2}`)
	var doc bson.M
	must(t, w.db.Collection("orders").FindOne(t.Context(), bson.M{"_id": "x"}).Decode(&doc))
	if list, _ := doc[gateway.RequestsField].(bson.A); len(list) != 1 {
		t.Errorf("%v", doc)
	}
}

// TestHeld: while writes are held for a change of owner they end with what a client does: try again.
// Reads go on.
func TestHeld(t *testing.T) {
	w := newWorld(t, orders, ownership.MongoDB)
	w.expect("PUT", "/v1/orders/x", `{"n":1}`, 201, `"1"`, "")
	r, err := w.control.Load(t.Context(), "orders")
	must(t, err)
	_, err = w.control.Update(t.Context(), r, func(r *ownership.Record) { r.Hold, r.HoldUntil = true, time.Now().Add(time.Hour) })
	must(t, err)
	impatient, err := gateway.New(gateway.Config{Store: w.store, Timeout: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	for deadline := time.Now().Add(time.Minute); ; {
		answer, request := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "PATCH", "/v1/orders/x", strings.NewReader(`{"m":1}`))
		request.Header.Set("Content-Type", "application/json")
		impatient.ServeHTTP(answer, request)
		if strings.Contains(answer.Body.String(), "/problems/held") {
			if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
				t.Errorf("%d %v", answer.Code, answer.Header())
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
	}
	w.expect("GET", "/v1/orders/x", "", 200, "", `"n":1`)
}

// TestTypesStay: a patch leaves the types of all other fields, and so does a document that was read
// and is written back with a change, whatever the plan declares.
func TestTypesStay(t *testing.T) {
	w := newWorld(t, orders, ownership.MongoDB)
	total, err := bson.ParseDecimal128("1.50")
	must(t, err)
	for i, total := range []any{total, "1.50", int64(1), 1.0, bson.Null{}, bson.D{{Key: "$total", Value: total}}, bson.NewObjectID()} {
		before := bson.D{{Key: "total", Value: total}, {Key: "i", Value: int32(1)}, {Key: "l", Value: int64(1)}, {Key: "d", Value: 1.0}, {Key: "f", Value: 0.5},
			{Key: "at", Value: bson.DateTime(1.6e12)}, {Key: "ts", Value: bson.Timestamp{T: 1}}, {Key: "b", Value: bson.Binary{Subtype: 5, Data: []byte{1}}},
			{Key: "r", Value: bson.Regex{Pattern: "a", Options: "i"}}, {Key: "in", Value: bson.D{{Key: "l", Value: bson.A{int64(1), 2.0, int32(3), nil}}}}}
		id := fmt.Sprint("o", i)
		_, err := w.db.Collection("orders").InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}}, before...))
		must(t, err)
		check := func(how string) {
			raw, err := w.db.Collection("orders").FindOne(t.Context(), bson.M{"_id": id}).Raw()
			must(t, err)
			for _, e := range before {
				kind, value, err := bson.MarshalValue(e.Value)
				must(t, err)
				if got := raw.Lookup(e.Key); got.Type != kind || string(got.Value) != string(value) {
					t.Errorf("%s: %s is %s, was %v", how, e.Key, got, e.Value)
				}
			}
		}
		w.expect("PATCH", "/v1/orders/"+id, `{"more":1}`, 200, `"1"`, "")
		check("patched")
		for version, types := range []string{"", ";types=canonical"} {
			read := w.send("GET", "/v1/orders/"+id, "", "Accept: application/json"+types)
			w.expect("PUT", "/v1/orders/"+id, fmt.Sprintf(`%s,"more%d":1}`, strings.TrimSuffix(read.body, "}"), version), 200, fmt.Sprintf(`"%d"`, version+2), "",
				"Content-Type: application/json"+types)
			check("written back" + types)
		}
	}
}

// TestTextThatIsNotUTF8: JSON has no words for it, so that the document cannot be read, and is not
// changed either.
func TestTextThatIsNotUTF8(t *testing.T) {
	w := newWorld(t, orders, ownership.MongoDB)
	_, err := w.db.Collection("orders").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "x"}, {Key: "text", Value: "\xff"}})
	must(t, err)
	w.expect("GET", "/v1/orders/x", "", 500, "", "")
	w.expect("PATCH", "/v1/orders/x", `{"a":1}`, 500, "", "")
	w.expect("PATCH", "/v1/orders/x", `{"text":"y"}`, 200, `"1"`, `{"_id":"x","text":"y"}`)
}

// migrate copies the entity, and returns what makes the other database its owner.
func (w *world) migrate() (change func()) {
	w.Helper()
	o := w.dynamo.Options()
	engine, err := migrate.New(migrate.Config{Plan: w.plan, Mongo: w.mongo, Database: w.db.Name(), DynamoDB: w.dynamo, Lease: time.Minute,
		Dial: func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
			o := options.Client().ApplyURI(w.uri).SetAppName(application)
			if host != "" {
				o.SetHosts([]string{host}).SetDirect(true)
			}
			if dialer != nil {
				o.SetDialer(dialer)
			}
			return mongo.Connect(o)
		},
		Streams: dynamodbstreams.New(dynamodbstreams.Options{Region: o.Region, BaseEndpoint: o.BaseEndpoint, HTTPClient: o.HTTPClient,
			Credentials: o.Credentials})})
	must(w, err)
	ctx, cancel := context.WithCancel(w.Context())
	must(w, engine.Init(ctx))
	_, err = engine.Encapsulate(ctx, migrate.EncapsulateOptions{Watch: time.Millisecond, AcceptUnseen: true, AcceptGap: true})
	must(w, err)
	must(w, engine.Run(ctx, migrate.RunOptions{UntilShadowing: true}))
	following := make(chan error, 1)
	go func() { following <- engine.Run(ctx, migrate.RunOptions{}) }()
	w.Cleanup(func() { cancel(); <-following })
	return func() {
		w.Helper()
		r, err := w.control.Load(ctx, w.plan.Entity)
		must(w, err)
		to := engine.Cutover
		if r.Owner == ownership.DynamoDB {
			to = engine.Rollback
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			_, verifyErr := engine.Verify(ctx, verify.Options{})
			sum, err := to(ctx, cutover.Options{})
			if err == nil && sum.Step == cutover.StepDone {
				return
			}
			if time.Now().After(deadline) {
				w.Fatalf("the owner is not changed: %v, %v, %+v", verifyErr, err, sum)
			}
		}
	}
}
