package function_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// The events of an adopter: orders, whose first version had euros.

type placedV1 struct{ Customer, Euros string }

func (placedV1) EventType() string      { return "order.placed" }
func (placedV1) EventVersion() int      { return 1 }
func (p placedV1) Subject() string      { return "customer/" + p.Customer }
func (p placedV1) PartitionKey() string { return p.Customer }

type placed struct {
	Customer string
	Cents    int64
	Note     string
}

func (placed) EventType() string      { return "order.placed" }
func (placed) EventVersion() int      { return 2 }
func (p placed) Subject() string      { return "customer/" + p.Customer }
func (p placed) PartitionKey() string { return p.Customer }

// shipped is in no registry.
type shipped struct{ placed }

func (shipped) EventType() string { return "order.shipped" }

var registry = events.MustRegistry(
	events.DefineOld(placedV1{Customer: "ada", Euros: "12"}, "the customer", func(p placedV1) (placed, error) {
		var euros int64
		_, err := fmt.Sscan(p.Euros, &euros)
		return placed{Customer: p.Customer, Cents: 100 * euros}, err
	}),
	events.Define(placed{Customer: "ada", Cents: 1250}, "the customer"),
)

type customer struct {
	Orders, Cents int64
	Note          string
}

const tableVariable = "ORDERS_TABLE"

// orders is a function of the adopter's; its handler panics at the note "panic".
func orders(name string) function.Spec {
	return function.Spec{
		Name: name, Registry: registry, Attempts: 2,
		Tables: []function.Table{{Variable: tableVariable}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			m, err := once.NewModel(once.ModelConfig[customer]{
				Name: "customer", Client: e.DynamoDB, Table: e.Table(tableVariable),
				Key: func(m consumers.Message) string {
					if m.Payload == nil {
						return ""
					}
					return name + "/" + m.Event.PartitionKey
				},
				Fold: func(c *customer, m consumers.Message) error {
					p := m.Payload.(placed)
					if p.Note == "panic" {
						panic("index out of range")
					}
					c.Orders, c.Cents, c.Note = c.Orders+1, c.Cents+p.Cents, p.Note
					return nil
				},
			})
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	}
}

func env(m map[string]string) func(string) string { return func(name string) string { return m[name] } }

func TestParseSettings(t *testing.T) {
	spec := function.Spec{Tables: []function.Table{{Variable: "A", Default: "a"}, {Variable: "B"}}, Attempts: 3, Timeout: time.Second}
	for name, c := range map[string]struct {
		env  map[string]string
		want function.Settings
	}{
		"little": {map[string]string{"B": "b"}, function.Settings{
			Tables: map[string]string{"A": "a", "B": "b"}, DeadLetterTable: "banyan-dead-letters", Attempts: 3, Timeout: time.Second,
			Namespace: "Banyan/Consumers", MappingRetries: -1,
		}},
		"all": {map[string]string{
			"A": "x", "B": "b", "DEAD_LETTER_TABLE": "d", "CONCURRENCY": "7", "ATTEMPTS": "2", "LOG_LEVEL": "debug",
			"ON_FAILURE": "halt", "HANDLER_TIMEOUT": "15s", "EVENT_SHARE": "20s", "MARGIN": "3s", "METRICS_NAMESPACE": "Shop",
			"FUNCTION_TIMEOUT": "60s", "MAPPING_RETRIES": "3",
		}, function.Settings{
			Tables: map[string]string{"A": "x", "B": "b"}, DeadLetterTable: "d", Concurrency: 7, Attempts: 2, Level: slog.LevelDebug,
			Policy: consumers.Halt, Timeout: 15 * time.Second, Share: 20 * time.Second, Margin: 3 * time.Second, Namespace: "Shop",
			FunctionTimeout: time.Minute, MappingRetries: 3,
		}},
	} {
		if got, err := function.ParseSettings(spec, env(c.env)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	_, err := function.ParseSettings(spec, env(map[string]string{
		"CONCURRENCY": "many", "ATTEMPTS": "0", "LOG_LEVEL": "loud", "ON_FAILURE": "cry", "HANDLER_TIMEOUT": "-1s",
	}))
	for _, want := range []string{
		"B must be set", `CONCURRENCY must be a number from 1 to 1000, not "many"`, `ATTEMPTS must be`, `LOG_LEVEL must be debug, info`,
		`ON_FAILURE must be dead-letter or halt, not "cry"`, `HANDLER_TIMEOUT must be a duration such as 15s, not "-1s"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

// TestSettingsThatDoNotFit the function's timeout or its mapping are refused when it
// starts, or told when the timeout is known.
func TestSettingsThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"HANDLER_TIMEOUT", "29s", ""},
		{"HANDLER_TIMEOUT", "45s", "HANDLER_TIMEOUT 45s is longer than 29s, the share of one event in the function's timeout of 1m0s"},
		{"EVENT_SHARE", "50s", "EVENT_SHARE 50s does not fit into the function's timeout of 1m0s: set it to 43.5s or less"},
		{"MARGIN", "13s", "MARGIN 13s is more than a fifth of the function's timeout of 1m0s: set it to 12s or less"},
		{"MAPPING_RETRIES", "2", "set its retries to -1, or to 8 or more"},
		{"MAPPING_RETRIES", "8", ""},
	} {
		vars := map[string]string{"FUNCTION_TIMEOUT": "60s", c.variable: c.value}
		if _, err := function.ParseSettings(function.Spec{}, env(vars)); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %q", c.variable, c.value, err, c.want)
		}
	}
	f := newFixture(t)
	spec := orders("orders")
	spec.Timeout = time.Hour
	fn := f.start(spec)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	payload, err := json.Marshal(batch(record(t, 1, placed{Customer: "ada", Cents: 1})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fn.Invoke(ctx, payload)
	if err != nil || !strings.Contains(f.log.String(), "HANDLER_TIMEOUT 1h0m0s is longer than") {
		t.Errorf("%v, logged %s", err, &f.log)
	}
}

func setAWS(t *testing.T, endpoint string) {
	t.Setenv("AWS_ENDPOINT_URL", endpoint)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", "")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
}

// fixture is functions with their tables and output.
type fixture struct {
	t            *testing.T
	db           streamtest.DynamoDB
	vars         map[string]string
	metrics, log bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	db := streamtest.NewDynamoDB(t)
	setAWS(t, db.Endpoint)
	return &fixture{t: t, db: db, vars: map[string]string{
		tableVariable: db.CreateTable(dynamo.CompositeTable), "DEAD_LETTER_TABLE": db.CreateTable(deadletter.TableInput),
	}}
}

func (f *fixture) start(spec function.Spec) *function.Function {
	f.t.Helper()
	fn, err := function.New(f.t.Context(), spec, env(f.vars), &f.metrics, &f.log)
	if err != nil {
		f.t.Fatal(err)
	}
	return fn
}

// invoke invokes a function as Lambda does and returns the answer.
func (f *fixture) invoke(fn *function.Function, payload any) string {
	f.t.Helper()
	in, err := json.Marshal(payload)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := fn.Invoke(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := json.Marshal(out)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(answer)
}

func (f *fixture) deadLetters(consumer string) []deadletter.Letter {
	f.t.Helper()
	page, err := deadletter.New(f.db.Client(nil), f.vars["DEAD_LETTER_TABLE"]).List(f.t.Context(), consumer, deadletter.ListOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return page.Letters
}

func (f *fixture) customer(name, id string) customer {
	f.t.Helper()
	m, err := once.NewModel(once.ModelConfig[customer]{
		Name: "customer", Client: f.db.Client(nil), Table: f.vars[tableVariable],
		Key: func(consumers.Message) string { return "" }, Fold: func(*customer, consumers.Message) error { return nil },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	c, _, err := m.Get(f.t.Context(), name+"/"+id)
	if err != nil && !errors.Is(err, once.ErrNotFound) {
		f.t.Fatal(err)
	}
	return c
}

func batch(records ...awsevents.KinesisEventRecord) awsevents.KinesisEvent {
	return awsevents.KinesisEvent{Records: records}
}

func record(t *testing.T, n int, p events.Payload) awsevents.KinesisEventRecord {
	return streamtest.Record(n, p.PartitionKey(), streamtest.Data(t, streamtest.Event(t, p)))
}

const nothingFailed = `{"batchItemFailures":[]}`

// TestAnAdoptersFunction: one bad event of each kind among good ones.
func TestAnAdoptersFunction(t *testing.T) {
	f := newFixture(t)
	fn := f.start(orders("orders"))
	future := streamtest.Event(t, placed{Customer: "ada", Cents: 1})
	future.Version = 3
	answer := f.invoke(fn, batch(
		record(t, 1, placedV1{Customer: "ada", Euros: "12"}),
		record(t, 2, placed{Customer: "ada", Cents: 50}),
		record(t, 3, placed{Customer: "ada", Cents: 1, Note: "panic"}),
		record(t, 4, placed{Customer: "ada", Cents: 1, Note: strings.Repeat("x", 420_000)}),
		streamtest.Record(5, "ada", []byte("poison")),
		streamtest.Record(6, "ada", streamtest.Data(t, future)),
		streamtest.Record(7, "ada", []byte(`{"specversion":"1.0","partitionkey":""}`)),
		record(t, 8, placedV1{Customer: "ada", Euros: "much"}), // cannot be lifted
		record(t, 9, shipped{placed{Customer: "ada"}}),         // of no registered type
		record(t, 10, placed{Customer: "ada", Cents: 8}),
	))
	if answer != nothingFailed {
		t.Errorf("answered %s", answer)
	}
	if got := f.customer("orders", "ada"); got.Orders != 3 || got.Cents != 1258 {
		t.Errorf("folded %+v", got)
	}
	want := map[int]string{3: "index out of range", 4: "Item size", 5: "malformed", 6: "unknown event version", 7: "malformed", 8: "lift"}
	for _, l := range f.deadLetters("orders") {
		for n, reason := range want {
			if l.Position.Sequence == streamtest.Sequence(n) && strings.Contains(l.Reason, reason) {
				delete(want, n)
				l.Reason = ""
			}
		}
		if l.Reason != "" {
			t.Errorf("dead letter %v: %s", l.Position, l.Reason)
		}
	}
	if len(want) > 0 {
		t.Errorf("no dead letters of %v", want)
	}
	if got := f.metrics.String(); !strings.Contains(got, `"DeadLetters":6`) || !strings.Contains(got, `"Namespace":"Banyan/Consumers"`) {
		t.Errorf("metrics %s", got)
	}
	if !strings.Contains(f.log.String(), `"consumer":"orders"`) || strings.Contains(f.log.String(), "xxxx") {
		t.Errorf("log %s", &f.log)
	}
}

// TestTwoFunctionsOnOneTable do not disturb each other, nor their dead letters.
func TestTwoFunctionsOnOneTable(t *testing.T) {
	f := newFixture(t)
	one, two := f.start(orders("one")), f.start(orders("two"))
	in := batch(record(t, 1, placed{Customer: "ada", Cents: 5}), streamtest.Record(2, "x", []byte("poison")))
	for _, fn := range []*function.Function{one, two, one} {
		if answer := f.invoke(fn, in); answer != nothingFailed {
			t.Errorf("answered %s", answer)
		}
	}
	for _, name := range []string{"one", "two"} {
		if got, letters := f.customer(name, "ada"), f.deadLetters(name); got.Orders != 1 || len(letters) != 1 {
			t.Errorf("%s: %+v, %d dead letters", name, got, len(letters))
		}
	}
}

// TestWithoutTables: a function that halts needs no table at all.
func TestWithoutTables(t *testing.T) {
	f := newFixture(t)
	f.vars = map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "prod-mailer"}
	reports := 0
	var outer atomic.Bool
	fn := f.start(function.Spec{
		Name: "mailer", Policy: consumers.Halt, Namespace: "Shop", Attempts: 1,
		Observe: func(_ context.Context, r consumers.Report) { reports += r.Records },
		Middleware: []consumers.Middleware{func(next consumers.Handler) consumers.Handler {
			return func(ctx context.Context, m consumers.Message) error { outer.Store(true); return next(ctx, m) }
		}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			return func(_ context.Context, m consumers.Message) error {
				e.Metrics.Write(emf.Line{Metrics: []emf.Metric{{Name: "Mails", Unit: emf.Count, Value: 1}}})
				e.Logger.Info("mail", "payload", m.Payload)
				if m.Event.PartitionKey == "bad" {
					return errors.New("mailbox is full")
				}
				return nil
			}, nil
		},
	})
	answer := f.invoke(fn, batch(record(t, 1, placed{Customer: "ada"}), record(t, 2, placed{Customer: "bad"}), record(t, 3, placed{Customer: "ada"})))
	if want := `{"batchItemFailures":[{"itemIdentifier":"` + streamtest.Sequence(2) + `"}]}`; answer != want {
		t.Errorf("answered %s, want %s", answer, want)
	}
	if reports != 3 || !outer.Load() || !strings.Contains(f.log.String(), `"payload":null`) {
		t.Errorf("%d records in reports, middleware %v, log %s", reports, outer.Load(), &f.log)
	}
	for _, want := range []string{`"Mails":1`, `"Namespace":"Shop"`, `"Function":"prod-mailer"`, `"Failed":1`} {
		if !strings.Contains(f.metrics.String(), want) {
			t.Errorf("no %s in the metrics %s", want, &f.metrics)
		}
	}
}

// TestRedrive: a mistake in the handler is fixed and its dead letters are redriven.
func TestRedrive(t *testing.T) {
	f := newFixture(t)
	broken := f.start(orders("orders"))
	f.invoke(broken, batch(
		record(t, 1, placed{Customer: "ada", Cents: 1, Note: "panic"}),
		streamtest.Record(2, "ada", []byte("poison")),
		record(t, 3, placed{Customer: "ada", Cents: 10}),
		record(t, 4, placed{Customer: "bob", Cents: 100, Note: "panic"}),
	))
	spec := orders("orders")
	spec.Handler = func(e function.Env) (consumers.Handler, error) {
		h, err := orders("orders").Handler(e)
		return func(ctx context.Context, m consumers.Message) error {
			p := m.Payload.(placed)
			p.Note = "fixed"
			m.Payload = p
			return h(ctx, m)
		}, err
	}
	fixed := f.start(spec)
	one := map[string]any{"redrive": map[string]string{"position": events.Position{Sequence: streamtest.Sequence(4)}.String()}}
	if answer := f.invoke(fixed, one); answer != `{"redriven":1,"failed":0,"errors":[],"more":false}` {
		t.Errorf("one: %s", answer)
	}
	all := map[string]any{"redrive": map[string]string{}}
	if answer := f.invoke(fixed, all); !strings.HasPrefix(answer, `{"redriven":1,"failed":1,"errors":["`) || !strings.HasSuffix(answer, `],"more":false}`) {
		t.Errorf("all: %s", answer)
	}
	if ada, bob := f.customer("orders", "ada"), f.customer("orders", "bob"); ada.Orders != 2 || ada.Cents != 11 || bob.Cents != 100 {
		t.Errorf("ada %+v, bob %+v", ada, bob)
	}
	if left := f.deadLetters("orders"); len(left) != 1 || left[0].Position.Sequence != streamtest.Sequence(2) {
		t.Errorf("left: %+v", left)
	}
	for _, payload := range []string{
		`[]`, `{}`, `null`, `{"version":"2.0"}`, `{"Records":null}`, `{"redrive":"all"}`, `{"redrive":null}`, `{"redrive":[]}`, `{"redrive":{"positon":"1"}}`,
		`{"redrive":{"position":5}}`, `{"redrive":{},"Records":[]}`,
		`{"redrive":{"position":"x"}}`, `{"redrive":{"position":"` + events.Position{Sequence: "7"}.String() + `"}}`,
	} {
		if out, err := fixed.Invoke(t.Context(), json.RawMessage(payload)); err == nil {
			t.Errorf("invoked with %s: %v", payload, out)
		}
	}
}

// TestRedriveMeetsDeletions: dead letters that were deleted after they were listed, by
// another redrive or a person, do not end it.
func TestRedriveMeetsDeletions(t *testing.T) {
	f := newFixture(t)
	f.invoke(f.start(orders("orders")), batch(
		record(t, 1, placed{Customer: "ada", Note: "panic"}),
		record(t, 2, placed{Customer: "bob", Note: "panic"}),
		record(t, 3, placed{Customer: "eve", Note: "panic"}),
	))
	position := f.deadLetters("orders")[1].Position
	spec := orders("orders")
	spec.Handler = func(e function.Env) (consumers.Handler, error) {
		return func(ctx context.Context, _ consumers.Message) error {
			_, err := e.DynamoDB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: aws.String(f.vars["DEAD_LETTER_TABLE"]), Key: dynamo.Key("consumer#orders", position.String()),
			})
			return err
		}, nil
	}
	all := map[string]any{"redrive": map[string]string{}}
	if answer := f.invoke(f.start(spec), all); answer != `{"redriven":2,"failed":0,"errors":[],"more":false}` {
		t.Error(answer)
	}
}

// TestRedriveOfTwoStreams: events of two streams with one sequence number are two dead
// letters, whoever reads the streams, and each is redriven by its own.
func TestRedriveOfTwoStreams(t *testing.T) {
	f := newFixture(t)
	const one, two = "arn:aws:kinesis:us-east-1:000000000000:stream/one", "arn:aws:kinesis:us-east-1:000000000000:stream/two"
	broken := f.start(orders("orders"))
	for arn, customer := range map[string]string{one: "ada", two + "/consumer/orders:1700000000": "bob"} {
		r := record(t, 1, placed{Customer: customer, Cents: 7, Note: "panic"})
		r.EventSourceArn = arn
		f.invoke(broken, batch(r))
	}
	letters := f.deadLetters("orders")
	if len(letters) != 2 || letters[0].Stream != one || letters[1].Stream != two {
		t.Fatalf("%+v", letters)
	}
	spec, handled := orders("orders"), []string{}
	spec.Handler = func(function.Env) (consumers.Handler, error) {
		return func(_ context.Context, m consumers.Message) error {
			handled = append(handled, m.Event.PartitionKey)
			return nil
		}, nil
	}
	fixed, position := f.start(spec), letters[0].Position.String()
	for _, c := range []struct {
		request map[string]string
		answer  string
		handled string
	}{
		{map[string]string{"position": position, "stream": two}, `{"redriven":1,"failed":0,"errors":[],"more":false}`, "[bob]"},
		{map[string]string{"position": position}, `{"redriven":2,"failed":0,"errors":[],"more":false}`, "[bob ada]"},
	} {
		if answer := f.invoke(fixed, map[string]any{"redrive": c.request}); answer != c.answer || fmt.Sprint(handled) != c.handled {
			t.Errorf("%v: %s, handled %v", c.request, answer, handled)
		}
	}
	for _, request := range []string{`{"redrive":{"stream":"` + one + `"}}`, `{"redrive":{"position":"` + position + `","stream":"x"}}`} {
		if out, err := fixed.Invoke(t.Context(), json.RawMessage(request)); err == nil {
			t.Errorf("%s: %v", request, out)
		}
	}
}

func TestRedriveEndsInTime(t *testing.T) {
	f := newFixture(t)
	f.invoke(f.start(orders("orders")), batch(streamtest.Record(1, "x", []byte("poison"))))
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Hour))
	fn := f.start(orders("orders"))
	cancel()
	if out, err := fn.Invoke(ctx, json.RawMessage(`{"redrive":{}}`)); err == nil {
		t.Errorf("without time: %v", out)
	}
}

// TestObserveThatPanics does not bring a batch back that was handled.
func TestObserveThatPanics(t *testing.T) {
	f := newFixture(t)
	spec := orders("orders")
	spec.Observe = func(context.Context, consumers.Report) { panic("out of figures") }
	if answer := f.invoke(f.start(spec), batch(record(t, 1, placed{Customer: "ada", Cents: 1}))); answer != `{"batchItemFailures":[]}` {
		t.Error(answer)
	}
	if !strings.Contains(f.log.String(), "out of figures") {
		t.Errorf("logged %s", f.log.String())
	}
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		change func(*function.Spec)
		vars   map[string]string
		want   []string
	}{
		"no dead letters":  {vars: map[string]string{"DEAD_LETTER_TABLE": ""}, want: []string{"banyan-dead-letters", "DEAD_LETTER_TABLE"}},
		"another table":    {vars: map[string]string{tableVariable: "nowhere"}, want: []string{"nowhere", tableVariable}},
		"no name of it":    {vars: map[string]string{tableVariable: ""}, want: []string{tableVariable + " must be set"}},
		"no variable":      {change: func(s *function.Spec) { s.Tables = []function.Table{{Default: "a"}} }, want: []string{`table "a" needs a variable`}},
		"a variable twice": {change: func(s *function.Spec) { s.Tables = append(s.Tables, s.Tables[0]) }, want: []string{"that no other has", tableVariable}},
		"no handler":       {change: func(s *function.Spec) { s.Handler = nil }, want: []string{"Handler"}},
		"no name":          {change: func(s *function.Spec) { s.Name = "" }, want: []string{"Name"}},
		"a handler's error": {change: func(s *function.Spec) {
			s.Handler = func(function.Env) (consumers.Handler, error) { return nil, errors.New("no licence") }
		}, want: []string{"no licence"}},
	} {
		spec, vars := orders("orders"), map[string]string{tableVariable: f.vars[tableVariable], "DEAD_LETTER_TABLE": f.vars["DEAD_LETTER_TABLE"]}
		if c.change != nil {
			c.change(&spec)
		}
		for variable, value := range c.vars {
			vars[variable] = value
		}
		_, err := function.New(t.Context(), spec, env(vars), &f.metrics, &f.log)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %s", name, err, want)
			}
		}
	}
}

// TestBinaryRefusesAWrongEnvironment builds a function and starts it with one
// that it cannot work in.
func TestBinaryRefusesAWrongEnvironment(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	binary := functiontest.Build(t, "./internal/fragile")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+db.Endpoint, "AWS_ENDPOINT_URL_DYNAMODB=", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "NAME=fragile", "DEAD_LETTER_TABLE=nowhere")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), `fragile: cannot start: table "`) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheLog: what a handler logs says by which invocation and message, and a message that asks
// for detail is logged below the level.
func TestTheLog(t *testing.T) {
	f := newFixture(t)
	spec := orders("orders")
	spec.Handler = func(e function.Env) (consumers.Handler, error) {
		return func(ctx context.Context, m consumers.Message) error {
			e.Logger.InfoContext(ctx, "counted")
			e.Logger.DebugContext(ctx, "in detail", "correlation_id", "mine")
			return nil
		}, nil
	}
	fn := f.start(spec)
	for n, debug := range []bool{false, true} {
		e := streamtest.Event(t, placed{Customer: "ada", Cents: 1})
		e.Debug = debug
		payload, err := json.Marshal(batch(streamtest.Record(n+1, "ada", streamtest.Data(t, e))))
		if err != nil {
			t.Fatal(err)
		}
		f.log.Reset()
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: fmt.Sprint("request-", n)})
		if _, err := fn.Invoke(ctx, payload); err != nil {
			t.Fatal(err)
		}
		log := f.log.String()
		for text, want := range map[string]bool{
			`"msg":"counted"`: true, fmt.Sprintf(`"request_id":"request-%d"`, n): true, `"correlation_id":"` + e.CorrelationID: true, `"consumer":"orders"`: true,
			`"cold_start":true`: n == 0, `"msg":"in detail"`: debug, `"correlation_id":"mine"`: debug, `"msg":"applied"`: debug,
		} {
			if strings.Contains(log, text) != want {
				t.Errorf("invocation %d: %s: %t, want %t, in\n%s", n, text, !want, want, log)
			}
		}
	}
}
